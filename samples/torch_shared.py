"""A network of ours between two steps of PyTorch, in one CUDA context: tensors in, tensors out, none visits the host.

    python -m facesr_edge.samples.torch_shared idrn-x4-engine picture.png

The bundle was compiled for TensorRT on this device: facesr-edge build BUNDLE --target tensorrt. Needs PyTorch with
CUDA.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import cv2
import facesr_edge


def enlarge(torch: Any, session: Any, crops: Any) -> Any:
    """Faces on the GPU, enlarged on PyTorch's current stream.

    Args:
        torch: PyTorch.
        session: of a bundle in TensorRT.
        crops: (N, S, S, 3) uint8 BGR tensor on the GPU, S one of the contract's windows.

    Returns:
        (N, k·S, k·S, 3) uint8 BGR tensor. Both ends are handed over by DLPack, which orders the streams: no wait.
    """
    return torch.from_dlpack(session.infer_on_device(crops.contiguous())).clone()  # else valid until the next call


def main(bundle: str, picture: str) -> None:
    """Enlarge the middle of a picture, brightened before and blurred back after, by PyTorch on the GPU."""
    try:
        import torch
    except ImportError:
        sys.exit("this sample needs PyTorch with CUDA; pip install torch")
    if not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU; install its build for your CUDA, and look at facesr-edge doctor")
    pixels = cv2.imread(picture)
    if pixels is None:
        sys.exit(f"{picture} cannot be read; give a picture")
    with facesr_edge.load(bundle, composite=False) as sr:
        if not hasattr(sr.session, "infer_on_device"):
            sys.exit(f"{bundle} has no engine for this GPU; facesr-edge build {bundle} --target tensorrt")
        side = max(side for side in sr.card.io_spec.windows if side <= min(pixels.shape[:2]))
        y, x = ((length - side) // 2 for length in pixels.shape[:2])
        crop = torch.from_numpy(pixels[None, y : y + side, x : x + side].copy()).cuda()  # (1, S, S, 3)
        brighter = (crop.float() * 1.1).clamp(0, 255).to(torch.uint8)
        enlarged = enlarge(torch, sr.session, brighter)
        cv2.imwrite("enlarged.png", enlarged[0].cpu().numpy())
    print("enlarged.png:", *enlarged.shape[1:3])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A network of ours between two steps of PyTorch on the GPU.")
    parser.add_argument("bundle", help="folder of a bundle compiled for TensorRT on this device")
    parser.add_argument("picture")
    given = parser.parse_args()
    main(given.bundle, given.picture)

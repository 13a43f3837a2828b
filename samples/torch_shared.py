"""Run a network between two PyTorch operations in one CUDA context: GPU tensors in and out, without host copies.

    python -m facesr_edge.samples.torch_shared idrn-x4-engine image.png

The bundle must be compiled on this device: facesr-edge build BUNDLE --engine tensorrt. Needs PyTorch with CUDA.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import cv2
import facesr_edge


def upscale(torch: Any, session: Any, crops: Any) -> Any:
    """Upscale faces on the GPU, on PyTorch's current stream.

    Args:
        torch: PyTorch.
        session: TensorRT session of a bundle.
        crops: (N, S, S, 3) uint8 BGR tensor on the GPU, S one of the model's crop sizes.

    Returns:
        (N, k·S, k·S, 3) uint8 BGR tensor. DLPack synchronizes the streams at both ends without blocking the host.
    """
    output = session.infer_on_device(crops.contiguous())
    return torch.from_dlpack(output).clone()  # the session reuses the memory of its output


def main(bundle: str, image: str) -> None:
    """Brighten the center of an image with PyTorch on the GPU, then upscale it."""
    try:
        import torch
    except ImportError:
        sys.exit("this sample needs PyTorch with CUDA; pip install torch")
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU; install its build for your CUDA version, and run facesr-edge doctor")
    pixels = cv2.imread(image)
    if pixels is None:
        sys.exit(f"{image} cannot be read; choose an image file")
    with facesr_edge.load(bundle, composite=False) as sr:
        if not hasattr(sr.session, "infer_on_device"):
            sys.exit(f"{bundle} has no engine for this GPU; facesr-edge build {bundle} --engine tensorrt")
        side = max(side for side in sr.card.io_spec.crop_sizes if side <= min(pixels.shape[:2]))
        y, x = ((length - side) // 2 for length in pixels.shape[:2])
        crop = torch.from_numpy(pixels[None, y : y + side, x : x + side].copy()).cuda()  # (1, S, S, 3)
        brightened = (crop.float() * 1.1).clamp(0, 255).to(torch.uint8)
        upscaled = upscale(torch, sr.session, brightened)
        cv2.imwrite("upscaled.png", upscaled[0].cpu().numpy())
    print("upscaled.png:", *upscaled.shape[1:3])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run a network between two PyTorch operations on the GPU.")
    parser.add_argument("bundle", help="bundle folder, compiled for TensorRT on this device")
    parser.add_argument("image")
    args = parser.parse_args()
    main(args.bundle, args.image)

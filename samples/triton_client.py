"""Send a picture to a Triton server that runs a repository of `facesr-edge export triton`; write its faces to a folder.

    facesr-edge export triton -o models
    python -m facesr_edge.samples.triton_client picture.jpg faces
    python -m facesr_edge.samples.triton_client picture.jpg faces --url server:8001 --model idrn-x4-faces --composite

Needs Triton's client: pip install 'facesr-edge[triton]'
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import facesr_edge
import numpy as np
from numpy.typing import NDArray

FACES = ("boxes_xyxy", "scores", "consistency_db", "sides", "pixels")
COMPOSITE = "composite"
MAX_MESSAGE_BYTES = 1 << 30


def ask(url: str, model: str, frame: NDArray[np.uint8], outputs: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """Send a frame, (H, W, 3) uint8 BGR, over gRPC; returns the requested outputs by name."""
    try:
        from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput, KeepAliveOptions
        from tritonclient.utils import InferenceServerException
    except ImportError as error:
        sys.exit(f"this sample needs Triton's client: {error}; pip install 'facesr-edge[triton]'")
    limits = [
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ]
    client = InferenceServerClient(url, keepalive_options=KeepAliveOptions(), channel_args=limits)
    pixels = InferInput("frame", list(frame.shape), "UINT8")
    pixels.set_data_from_numpy(frame)
    try:
        requested = [InferRequestedOutput(name) for name in outputs]
        result = client.infer(model, [pixels], outputs=requested, client_timeout=60)
        return {name: result.as_numpy(name) for name in outputs}
    except InferenceServerException as error:
        sys.exit(f"the server at {url} refused the frame: {error.message()}; check --url and --model")
    finally:
        client.close()


def split_faces(pixels: NDArray[np.uint8], sides: NDArray[np.int32]) -> list[NDArray[np.uint8]]:
    """The faces, (side, side, 3) uint8 BGR each, of their pixels one after another."""
    ends = np.cumsum(3 * sides.astype(np.int64) ** 2)
    parts = np.split(pixels, ends[:-1]) if len(sides) else []
    return [part.reshape(side, side, 3) for part, side in zip(parts, sides, strict=True)]


def main(picture: Path, folder: Path, url: str, model: str, composite: bool) -> int:
    """Write the faces of a picture; returns their number."""
    frame = cv2.imread(str(picture), cv2.IMREAD_COLOR)
    if frame is None:
        sys.exit(f"{picture} is missing or no picture; give a PNG or JPEG file")
    outputs = (*FACES, COMPOSITE) if composite else FACES
    arrays = ask(url, model, np.asarray(frame, np.uint8), outputs)
    folder.mkdir(parents=True, exist_ok=True)
    faces = split_faces(arrays["pixels"], arrays["sides"])
    for n, (face, box, decibels) in enumerate(zip(faces, arrays["boxes_xyxy"], arrays["consistency_db"], strict=True)):
        path = folder / f"{picture.stem}-{n}.png"
        cv2.imwrite(str(path), face)
        print(f"{path}: box {' '.join(f'{v:.0f}' for v in box)}, consistency {decibels:.1f} dB")
    if composite:
        cv2.imwrite(str(folder / f"{picture.stem}-composite.png"), arrays[COMPOSITE])
    return len(faces)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Upscale the faces of a picture on a Triton server.")
    parser.add_argument("picture", type=Path, help="PNG or JPEG file")
    parser.add_argument("folder", type=Path, help="folder for the faces")
    parser.add_argument("--url", default="localhost:8001", help="host and gRPC port of the server")
    parser.add_argument("--model", default=f"{facesr_edge.DEFAULT_MODEL}-faces", help="model that takes frames")
    parser.add_argument("--composite", action="store_true", help="write the enlarged picture, too")
    args = parser.parse_args()
    print(main(args.picture, args.folder, args.url, args.model, args.composite), "faces")

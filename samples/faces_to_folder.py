"""Save each face of a video as an image: input pixels on the left, upscaled face on the right.

python -m facesr_edge.samples.faces_to_folder clip.mp4 faces/
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import facesr_edge
import numpy as np


def main(video: str, folder: Path) -> None:
    """Write ``FRAME-FACE.png`` for each face."""
    folder.mkdir(parents=True, exist_ok=True)
    with facesr_edge.load(composite=False) as sr, facesr_edge.open_source(video) as source:
        for result in sr.stream(source):
            for n, face in enumerate(result.faces):
                size = face.pixels.shape[1::-1]
                original = cv2.resize(face.original, size, interpolation=cv2.INTER_NEAREST)
                cv2.imwrite(str(folder / f"{result.source.index:06d}-{n}.png"), np.hstack((original, face.pixels)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Save each face of a video, input and upscaled side by side.")
    parser.add_argument("video", help="video file, folder of images, camera index or rtsp://…")
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    main(args.video, args.folder)

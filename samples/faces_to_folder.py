"""Every face of a video, enlarged, as a picture with the camera's own pixels beside it.

python -m facesr_edge.samples.faces_to_folder clip.mp4 faces/
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import facesr_edge
import numpy as np


def main(video: str, folder: Path) -> None:
    """Write ``frame-face.png``: left the camera, right the estimate."""
    folder.mkdir(parents=True, exist_ok=True)
    with facesr_edge.load(composite=False) as sr, facesr_edge.open_source(video) as source:
        for result in sr.stream(source):
            for n, face in enumerate(result.faces):
                size = face.pixels.shape[1::-1]
                camera = cv2.resize(face.original, size, interpolation=cv2.INTER_NEAREST)
                cv2.imwrite(str(folder / f"{result.source.index:06d}-{n}.png"), np.hstack((camera, face.pixels)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Every face of a video, enlarged, beside the camera's own pixels.")
    parser.add_argument("video", help="a file, a folder of pictures, a camera's number, or rtsp://…")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    main(given.video, given.folder)

"""What a network adds to bicubic by the size of the face that a camera gives, from 8 pixels up.

    python -m facesr_edge.benchmarks.face_sizes SCENES MODEL [MODEL ...]

The faces of labelled pictures are shrunk until they have a size, with all that is around them; the network enlarges the
window that a frame's face of that size would get. PSNR on luma counts the face and a quarter of its size around it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from facesr_edge.calibration.data.detection import read_scenes
from facesr_edge.calibration.data.faces import center_crop
from facesr_edge.calibration.metrics.evaluate import SEED, enlarged_by_bicubic
from facesr_edge.calibration.metrics.image import mean_db, psnr_y
from facesr_edge.engines.errors import FacesrError
from facesr_edge.engines.registry import open_session
from facesr_edge.engines.session import Session
from facesr_edge.sdk.pipeline.crop import MARGIN
from facesr_edge.training.data.degrade import DEGRADATIONS
from facesr_edge.zoo.catalogue import find
from numpy.typing import NDArray

SIZES = (8, 12, 16, 24, 32, 48)
"""Longer side of a face's box in pixels, as the camera has it."""

Pixels = NDArray[np.uint8]


def true_windows(folder: Path, size: int, side: int, scale: int) -> Iterator[Pixels]:
    """Faces as a camera of a finer grid would have them, each in the middle of its window: (scale·side, …, 3).

    Faces that are too small for that, or too near to the edge of their picture, are left out.
    """
    for scene in read_scenes(folder, "test"):
        picture = scene.read()
        for box in scene.faces.boxes_xyxy[scene.faces.certain]:
            factor = scale * size / float(max(box[2] - box[0], box[3] - box[1]))
            if factor > 1:  # nothing is known of what is finer
                continue
            small = np.asarray(cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
            x, y = (round(factor * (float(box[i]) + float(box[i + 2])) / 2 - scale * side / 2) for i in (0, 1))
            if min(x, y) >= 0 and x + scale * side <= small.shape[1] and y + scale * side <= small.shape[0]:
                yield small[y : y + scale * side, x : x + scale * side]


def gain_of(session: Session, folder: Path, size: int, degradation: str) -> tuple[int, float, float] | None:
    """Number of faces; PSNR of bicubic and gain of the network over it, in dB; none where no face can be had."""
    io_spec = session.io_spec
    side = min((side for side in io_spec.windows if side >= MARGIN * size), default=0)
    found = list(true_windows(folder, size, side, io_spec.scale)) if side else []
    if not found:
        return None
    hr = np.stack(found)
    lr = DEGRADATIONS[degradation](hr, io_spec.scale, np.random.default_rng(SEED))
    counted = io_spec.scale * min(side, round(MARGIN * size))
    truth, bicubic, sr = (
        np.stack([center_crop(picture, counted) for picture in pictures])
        for pictures in (hr, enlarged_by_bicubic(lr, io_spec.scale), session.infer(lr))
    )
    before = mean_db(psnr_y(bicubic, truth))
    return len(hr), before, mean_db(psnr_y(sr, truth)) - before


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenes", type=Path, help="folder of images/ and labels.json")
    parser.add_argument("models", nargs="+", help="names of models, or folders of bundles")
    parser.add_argument("--degradation", choices=sorted(DEGRADATIONS), default="bicubic")
    given = parser.parse_args()
    print(f"{'model':24} {'face px':>7} {'faces':>6} {'bicubic dB':>10} {'gain dB':>8}")
    try:
        for model in given.models:
            session = open_session(find(model), "auto", 0)
            if session.io_spec.task != "super-resolution":
                sys.exit(f"face_sizes: {model} enlarges nothing; give a super-resolution network")
            for size in SIZES:
                told = gain_of(session, given.scenes, size, given.degradation)
                line = "no such faces, or no such window" if told is None else "{:6} {:10.2f} {:+8.2f}".format(*told)
                print(f"{model:24} {size:7} {line}", flush=True)
            session.close()
    except FacesrError as error:
        sys.exit(f"face_sizes: {error}")


if __name__ == "__main__":
    main()

"""PSNR gain over bicubic by face size in the camera frame, from 8 px up.

    python -m facesr_edge.benchmarks.face_sizes SCENES MODEL [MODEL ...]

Labelled images are downscaled until their faces have a given size; the network upscales the crop that the pipeline
would take of such a face. Luma PSNR is measured on the face with the margin of the crop.
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
from facesr_edge.calibration.metrics.evaluate import SEED, upscale_bicubic
from facesr_edge.calibration.metrics.image import mean_db, psnr_y
from facesr_edge.engines.errors import FacesrError
from facesr_edge.engines.registry import open_session
from facesr_edge.engines.session import Session
from facesr_edge.sdk.pipeline.crop import MARGIN
from facesr_edge.training.data.degrade import DEGRADATIONS
from facesr_edge.zoo.catalogue import find
from numpy.typing import NDArray

SIZES = (8, 12, 16, 24, 32, 48)
"""Longer side of the face box in the camera frame, in pixels."""

Images = NDArray[np.uint8]


def hr_crops(folder: Path, size: int, side: int, scale: int) -> Iterator[Images]:
    """Ground-truth crops with a face of ``scale * size`` px in the center, (scale·side, scale·side, 3).

    Args:
        folder: labelled images; the split "test" is used.
        size: longer side of the face box after downscaling by `scale`, in pixels.
        side: of the crop after downscaling by `scale`, in pixels.
        scale: of the network.

    Yields:
        One crop per face, except faces that are too small or whose crop exceeds the image.
    """
    for scene in read_scenes(folder, "test"):
        image = scene.read()
        for box in scene.faces.boxes_xyxy[scene.faces.certain]:
            factor = scale * size / float(max(box[2] - box[0], box[3] - box[1]))
            if factor > 1:  # no ground truth at this size
                continue
            hr = np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
            x, y = (round(factor * (float(box[i]) + float(box[i + 2])) / 2 - scale * side / 2) for i in (0, 1))
            if min(x, y) >= 0 and x + scale * side <= hr.shape[1] and y + scale * side <= hr.shape[0]:
                yield hr[y : y + scale * side, x : x + scale * side]


def gain_of(session: Session, folder: Path, size: int, degradation: str) -> tuple[int, float, float] | None:
    """Number of faces, PSNR of bicubic and gain of the network in dB; None without faces of that size."""
    io_spec = session.io_spec
    side = min((side for side in io_spec.crop_sizes if side >= MARGIN * size), default=0)
    crops = list(hr_crops(folder, size, side, io_spec.scale)) if side else []
    if not crops:
        return None
    hr = np.stack(crops)
    lr = DEGRADATIONS[degradation](hr, io_spec.scale, np.random.default_rng(SEED))
    measured_side = io_spec.scale * min(side, round(MARGIN * size))
    true, bicubic, sr = (
        np.stack([center_crop(image, measured_side) for image in images])
        for images in (hr, upscale_bicubic(lr, io_spec.scale), session.infer(lr))
    )
    bicubic_db = mean_db(psnr_y(bicubic, true))
    return len(hr), bicubic_db, mean_db(psnr_y(sr, true)) - bicubic_db


def main() -> None:
    """Print a table of all models and sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scenes", type=Path, help="folder of images/ and labels.json")
    parser.add_argument("models", nargs="+", help="zoo names or bundle folders")
    parser.add_argument("--degradation", choices=sorted(DEGRADATIONS), default="bicubic")
    args = parser.parse_args()
    print(f"{'model':24} {'face px':>7} {'faces':>6} {'bicubic dB':>10} {'gain dB':>8}")
    try:
        for model in args.models:
            bundle = find(model)
            session = open_session(bundle, "onnxruntime", 0, bundle.card.precision)
            if session.io_spec.task != "super-resolution":
                sys.exit(f"face_sizes: {model} is not a super-resolution network; give another model")
            for size in SIZES:
                result = gain_of(session, args.scenes, size, args.degradation)
                cells = "no faces of this size, or no crop size" if result is None else "{:6} {:10.2f} {:+8.2f}"
                print(f"{model:24} {size:7} {cells.format(*result or ())}", flush=True)
            session.close()
    except FacesrError as error:
        sys.exit(f"face_sizes: {error}")


if __name__ == "__main__":
    main()

"""Crops of the faces in the frames of a source: calibration data, as the camera recorded them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..engines.bundle.io_spec import CROP_SIZES
from .pipeline.crop import crops_of, windows_for
from .pipeline.detect import Detector
from .pipeline.frame import Frame

MAX_CROPS = 2000
"""Default maximum number of crops, after which no frame is read: 30 MB of the usual size."""


def face_crops(
    frames: Iterable[Frame], detector: Detector, max_crops: int = MAX_CROPS, sides: tuple[int, ...] = CROP_SIZES
) -> list[NDArray[np.uint8]]:
    """Crop the faces that a pipeline would upscale.

    Args:
        frames: of a source.
        detector: a face detector.
        max_crops: number of crops after which no frame is read.
        sides: crop sizes of the network, in pixels.

    Returns:
        (S, S, 3) uint8 BGR each, S one of `sides`, in the order of the frames; faces that are too large are left out.
    """
    crops: list[NDArray[np.uint8]] = []
    for frame in frames:
        windows, _ = windows_for(detector.detect(frame.pixels), frame.pixels.shape, sides)
        crops += [crop for batch in crops_of(frame.pixels, windows) for crop in batch.pixels]
        if len(crops) >= max_crops:
            return crops[:max_crops]
    return crops

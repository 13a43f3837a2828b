"""Faces as a camera saw them: the crops of a source's frames, for what is to be learnt from them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..engines.bundle.io_spec import CROP_SIZES
from .pipeline.crop import crops_of, windows_for
from .pipeline.detect import Detector
from .pipeline.frame import Frame

MOST = 2000
"""Faces after which no more frames are read: 30 MB of the usual size."""


def face_crops(frames: Iterable[Frame], detector: Detector, most: int = MOST) -> list[NDArray[np.uint8]]:
    """The crops that a pipeline would super-resolve.

    Args:
        frames: of a source.
        detector: finds the faces.
        most: crops after which the frames are left.

    Returns:
        (S, S, 3) uint8 BGR each, S one of the windows, in the order of the frames.
    """
    found: list[NDArray[np.uint8]] = []
    for frame in frames:
        windows, _ = windows_for(detector(frame.pixels), frame.pixels.shape, CROP_SIZES)
        found += [crop for crops in crops_of(frame.pixels, windows) for crop in crops.pixels]
        if len(found) >= most:
            return found[:most]
    return found

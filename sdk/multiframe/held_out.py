"""The gain of several frames, measured on a frame of the camera that none of the compared faces was made from.

The frames up to t - 1 make two faces: one from all of them, one from the last alone. Both are moved to where the face
is in frame t, reduced to the camera's pixels, and compared with what the camera delivered there. Noise and compression
of frame t are in both errors, so the difference is smaller than that of the errors against the truth.

Source of validation on samples left out: M. Stone, "Cross-validatory choice and assessment of statistical predictions",
1974.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.multiframe.registration import (
    IDENTITY,
    Affine,
    Gray,
    compose,
    inverse,
    luma,
    register,
    shift,
    template,
)

MARGIN_PX = 2
"""Pixels at the edge of the earlier crop that are not compared: interpolation and network see less around them."""
MIN_PIXELS = 64
"""Compared pixels below which a frame says nothing."""
ROUNDING = 1 / 12
"""Variance of rounding to whole gray levels, below which no error is known."""


@dataclass(frozen=True)
class HeldOutErrors:
    """Mean squared errors of a frame that was predicted, in gray levels squared.

    Args:
        fused: of the face made from several frames.
        single: of the face made from the last of them.
        bicubic: of the last one, enlarged without a network.
        correlation: of the registered crops, -1 to 1.
    """

    fused: float
    single: float
    bicubic: float
    correlation: float

    @property
    def gain_db(self) -> float:
        """How much closer to the camera's pixels the face made from several frames is, in dB."""
        return float(10 * np.log10(self.single / self.fused))


@dataclass(frozen=True)
class HeldOutGain:
    """Gain over the frames of a track.

    Args:
        gain_db: mean over the frames, positive if several frames are closer to the camera's pixels than one.
        frames: number of frames that it was measured on.
    """

    gain_db: float
    frames: int

    def __str__(self) -> str:
        return f"{self.gain_db:+.1f} dB ({self.frames} frame{'s' * (self.frames != 1)})"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"gain_db": round(self.gain_db, 3), "frames": self.frames}

    def with_frame(self, errors: HeldOutErrors) -> HeldOutGain:
        """The gain with one more frame."""
        frames = self.frames + 1
        return HeldOutGain(self.gain_db + (errors.gain_db - self.gain_db) / frames, frames)


NO_GAIN = HeldOutGain(0.0, 0)
"""Before the first frame."""


def held_out_errors(
    crop: NDArray[np.uint8],
    fused: NDArray[np.uint8],
    single: NDArray[np.uint8],
    next_crop: NDArray[np.uint8],
    next_box_xyxy: NDArray[np.float32],
    window_shift_xy: tuple[int, int] = (0, 0),
) -> HeldOutErrors | None:
    """Compare two faces made from frames up to t - 1 with the camera's pixels of frame t.

    Args:
        crop: (S, S, 3) uint8 BGR, of frame t - 1.
        fused, single: (k·S, k·S, 3) uint8 BGR, `crop` upscaled with the frames before it, and alone.
        next_crop: (s, s, 3) uint8 BGR, of frame t, of any side.
        next_box_xyxy: (4,) of the face in `next_crop`, pixels.
        window_shift_xy: motion of the window from frame t - 1 to frame t, pixels of the frame.

    Returns:
        The errors; None if the crops do not show the same face, share too few pixels, or are equal: a frame that the
        camera repeats is no new measurement.
    """
    before, after = luma(crop), luma(next_crop)
    if before.shape == after.shape and np.array_equal(crop, next_crop):
        return None
    x, y = window_shift_xy
    starts = tuple(dict.fromkeys((IDENTITY, shift(-x, -y))))  # the window has followed the face, or it stands still
    found = register(template(before), template(after), starts)
    if found.failed:
        return None
    region = _region(before.shape[0], after.shape[0], found.motion, next_box_xyxy)
    if region.sum() < MIN_PIXELS:
        return None
    scale, side = fused.shape[0] // len(crop), after.shape[0]
    enlarged = cv2.resize(before, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    errors = [
        _error(predicted(np.asarray(face, np.float32), found.motion, scale, side), after, region)
        for face in (luma(fused), luma(single), enlarged)
    ]
    return HeldOutErrors(errors[0], errors[1], errors[2], found.correlation)


def predicted(face: Gray, motion: Affine, scale: int, side: int) -> Gray:
    """What the pixels of a camera that average the light on their area record of an upscaled face that has moved.

    Args:
        face: (k·S, k·S) gray levels.
        motion: positions in the crop of the face -> in the other crop, pixels.
        scale: k.
        side: of the other crop.

    Returns:
        (side, side) gray levels; undefined where the face does not reach.
    """
    to_crop = (1 / scale, 0.0, (1 / scale - 1) / 2, 0.0, 1 / scale, (1 / scale - 1) / 2)
    matrix = np.array(compose(inverse(to_crop), compose(motion, to_crop))).reshape(2, 3)
    size = scale * side
    moved = cv2.warpAffine(face, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(moved, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def _region(before: int, after: int, motion: Affine, box_xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pixels of a crop of side `after` inside the box that come from inside the crop of side `before`."""
    y, x = np.mgrid[:after, :after].astype(np.float32)
    a, b, c, d, e, f = inverse(motion)
    low, high = MARGIN_PX, before - 1 - MARGIN_PX
    from_x, from_y = a * x + b * y + c, d * x + e * y + f
    inside = (from_x >= low) & (from_x <= high) & (from_y >= low) & (from_y <= high)
    left, top, right, bottom = (float(value) - 0.5 for value in box_xyxy)
    return np.asarray(inside & (x >= left) & (x <= right) & (y >= top) & (y <= bottom))


def _error(prediction: Gray, pixels: Gray, region: NDArray[np.bool_]) -> float:
    """Mean squared error after the best gain and offset, since the light may change."""
    x, y = prediction[region].astype(np.float64), pixels[region].astype(np.float64)
    x, y = x - x.mean(), y - y.mean()
    gain = (x @ y) / max(x @ x, 1e-9)
    return max(float(np.square(y - gain * x).mean()), ROUNDING)

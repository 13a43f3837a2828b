"""Whether a face is good enough to look at or to compare, with the figures behind the verdict."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..pipeline.crop import Window

UsabilityVerdict = Literal["ok", "too small", "too blurred", "too dark", "profile"]
MIN_SIDE_PX = 24.0
"""Faces of 22x28 px are matched with anybody by face recognition."""
MIN_BRIGHTNESS = 30.0
"""Mean gray level of a face below which noise covers it."""


@dataclass(frozen=True)
class Usability:
    """A verdict.

    Args:
        verdict: the first reason against the face, or "ok".
        side_px: longer side of the face box, frame pixels.
        brightness: mean gray level of the face, 0 to 255.
    """

    verdict: UsabilityVerdict
    side_px: float
    brightness: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def usability(
    crop: NDArray[np.uint8],
    box_xyxy: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    window: Window,
    score: float,
) -> Usability:
    """Judge a face.

    Args:
        crop: (S, S, 3) uint8 BGR.
        box_xyxy: (4,) face box, frame pixels.
        landmarks: (5, 2) x, y in frame pixels.
        window: of the crop in the frame.
        score: of the detector, 0..1.
    """
    side_px, brightness = float((box_xyxy[2:] - box_xyxy[:2]).max()), float(crop.mean())
    verdict: UsabilityVerdict = (
        "too small" if side_px < MIN_SIDE_PX else "too dark" if brightness < MIN_BRIGHTNESS else "ok"
    )
    return Usability(verdict, round(side_px, 1), round(brightness, 1))

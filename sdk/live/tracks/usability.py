"""Whether a face is good enough to be recognized or kept, with the figures behind the verdict.

Thresholds come from dlib's recognizer at its own limit on held-out faces: how often it knows the person, and how often
it takes two persons for one among crops that are all as bad, as in a gallery that collects them.

| face | true matches | false matches |
|---|---|---|
| 104 px, sharp | 100 % | 4 % |
| 40, 32, 28, 20, 16 px | 100, 100, 100, 98, 86 % | 8, 10, 13, 18, 23 % |
| 64 px, Gaussian blur of 2, 3, 4.5 % of the side | 100, 95, 47 % | 12, 21, 56 % |
| 64 px, motion over 10, 20 % of the side | 100, 53 % | 17, 46 % |
| 64 px, mean luma 40, 25, 15 with noise of 3 gray levels | 100, 100, 93 % | 7, 8, 13 % |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from ...pipeline.crop import Window
from ...pipeline.results import number

UsabilityVerdict = Literal["ok", "too small", "too dark", "too blurred", "profile"]

MIN_SIDE = 32
"""Pixels: 22x28 px crops in a gallery match everybody; from 32 on less than one pair in ten."""
MIN_BRIGHTNESS = 20
"""Mean luma: below, camera noise hides the face."""
MIN_SHARPNESS = 0.45
"""1 % of sharp faces are below, and 14, 62, 93 and 100 % of those with a Gaussian blur of 2, 3, 4 and 6 % of the side,
for faces of 32 to 100 px, at full and at 0.4 of the contrast, with noise of up to 3 gray levels."""
MAX_YAW_DEG = 45
"""Of a face that a recognizer of frontal faces knows."""
FULL_SIDE, FULL_SHARPNESS, FULL_BRIGHTNESS = 96, 0.8, 50
"""Pixels, sharpness and mean luma from which a face gets no better for the best shot."""
SIDE = 32
"""Pixels of the face's side at which sharpness is measured, so that it does not depend on the size of the face."""
NOSE = 2.4
"""Distance between the eyes, in distances of the nose tip in front of the plane of eyes and mouth."""


@dataclass(frozen=True)
class Usability:
    """A verdict on a face, and its figures.

    Args:
        verdict: "ok", or the first reason against.
        side_px: longer side of the box, frame pixels.
        sharpness: 0 (nothing but slow gradients) to about 1 (sharp), relative to the size of the face.
        brightness: mean luma of the face, 0..255.
        yaw_deg: of the head, positive to the right in the image; NaN if the landmarks are not known.
        score: 0..1, for the best shot of a track.
    """

    verdict: UsabilityVerdict
    side_px: float
    sharpness: float
    brightness: float
    yaw_deg: float
    score: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON; an unknown yaw is null."""
        return {
            "verdict": self.verdict,
            "side_px": number(self.side_px, 1),
            "sharpness": number(self.sharpness, 3),
            "brightness": number(self.brightness, 1),
            "yaw_deg": number(self.yaw_deg, 1),
            "score": number(self.score, 4),
        }


def usability(
    original: NDArray[np.uint8],
    box_xyxy: NDArray[np.float32],
    landmarks: NDArray[np.float32],
    window: Window,
    score: float,
) -> Usability:
    """Judge a face; 0.05 ms.

    Args:
        original: (S, S, 3) uint8 BGR, the crop of the frame.
        box_xyxy: (4,) frame pixels.
        landmarks: (5, 2) x, y in frame pixels, NaN if not known.
        window: of the crop.
        score: of the detector, 0..1.
    """
    left, top, right, bottom = box_xyxy.tolist()
    side = max(right - left, bottom - top)
    inside, visible = _inside(left - window.x, top - window.y, right - window.x, bottom - window.y, window.side)
    luma = cv2.cvtColor(
        cv2.resize(original[inside], (SIDE, SIDE), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY
    ).astype(np.float32)
    sharp, bright, yaw = sharpness(luma), cv2.mean(luma)[0], yaw_deg(landmarks)
    pose = 1.0 if math.isnan(yaw) else math.cos(math.radians(yaw))
    quality = min(side / FULL_SIDE, 1) * min(sharp / FULL_SHARPNESS, 1) * min(bright / FULL_BRIGHTNESS, 1)
    return Usability(_verdict(side, sharp, bright, yaw), side, sharp, bright, yaw, score * quality * pose * visible)


def _inside(left: float, top: float, right: float, bottom: float, side: int) -> tuple[tuple[slice, slice], float]:
    """Rows and columns of a box in a crop, at least one of each; and the share of the box in the crop."""
    x0, y0 = (min(max(int(v), 0), side - 1) for v in (left, top))
    x1, y1 = max(min(math.ceil(right), side), x0 + 1), max(min(math.ceil(bottom), side), y0 + 1)
    width, height = min(right, side) - max(left, 0), min(bottom, side) - max(top, 0)
    area = max((right - left) * (bottom - top), 1e-6)
    return (slice(y0, y1), slice(x0, x1)), min(max(width, 0) * max(height, 0) / area, 1)


def _verdict(side: float, sharp: float, bright: float, yaw: float) -> UsabilityVerdict:
    if side < MIN_SIDE:
        return "too small"
    if bright < MIN_BRIGHTNESS:
        return "too dark"
    if sharp < MIN_SHARPNESS:
        return "too blurred"
    return "profile" if abs(yaw) > MAX_YAW_DEG else "ok"


def sharpness(luma: NDArray[np.float32]) -> float:
    """Energy of the differences between neighbours after a slight blur, relative to a stronger one, in the worse of the
    two directions: motion blurs one of them. The ratio does not depend on contrast; the slight blur hides noise.

    Args:
        luma: (32, 32) of the face, 0..255.

    Returns:
        0 to about 1.
    """
    fine, coarse = cv2.blur(luma, (2, 2)), cv2.blur(luma, (5, 5))
    rows = _energy(fine[1:] - fine[:-1]) / (_energy(coarse[1:] - coarse[:-1]) + 1)
    columns = _energy(fine[:, 1:] - fine[:, :-1]) / (_energy(coarse[:, 1:] - coarse[:, :-1]) + 1)
    return max(0.0, (min(rows, columns) - 1) / 2)


def _energy(differences: NDArray[np.float32]) -> float:
    return float(np.vdot(differences, differences))


def yaw_deg(landmarks: NDArray[np.float32]) -> float:
    """Yaw of a head, from the offset of the nose from the middle of eyes and mouth; 0 in a frontal face.

    Args:
        landmarks: (5, 2) x, y of the eyes, the nose and the corners of the mouth.

    Returns:
        Degrees in -90..90, positive to the right in the image; NaN if a landmark is not finite.
    """
    points = landmarks.tolist()
    (ax, ay), (bx, by), (nose_x, nose_y), (cx, cy), (dx, dy) = points
    across_x, across_y = bx - ax + dx - cx, by - ay + dy - cy
    length = math.hypot(across_x, across_y)
    if not math.isfinite(length) or not math.isfinite(nose_x + nose_y):
        return math.nan
    unit_x, unit_y = (across_x / length, across_y / length) if length else (1.0, 0.0)
    offset = (nose_x - (ax + bx + cx + dx) / 4) * unit_x + (nose_y - (ay + by + cy + dy) / 4) * unit_y
    eyes = (bx - ax) * unit_x + (by - ay) * unit_y
    return math.degrees(math.atan2(NOSE * offset, max(eyes, 0.0))) if offset else 0.0

"""Render faces into low-resolution frames: a face is filtered once, and sampled at its position in each frame.

The filter is that of the lens, of the motion and of the pixels' area. For an even scale it has an even number of taps,
so that a face at whole high-resolution pixels is sampled without interpolation, on the grid of the papers' bicubic.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..optics import Kernel
from .head_motion import HeadMotion
from .motion import Matrix, Motion

Picture = NDArray[np.uint8]
"""(H, W, 3) BGR."""
FEATHER = 6
"""Width in high-resolution pixels of the soft border of a pasted picture."""


@dataclass(frozen=True, eq=False)
class FilteredFace:
    """A face as the pixels of the sensor see it.

    Args:
        sharp: (H, W, 4) float32, BGR times opacity and opacity; the truth.
        filtered: the same with a border, behind lens and pixel area, `offset` pixels further on both axes.
        border: of `filtered`, in high-resolution pixels.
        offset: 0.5 for an even number of taps, 0 for an odd one.
        motion: path of the center of `sharp`.
    """

    sharp: NDArray[np.float32]
    filtered: NDArray[np.float32]
    border: int
    offset: float
    motion: Motion | HeadMotion

    def at(self, time: int) -> FilteredFace:
        """The face as it looks in a frame: always the same."""
        return self

    def place(self, time: float) -> Matrix:
        """Map of the pixels of `sharp` to high-resolution positions in the frame."""
        return self.motion.at(time, *self.sharp.shape[1::-1])


@dataclass(frozen=True, eq=False)
class LivingFace:
    """A face whose expression changes.

    Args:
        stages: the face at rest, and further stages of the expression, all with the same motion.
        at_time: index of the stage in each frame.
    """

    stages: tuple[FilteredFace, ...]
    at_time: tuple[int, ...]

    def at(self, time: int) -> FilteredFace:
        """The face as it looks in a frame."""
        return self.stages[self.at_time[time]]


Face = FilteredFace | LivingFace


def filter_face(
    picture: Picture, motion: Motion | HeadMotion, pixel_kernel: Kernel, lens: Kernel | None
) -> FilteredFace:
    """Filter a face for all frames of a sequence.

    Args:
        picture: (H, W, 3) BGR at the size of the truth.
        motion: of its center.
        pixel_kernel: (n,) of the downscaling, see `pixel_kernel`.
        lens: (m, m) blur of lens and motion; None for none.
    """
    opacity = _opacity(picture.shape[0], picture.shape[1])[..., None]
    sharp = np.concatenate((picture * opacity, opacity), 2).astype(np.float32)
    border = len(pixel_kernel) // 2 + (0 if lens is None else len(lens) // 2)
    filtered: Any = cv2.copyMakeBorder(sharp, border, border, border, border, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    if lens is not None:
        filtered = cv2.filter2D(filtered, -1, lens, borderType=cv2.BORDER_CONSTANT)
    anchor = ((len(pixel_kernel) - 1) // 2,) * 2  # with an even number, the result of pixel i is the value at i + 1/2
    filtered = cv2.sepFilter2D(filtered, -1, pixel_kernel, pixel_kernel, anchor=anchor, borderType=cv2.BORDER_CONSTANT)
    offset = 0.5 * (1 - len(pixel_kernel) % 2)
    return FilteredFace(sharp, np.asarray(filtered, np.float32), border, offset, motion)


def draw_low(frame: NDArray[np.float32], face: FilteredFace, time: float, scale: int, cell_xywh: Any) -> None:
    """Draw a face into a cell of a low-resolution frame, in place.

    Args:
        frame: (H, W, 3) float32.
        cell_xywh: of the face, in low-resolution pixels.
    """
    x, y, width, height = cell_xywh
    matrix = np.vstack((face.place(time), (0, 0, 1)))
    center = (scale - 1) / 2  # of a low-resolution pixel, in high-resolution pixels
    to_high = np.array(((scale, 0, scale * x + center), (0, scale, scale * y + center), (0, 0, 1)))
    shift = face.border - face.offset
    to_face = np.array(((1, 0, shift), (0, 1, shift), (0, 0, 1))) @ np.linalg.inv(matrix) @ to_high
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    drawn = cv2.warpAffine(face.filtered, to_face[:2], (width, height), flags=flags)
    target = frame[y : y + height, x : x + width]
    target *= 1 - drawn[..., 3:]
    target += drawn[..., :3]


def draw_truth(window: NDArray[np.float32], face: FilteredFace, time: float, origin_xy: tuple[int, int]) -> None:
    """Draw the sharp face into a high-resolution window whose corner is at `origin_xy`, in place: (S, S, 3) float32."""
    matrix = face.place(time)
    matrix[:, 2] -= origin_xy
    size = window.shape[1::-1]
    flags = cv2.INTER_NEAREST if face.motion.rigid and face.motion.whole_pixels else cv2.INTER_CUBIC
    drawn = cv2.warpAffine(face.sharp, matrix, size, flags=flags)
    window *= 1 - np.clip(drawn[..., 3:], 0, 1)
    window += drawn[..., :3]


@lru_cache(maxsize=64)
def pixel_kernel(filter_name: str, scale: int) -> Kernel:
    """(n,) taps of a downscaling filter, n even as the scale or odd as the scale; the sum is 1."""
    support = {"area": 0.5, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}[filter_name]
    half = int(np.ceil(support * scale))
    count = 2 * half - scale % 2
    x = np.abs(np.arange(count) - (count - 1) / 2) / scale
    taps = {
        "area": (x < 0.5).astype(float),
        "bilinear": np.clip(1 - x, 0, None),
        "bicubic": np.where(
            x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0)
        ),
        "lanczos": np.where(x < 3, np.sinc(x) * np.sinc(x / 3), 0),
    }[filter_name]
    return np.asarray(taps / taps.sum(), np.float32)


@lru_cache(maxsize=256)
def _opacity(height: int, width: int) -> NDArray[np.float32]:
    """(H, W) 1 inside, falling to 0 at the border."""
    rows, columns = (np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5 for side in (height, width))
    return np.asarray(np.clip(np.minimum(rows[:, None], columns[None]) / FEATHER, 0, 1), np.float32)

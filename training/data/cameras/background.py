"""Backgrounds of the frames: pictures of a folder, or synthetic clutter."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ....calibration.data.faces import image_paths
from ....engines.errors import InputError

OCTAVES = 6
"""Layers of random patches in a synthetic background, each half as large as the one before."""
MIN_SIDE = 16
"""Smallest side of a picture in pixels."""


@dataclass(frozen=True, eq=False)
class Background:
    """A picture behind the faces.

    Args:
        source: (h, w, 3) uint8 BGR, of the frame's aspect.
        low: (H, W, 3) float32, as the sensor sees it.
        scale: high-resolution pixels per pixel of the frame.
    """

    source: NDArray[np.uint8]
    low: NDArray[np.float32]
    scale: int

    def window(self, x: int, y: int, side: int) -> NDArray[np.float32]:
        """The truth: (side, side, 3) float32 at a high-resolution position of the frame."""
        # Source pixels per high-resolution pixel; the axes differ a little, as the crop has whole pixels.
        ratio_xy = np.array(self.source.shape[1::-1]) / (self.scale * np.array(self.low.shape[1::-1]))
        offset = np.array((x, y)) * ratio_xy + (ratio_xy - 1) / 2
        matrix = np.column_stack((np.diag(ratio_xy), offset))
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        drawn = cv2.warpAffine(self.source, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(drawn, np.float32)


class Backgrounds:
    """Draws backgrounds.

    Args:
        folder: pictures; None for synthetic backgrounds.

    Raises:
        InputError: the folder does not exist or has no picture.
    """

    def __init__(self, folder: Path | None) -> None:
        self.paths: list[Path] = []
        if folder is not None:
            self.paths = image_paths(folder)

    def draw(self, width: int, height: int, scale: int, lens_sigma: float, rng: np.random.Generator) -> Background:
        """A background for frames of (height, width); `lens_sigma` is its blur in pixels of the frame.

        Raises:
            InputError: a picture cannot be read or is too small.
        """
        source = self._picture(rng)
        source = _cover(source, width / height, rng)
        filter_flag = cv2.INTER_AREA if source.shape[1] >= width else cv2.INTER_CUBIC
        low: Any = cv2.resize(source, (width, height), interpolation=filter_flag).astype(np.float32)
        if lens_sigma > 0.1:
            low = cv2.GaussianBlur(low, (0, 0), lens_sigma)
        return Background(source, low, scale)

    def _picture(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        if not self.paths:
            return synthetic(rng)
        path = self.paths[int(rng.integers(len(self.paths)))]
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(f"{path} is not a readable image; remove or replace it")
        if min(picture.shape[:2]) < MIN_SIDE:
            size = f"{picture.shape[1]}x{picture.shape[0]}"
            raise InputError(f"{path} is {size} px, at least {MIN_SIDE}x{MIN_SIDE} is needed; remove it")
        # OpenCV would copy a mirrored view as a whole for every window.
        return np.ascontiguousarray(picture[:, ::-1] if rng.random() < 0.5 else picture, np.uint8)


def synthetic(rng: np.random.Generator, width: int = 640, height: int = 360) -> NDArray[np.uint8]:
    """Clutter with the spectrum of natural scenes, (height, width, 3): patches of many sizes, hard or soft edges."""
    total: Any = np.full((height, width, 3), rng.uniform(60, 190, 3), np.float32)
    for octave in range(1, OCTAVES + 1):
        size = 2 ** (octave + 1), 2**octave
        gray = rng.standard_normal((size[1], size[0], 1), np.float32)
        patches = rng.standard_normal((size[1], size[0], 3), np.float32) + gray
        flag = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_CUBIC
        total = total + 40 / octave * cv2.resize(patches, (width, height), interpolation=flag)
    return np.asarray(np.clip(total, 0, 255), np.uint8)


def _cover(picture: NDArray[np.uint8], aspect: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random crop of an aspect ratio (width / height), at least 60 % of the largest one."""
    height, width = picture.shape[:2]
    crop_w = min(width, height * aspect) * rng.uniform(0.6, 1)
    size_wh = max(2, int(crop_w)), max(2, int(crop_w / aspect))
    x, y = (int(rng.integers(side - part + 1)) for side, part in zip((width, height), size_wh, strict=True))
    return picture[y : y + size_wh[1], x : x + size_wh[0]]

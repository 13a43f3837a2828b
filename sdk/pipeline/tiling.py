"""Detector passes over a frame: scale, tiles, overview, and their cost in pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.io_spec import IOSpec
from ...engines.errors import UsageError

MIN_FACE = 8
"""Side in pixels of the smallest face that the network is trained for."""
MAX_FACE = 320
"""Side in pixels of the largest face that the network is trained for; of a larger one it detects parts."""
TARGET_FACE = 10
"""Side in network pixels of the smallest requested face, if the frame is resized. Of faces from 24 px with min_face
20, YuNet finds 97.0 % if the smallest becomes 8 px, 97.4 % at 10, 98.5 % at 12 for 1.4 times the pixels, and 98.9 % in
the full frame; of faces from 40 px with min_face 40 it finds 90.9, 95.7 and 97.6 %."""
MIN_DOWNSCALE_FACE = 12
"""Below this min_face the frame is not downscaled: resizing by less than a sixth takes as long as the network saves."""
MAX_UPSCALE = 2.0
MAX_TILE_WH = (2048, 1152)
"""Largest input, in network pixels, of a network that takes any size: a 1080p frame, or a quarter of a 4K one."""
OVERLAP = 128
"""Network pixels that neighboring tiles share: more than the largest face that is upscaled."""


@dataclass(frozen=True)
class DetectorPass:
    """One call of the detector.

    Args:
        tile: window of the frame.
        resized_wh: width and height in pixels that the tile is resized to.
        network_hw: height and width in pixels of the network input, after grey padding.
    """

    tile: Tile
    resized_wh: tuple[int, int]
    network_hw: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """Detector passes over one frame.

    Args:
        size_wh: width and height of the frame, pixels.
        scale: network pixels per frame pixel; 1 if the frame is not resized.
        smallest_face: side of the smallest face that can be detected, frame pixels.
        passes: together they cover the frame.
        overview: one more pass over the whole downscaled frame, for faces that tiles cut or that are larger than
            `MAX_FACE`; None if no face can be.
    """

    size_wh: tuple[int, int]
    scale: float
    smallest_face: float
    passes: tuple[DetectorPass, ...]
    overview: DetectorPass | None

    @property
    def kind(self) -> str:
        """One of "full", "reduced", "tiles" (at full size or reduced) and "enlarged" (in one pass or in tiles)."""
        if self.scale > 1:
            return "enlarged"
        return "tiles" if len(self.passes) > 1 else "reduced" if self.scale < 1 else "full"

    @property
    def all_passes(self) -> tuple[DetectorPass, ...]:
        """The passes, and the overview last."""
        return (*self.passes, self.overview) if self.overview else self.passes

    @property
    def megapixels(self) -> float:
        """Millions of network input pixels a frame, padding included; the detector's time is proportional."""
        return sum(one.network_hw[0] * one.network_hw[1] for one in self.all_passes) / 1e6

    @property
    def largest_face(self) -> float:
        """Side in frame pixels of the largest face that at least one of the passes contains uncut."""
        return (MAX_FACE if len(self.passes) == 1 else OVERLAP) / self.scale

    def __str__(self) -> str:
        size = "full size" if self.scale == 1 else f"{self.scale:.2g} of its size"
        if self.scale > 1:
            size = f"{self.scale:.2g} times its size"
        height, width = self.passes[0].network_hw
        tiles = "whole" if len(self.passes) == 1 else f"in {len(self.passes)} tiles of {width}x{height}"
        overview = ", large faces at {}x{}".format(*self.overview.resized_wh) if self.overview else ""
        frame = "{}x{}".format(*self.size_wh)
        return f"{frame} {tiles} at {size}{overview}, {self.megapixels:.2f} Mpx, faces from {self.smallest_face:.3g} px"

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return {
            "kind": self.kind,
            "scale": round(self.scale, 4),
            "passes": len(self.passes),
            "pass_wh": list(reversed(self.passes[0].network_hw)),
            "overview_wh": list(self.overview.resized_wh) if self.overview else None,
            "megapixels": round(self.megapixels, 3),
            "smallest_face": round(self.smallest_face, 2),
        }


def check_min_face(min_face: float) -> None:
    """Raise UsageError if `min_face` is below one pixel, not finite or not a number."""
    if not isinstance(min_face, (int, float, np.number)) or not 1 <= min_face < math.inf:
        raise UsageError(f"min_face is {min_face!r}, expected pixels, 1 or more")


@lru_cache(maxsize=64)
def plan_for(width: int, height: int, min_face: float, io_spec: IOSpec) -> Plan:
    """Plan the fewest detector pixels that show the smallest requested face.

    Args:
        width, height: of the frame, pixels.
        min_face: side of the smallest face of interest, frame pixels, 1 or more.
        io_spec: of the detector.

    Raises:
        UsageError: min_face is below one pixel, or not finite.
    """
    check_min_face(min_face)
    scale = 1.0 if MIN_FACE <= min_face < MIN_DOWNSCALE_FACE else min(MAX_UPSCALE, TARGET_FACE / min_face)
    max_wh = io_spec.largest_hw[::-1] if io_spec.largest_hw else MAX_TILE_WH
    overlap = min(OVERLAP, min(max_wh) // 2)
    tiles = tile_frame(width, height, _scaled(max_wh, 1 / scale, math.floor), math.ceil(overlap / scale))
    return Plan(
        size_wh=(width, height),
        scale=scale,
        smallest_face=max(min_face, MIN_FACE / scale),
        passes=tuple(_pass(tile, scale, io_spec) for tile in tiles),
        overview=_overview(width, height, scale, len(tiles), io_spec),
    )


def _overview(width: int, height: int, scale: float, tiles: int, io_spec: IOSpec) -> DetectorPass | None:
    """A pass over the whole frame, downscaled by a whole number, which is the fastest resize.

    It omits the last rows and columns where the size is not a multiple of that number.
    """
    if tiles == 1 and min(width, height) * scale <= 2 * MAX_FACE:
        return None
    factor = math.ceil(min(width, height) / MAX_FACE)  # the largest face in the frame becomes MAX_FACE at most
    factor = min(factor, int(0.75 * OVERLAP / scale / TARGET_FACE))  # faces cut by tiles stay large enough
    factor = max(factor, math.ceil(2 / scale))
    if io_spec.largest_hw:
        max_height, max_width = io_spec.largest_hw
        factor = max(factor, math.ceil(width / max_width), math.ceil(height / max_height))
    width, height = (side - side % factor or side for side in (width, height))
    return _pass(full_frame_tile(width, height), 1 / factor, io_spec)


def _pass(tile: Tile, scale: float, io_spec: IOSpec) -> DetectorPass:
    width, height = _scaled((tile.width, tile.height), scale, round)
    return DetectorPass(tile, (width, height), io_spec.padded_hw(height, width))


def _scaled(size_wh: tuple[int, int], scale: float, rounding: Callable[[float], int]) -> tuple[int, int]:
    width, height = (max(1, rounding(side * scale)) for side in size_wh)
    return width, height


TOLERANCE = 8
"""Frame pixels: distance of a box center outside of a core that is still accepted, since two tiles do not place a face
identically; and distance of a box from the border of its tile below which it counts as cut."""


@dataclass(frozen=True)
class Tile:
    """A window of the frame, and its core: the part whose detections are kept.

    Args:
        x, y, width, height: the window, frame pixels.
        core_xyxy: a detection is kept if its center lies here; the cores of all tiles cover the plane without overlap.
    """

    x: int
    y: int
    width: int
    height: int
    core_xyxy: tuple[float, float, float, float]

    def owns(self, boxes_xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Select the boxes that are centered in the core and not cut by the border to a neighboring tile.

        Args:
            boxes_xyxy: (N, 4) in frame pixels.

        Returns:
            (N,); of a box at the border between two cores, both tiles may be owners.
        """
        core = np.array(self.core_xyxy)
        borders = np.array((self.x, self.y, self.x + self.width, self.y + self.height), np.float64)
        borders[~np.isfinite(core)] = core[~np.isfinite(core)]  # the edges of the frame cut nothing visible
        low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
        center = (low + high) / 2
        central = (center >= core[:2] - TOLERANCE) & (center < core[2:] + TOLERANCE)
        uncut = (low > borders[:2] + TOLERANCE) & (high < borders[2:] - TOLERANCE)
        return np.asarray((central & uncut).all(1), np.bool_)


def full_frame_tile(width: int, height: int) -> Tile:
    """A single tile that covers the frame and owns every box."""
    return Tile(0, 0, width, height, (float("-inf"), float("-inf"), float("inf"), float("inf")))


def tile_frame(width: int, height: int, tile_wh: tuple[int, int], overlap: int) -> list[Tile]:
    """Cover a frame with the fewest tiles, all of one size and no larger than needed.

    Args:
        width, height: of the frame, pixels.
        tile_wh: maximum width and height of a tile.
        overlap: minimum number of pixels that neighbors share: the side of the largest face that must not be cut.

    Returns:
        One tile if the frame fits into it.
    """
    columns = _tile_axis(width, tile_wh[0], overlap)
    rows = _tile_axis(height, tile_wh[1], overlap)
    return [
        Tile(x0, y0, x1 - x0, y1 - y0, (left, top, right, bottom))
        for y0, y1, top, bottom in rows
        for x0, x1, left, right in columns
    ]


def _tile_axis(length: int, max_tile: int, overlap: int) -> list[tuple[int, int, float, float]]:
    """Start, end and core of each tile along one axis; tiles are evenly spaced, cores meet mid-overlap."""
    if length <= max_tile:
        return [(0, length, float("-inf"), float("inf"))]
    count = 1 + -(-(length - max_tile) // max(1, max_tile - overlap))
    tile = min(max_tile, -(-(length + (count - 1) * overlap) // count))
    starts = [round(i * (length - tile) / (count - 1)) for i in range(count)]
    cuts = [float("-inf"), *((a + tile + b) / 2 for a, b in pairwise(starts)), float("inf")]
    return [(start, start + tile, cuts[i], cuts[i + 1]) for i, start in enumerate(starts)]

"""How a frame is looked at: at which scale, in how many pieces, and what that costs."""

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
"""Side in pixels of the smallest face that the network is made for."""
ARRIVAL = 10
"""Side in pixels at which the smallest face asked for reaches a network that is shown another size than the frame's.
Of faces from 24 px, at a least face of 20 px, YuNet finds 97.0 % if it arrives with 8 px, 97.4 % with 10, 98.5 % with
12 for 1.4 times the pixels, and 98.9 % in the whole frame; of faces from 40 px, at 40, it is 90.9, 95.7 and 97.6 %."""
LEAST_SHRUNK = 12
"""Below this face the frame is seen as it is: shrinking it by less than a sixth takes as long as the network saves."""
MAX_FACE = 320
"""Side in pixels of the largest face that the network takes for one; of a larger one it sees parts."""
MAX_UPSCALE = 2.0
MAX_TILE_WH = (2048, 1152)
"""Most that a network of any size is shown at once, in its own pixels: a 1080p frame, or a quarter of a 4K one."""
OVERLAP = 128
"""Pixels of the network that neighbouring tiles share: more than the largest face that is super-resolved."""


@dataclass(frozen=True)
class DetectorPass:
    """One picture that the network is shown.

    Args:
        tile: the window of the frame.
        seen_wh: width and height that it is scaled to.
        network_hw: height and width of the picture that it is padded to.
    """

    tile: Tile
    seen_wh: tuple[int, int]
    network_hw: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """How a frame is looked at.

    Args:
        size_wh: of the frame.
        scale: pixels of the network for one of the frame, 1 where it is seen as it is.
        smallest_face: that can be hoped for, in pixels of the frame.
        looks: that together cover the frame.
        overview: one more, at the whole frame made small, for faces that are cut by tiles or too large; or none.
    """

    size_wh: tuple[int, int]
    scale: float
    smallest_face: float
    looks: tuple[DetectorPass, ...]
    overview: DetectorPass | None

    @property
    def kind(self) -> str:
        """One of "full", "reduced", "tiles" (at full size or reduced) and "enlarged" (in one piece or in tiles)."""
        if self.scale > 1:
            return "enlarged"
        return "tiles" if len(self.looks) > 1 else "reduced" if self.scale < 1 else "full"

    @property
    def megapixels(self) -> float:
        """Millions of pixels that the network is shown a frame, padding included; its time grows with them."""
        looks = [*self.looks, *([self.overview] if self.overview else [])]
        return sum(look.network_hw[0] * look.network_hw[1] for look in looks) / 1e6

    @property
    def largest_face(self) -> float:
        """Side of the largest face, in pixels of the frame, that the looks are sure to see in one piece."""
        return (MAX_FACE if len(self.looks) == 1 else OVERLAP) / self.scale

    def __str__(self) -> str:
        size = "full size" if self.scale == 1 else f"{self.scale:.2g} of its size"
        if self.scale > 1:
            size = f"{self.scale:.2g} times its size"
        height, width = self.looks[0].network_hw
        pieces = "whole" if len(self.looks) == 1 else f"in {len(self.looks)} tiles of {width}x{height}"
        overview = ", large faces at {}x{}".format(*self.overview.seen_wh) if self.overview else ""
        frame = "{}x{}".format(*self.size_wh)
        return (
            f"{frame} {pieces} at {size}{overview}, {self.megapixels:.2f} Mpx, faces from {self.smallest_face:.3g} px"
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "kind": self.kind,
            "scale": round(self.scale, 4),
            "looks": len(self.looks),
            "look_wh": list(reversed(self.looks[0].network_hw)),
            "overview_wh": list(self.overview.seen_wh) if self.overview else None,
            "megapixels": round(self.megapixels, 3),
            "smallest_face": round(self.smallest_face, 2),
        }


def check_min_face(min_face: float) -> None:
    """Refuse a smallest face that cannot be meant.

    Raises:
        UsageError: below one pixel, or no number.
    """
    if not 1 <= min_face < math.inf:
        raise UsageError(f"min_face is {min_face}, expected pixels, 1 or more")


@lru_cache(maxsize=64)
def plan_for(width: int, height: int, min_face: float, io_spec: IOSpec) -> Plan:
    """Choose the cheapest way of looking at a frame that shows the smallest face asked for.

    Args:
        width: of the frame, pixels.
        height: of the frame, pixels.
        min_face: smallest face of interest, in pixels of the frame, 1 or more.
        contract: of the detector.

    Raises:
        UsageError: a smallest face below one pixel, or no number.
    """
    check_min_face(min_face)
    scale = 1.0 if MIN_FACE <= min_face < LEAST_SHRUNK else min(MAX_UPSCALE, ARRIVAL / min_face)
    most_wh = io_spec.largest_hw[::-1] if io_spec.largest_hw else MAX_TILE_WH
    overlap = min(OVERLAP, min(most_wh) // 2)
    cover = tiles(width, height, _scaled(most_wh, 1 / scale, math.floor), math.ceil(overlap / scale))
    return Plan(
        size_wh=(width, height),
        scale=scale,
        smallest_face=max(min_face, MIN_FACE / scale),
        looks=tuple(_look(tile, scale, io_spec) for tile in cover),
        overview=_overview(width, height, scale, len(cover), io_spec),
    )


def _overview(width: int, height: int, scale: float, looks: int, io_spec: IOSpec) -> DetectorPass | None:
    """A look at the whole frame, made a whole number of times smaller, which is the quickest way of shrinking.

    For that it may leave out the last few rows and columns, fewer than would make one of its own.
    """
    if looks == 1 and min(width, height) * scale <= 2 * MAX_FACE:
        return None
    smaller = math.ceil(min(width, height) / MAX_FACE)  # the largest face that fits is one that the network knows
    smaller = min(smaller, int(0.75 * OVERLAP / scale / ARRIVAL))  # and one that tiles may cut is large enough
    smaller = max(smaller, math.ceil(2 / scale))
    if io_spec.largest_hw:
        high, wide = io_spec.largest_hw
        smaller = max(smaller, math.ceil(width / wide), math.ceil(height / high))
    width, height = (side - side % smaller or side for side in (width, height))
    return _look(whole(width, height), 1 / smaller, io_spec)


def _look(tile: Tile, scale: float, io_spec: IOSpec) -> DetectorPass:
    width, height = _scaled((tile.width, tile.height), scale, round)
    return DetectorPass(tile, (width, height), io_spec.padded_hw(height, width))


def _scaled(size_wh: tuple[int, int], scale: float, rounded: Callable[[float], int]) -> tuple[int, int]:
    width, height = (max(1, rounded(side * scale)) for side in size_wh)
    return width, height


SLACK = 8
"""Pixels of the frame: a centre may lie so far outside of its core, since two tiles do not place a face alike; and an
edge so near to the tile's, and the box counts as cut."""


@dataclass(frozen=True)
class Tile:
    """A window of the frame, and the part of it whose detections count.

    Args:
        x, y, width, height: the window, in frame pixels.
        core_xyxy: a detection counts if its centre lies here; the cores of all tiles cover the plane without overlap.
    """

    x: int
    y: int
    width: int
    height: int
    core_xyxy: tuple[float, float, float, float]

    def counts(self, boxes_xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Which boxes are this tile's to report: centred in its core, and not cut by a neighbour's border.

        Args:
            boxes_xyxy: (N, 4) in frame pixels.

        Returns:
            (N,); a box at the border between two cores may count in both.
        """
        core = np.array(self.core_xyxy)
        ends = np.array((self.x, self.y, self.x + self.width, self.y + self.height), np.float64)
        ends[~np.isfinite(core)] = core[~np.isfinite(core)]  # the frame's own edges cut nothing that could be seen
        low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
        centre = (low + high) / 2
        central = (centre >= core[:2] - SLACK) & (centre < core[2:] + SLACK)
        uncut = (low > ends[:2] + SLACK) & (high < ends[2:] - SLACK)
        return np.asarray((central & uncut).all(1), np.bool_)


def whole(width: int, height: int) -> Tile:
    """A frame as its only tile."""
    return Tile(0, 0, width, height, (float("-inf"), float("-inf"), float("inf"), float("inf")))


def tiles(width: int, height: int, tile_wh: tuple[int, int], overlap: int) -> list[Tile]:
    """Cover a frame with as few tiles as will do, all of one size and no larger than needed.

    Args:
        width: of the frame.
        height: of the frame.
        tile_wh: largest width and height of a tile.
        overlap: pixels that neighbours share at least; as large as the largest face that must not be cut.

    Returns:
        One tile where the frame fits in it.
    """
    columns = _spans(width, tile_wh[0], overlap)
    rows = _spans(height, tile_wh[1], overlap)
    return [
        Tile(x0, y0, x1 - x0, y1 - y0, (left, top, right, bottom))
        for y0, y1, top, bottom in rows
        for x0, x1, left, right in columns
    ]


def _spans(length: int, largest: int, overlap: int) -> list[tuple[int, int, float, float]]:
    """Start, end and core of each tile along one axis; tiles lie evenly, cores meet in the middle of the overlap."""
    if length <= largest:
        return [(0, length, float("-inf"), float("inf"))]
    count = 1 + -(-(length - largest) // max(1, largest - overlap))
    tile = min(largest, -(-(length + (count - 1) * overlap) // count))
    starts = [round(i * (length - tile) / (count - 1)) for i in range(count)]
    cuts = [float("-inf"), *((a + tile + b) / 2 for a, b in pairwise(starts)), float("inf")]
    return [(start, start + tile, cuts[i], cuts[i + 1]) for i, start in enumerate(starts)]

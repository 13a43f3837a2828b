"""Tiles that cover a large frame, overlapping, so that no small face is scaled away or cut."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

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

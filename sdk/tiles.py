"""Tiles that cover a large frame, overlapping, so that no small face is scaled away or cut."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


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


def tiles(width: int, height: int, tile_wh: tuple[int, int], overlap: int) -> list[Tile]:
    """Cover a frame.

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


def _spans(length: int, tile: int, overlap: int) -> list[tuple[int, int, float, float]]:
    """Start, end and core of each tile along one axis; tiles lie evenly, cores meet in the middle of the overlap."""
    if length <= tile:
        return [(0, length, float("-inf"), float("inf"))]
    step = max(1, tile - overlap)
    count = 1 + -(-(length - tile) // step)
    starts = [round(i * (length - tile) / (count - 1)) for i in range(count)]
    cuts = [float("-inf"), *((a + tile + b) / 2 for a, b in pairwise(starts)), float("inf")]
    return [(start, start + tile, cuts[i], cuts[i + 1]) for i, start in enumerate(starts)]

"""Detection around known faces: regions of the frame, packed into one input of the detector."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.io_spec import IOSpec
from ...engines.postprocess import Detections
from .tiling import MAX_FACE, Plan, Tile

GRID = 32
"""Network pixels, the detector's coarsest stride. Regions on this grid give the boxes of the full pass: mean IoU 0.99
with these, 0.94 off the grid; for faces below 24 px 0.95 and 0.79."""
MARGIN = 32
"""Minimum network pixels around a face: with less, scores of small faces change, by 0.04 (standard deviation) at 16 px
and 0.02 at 32 px."""
LARGE_MARGIN = 16
"""The same for faces from four times `MARGIN - LARGE_MARGIN` on, to which a quarter of the face is added."""
MAX_SHARE = 0.5
"""Maximum network pixels, relative to those of a full detection."""
STEPS = {width: max(GRID, width // 8 // GRID * GRID) for width in (128, 192, 256, 320, 448, 640, 960, 1920)}
CANVASES_WH = sorted(
    ((width, height) for width, step in STEPS.items() for height in range(step, 1088 + step, step)), key=prod
)
"""Inputs for a detector that accepts any size: a fixed set, since runtimes prepare each size once."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the frame as resized for the detector, in network pixels on the grid; may exceed the frame."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height."""
        return self.x1 - self.x0, self.y1 - self.y0

    def union(self, other: Region) -> Region:
        """The smallest region that holds both."""
        low, high = (self.x0, self.y0, other.x0, other.y0), (self.x1, self.y1, other.x1, other.y1)
        return Region(min(low[::2]), min(low[1::2]), max(high[::2]), max(high[1::2]))


@dataclass(frozen=True)
class Cell:
    """A region in a canvas.

    Args:
        tile: its window of the frame.
        resized_wh: width and height in network pixels that the window is resized to.
        x, y: its left column and top row in the canvas.
    """

    tile: Tile
    resized_wh: tuple[int, int]
    x: int
    y: int

    def own(self, detections: Detections) -> Detections:
        """Those detections in the canvas that are centered in the cell, relative to its corner."""
        corner = np.array((self.x, self.y), np.float32)
        centers = (detections.boxes_xyxy[:, :2] + detections.boxes_xyxy[:, 2:]) / 2 - corner
        centered = np.flatnonzero(((centers >= 0) & (centers < self.resized_wh)).all(1))
        own = detections[centered]
        return Detections(own.boxes_xyxy - np.tile(corner, 2), own.scores, own.landmarks - corner)


@dataclass(frozen=True)
class RegionPlan:
    """Detector passes around known faces.

    Args:
        plan: of a full detection.
        cells: regions at its scale; together one input of the detector.
        network_hw: height and width of that input, the canvas; (0, 0) without cells.
        overview: whether the overview of `plan` is run too, for large faces.
        megapixels: millions of network input pixels, padding included.
    """

    plan: Plan
    cells: tuple[Cell, ...]
    network_hw: tuple[int, int]
    overview: bool
    megapixels: float


def plan_regions(boxes_xyxy: NDArray[np.float32], plan: Plan, io_spec: IOSpec) -> RegionPlan | None:
    """Plan the detector passes around known faces.

    Args:
        boxes_xyxy: (N, 4) expected boxes of the faces, frame pixels.
        plan: of a full detection of the frame.
        io_spec: of the detector.

    Returns:
        None if they would cost more than `MAX_SHARE` of a full detection.
    """
    sides = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(1, initial=0)
    overview = plan.overview if (sides > plan.largest_face / 2).any() else None
    if plan.overview:
        boxes_xyxy = boxes_xyxy[sides <= MAX_FACE / plan.scale]
    regions = merge_regions([region for box in boxes_xyxy if (region := _region(box, plan))])
    packed = pack(regions, io_spec)
    if packed is None:
        return None
    network_hw, corners = packed
    cells = tuple(_cell(region, corner, plan) for region, corner in zip(regions, corners, strict=True))
    pixels = prod(network_hw) + (prod(overview.network_hw) if overview else 0)
    if pixels > MAX_SHARE * 1e6 * plan.megapixels:
        return None
    return RegionPlan(plan, cells, network_hw, overview is not None, pixels / 1e6)


def _region(box_xyxy: NDArray[np.float32], plan: Plan) -> Region | None:
    """The region of a face; None if it lies outside of the frame."""
    low, high = box_xyxy[:2] * plan.scale, box_xyxy[2:] * plan.scale
    margin = max(MARGIN, LARGE_MARGIN + float((high - low).max()) / 4)
    size = np.array(plan.size_wh) * plan.scale
    x0, y0 = (np.floor(np.clip(low - margin, 0, None) / GRID) * GRID).astype(int).tolist()
    x1, y1 = (np.ceil(np.minimum(high + margin, size) / GRID) * GRID).astype(int).tolist()
    return Region(x0, y0, x1, y1) if x0 < min(x1, size[0]) and y0 < min(y1, size[1]) else None


def merge_regions(regions: list[Region]) -> list[Region]:
    """Merge regions as long as the union of two has no more pixels than the two; highest first."""
    merged: list[Region] = []
    for region in regions:
        while other := next((one for one in merged if _merges(one, region)), None):
            merged.remove(other)
            region = region.union(other)
        merged.append(region)
    return sorted(merged, key=lambda region: (-region.size_wh[1], -region.size_wh[0], region.y0, region.x0))


def _merges(a: Region, b: Region) -> bool:
    return prod(a.union(b).size_wh) <= prod(a.size_wh) + prod(b.size_wh)


def pack(regions: list[Region], io_spec: IOSpec) -> tuple[tuple[int, int], list[tuple[int, int]]] | None:
    """Place regions in the smallest canvas that holds them.

    Args:
        regions: highest first.
        io_spec: of the detector.

    Returns:
        Height and width of the canvas, and the left column and top row of each region; None if no canvas holds them.
    """
    if not regions:
        return (0, 0), []
    pixels = sum(prod(region.size_wh) for region in regions)
    sizes_wh = sorted(((width, height) for height, width in io_spec.sizes_hw), key=prod) or CANVASES_WH
    for width, height in sizes_wh:
        if pixels <= width * height and (corners := _shelves(regions, width, height)) is not None:
            return (height, width), corners
    return None


def _shelves(regions: list[Region], max_width: int, max_height: int) -> list[tuple[int, int]] | None:
    """Corners of regions, highest first, in rows from the top; None if they do not fit."""
    corners: list[tuple[int, int]] = []
    x = y = shelf = 0
    for width, height in (region.size_wh for region in regions):
        if x + width > max_width:
            x, y, shelf = 0, y + shelf, 0
        if x + width > max_width or y + height > max_height:
            return None
        corners.append((x, y))
        x, shelf = x + width, max(shelf, height)
    return corners


def _cell(region: Region, corner: tuple[int, int], plan: Plan) -> Cell:
    """A region in frame pixels; only its borders inside of the frame cut faces."""
    x, x1, left, right, width = _axis(region.x0, region.x1, plan.size_wh[0], plan.scale)
    y, y1, top, bottom, height = _axis(region.y0, region.y1, plan.size_wh[1], plan.scale)
    return Cell(Tile(x, y, x1 - x, y1 - y, (left, top, right, bottom)), (width, height), *corner)


def _axis(start: int, end: int, length: int, scale: float) -> tuple[int, int, float, float, int]:
    """First and last frame pixel of a region along one axis, both ends of its core, and its network pixels."""
    first, last = round(start / scale), min(round(end / scale), length)
    low = float("-inf") if first == 0 else float(first)
    high = float("inf") if last == length else float(last)
    return first, last, low, high, min(end - start, max(1, round((last - first) * scale)))

"""Stage 1: detect the faces of a frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import EngineError, UsageError
from ...engines.padding import GREY, fill_grey
from ...engines.postprocess import NMS_IOU, Detections, decode, nms
from ...engines.session import Session
from ...zoo.catalogue import DEFAULT_SCORE
from .frame import Color, Frame, frame_from
from .regions import RegionPlan
from .tiling import MAX_FACE, MIN_FACE, DetectorPass, Plan, Tile, check_min_face, plan_for

Infer = Callable[[NDArray[np.uint8]], NDArray[Any]]

MIN_CONTAINED = 0.8
"""A box lies inside another if this share of its area does."""


class Detector:
    """Face detector for frames of any size; a context manager.

    Thread-safe: calls from several threads or pipelines wait for each other.

    Args:
        session: a face-detection engine.
        score: minimum score of the returned faces, 0..1.
        min_face: side of the smallest face of interest, frame pixels; the default of each call. From 12 on the frame is
            downscaled before detection, which is faster; below 8 it is enlarged, up to twice, which is slower. Boxes
            are returned in frame pixels in any case.
        fingerprint: names the weights; a stopped run is resumed only with the same.

    Raises:
        UsageError: a score outside 0..1, or min_face below one pixel.
        EngineError: the session is not a detector.
    """

    def __init__(
        self, session: Session, score: float = DEFAULT_SCORE, min_face: float = MIN_FACE, *, fingerprint: str = ""
    ) -> None:
        if session.io_spec.task != "face-detection":
            raise EngineError(f"expected a face detector, got a bundle for {session.io_spec.task}")
        if not isinstance(score, (int, float, np.number)) or not 0 <= score <= 1:
            raise UsageError(f"score is {score!r}, expected 0 to 1")
        check_min_face(min_face)
        self.session, self.score, self.min_face, self.fingerprint = session, score, min_face, fingerprint
        self._buffer, self._lock = np.empty(0, np.uint8), Lock()

    def plan(self, width: int, height: int, min_face: float | None = None) -> Plan:
        """The passes over a frame, and their cost.

        Args:
            width, height: of the frame, pixels.
            min_face: see `__call__`.

        Raises:
            UsageError: min_face is below one pixel.
        """
        return plan_for(width, height, self.min_face if min_face is None else min_face, self.session.io_spec)

    def __call__(
        self,
        frame: NDArray[Any] | Frame,
        *,
        min_face: float | None = None,
        color: Color = "bgr",
        bits: int | None = None,
    ) -> Detections:
        """Detect faces.

        Args:
            frame: (H, W, 3) uint8 BGR, or another layout that `bgr_from` converts; or a `Frame`.
            min_face: side of the smallest face of interest in this frame, pixels; None for the detector's. Smaller
                faces may be returned too.
            color, bits: of an array that is not uint8 BGR, see `bgr_from`.

        Returns:
            Faces in frame pixels, best first.

        Raises:
            InputError: another shape or dtype.
            UsageError: min_face is below one pixel, or color or bits are invalid.
            EngineError: the detector is closed.
        """
        return self.detect(frame_from(frame, color=color, bits=bits).pixels, min_face=min_face)

    def detect(
        self,
        frame: NDArray[np.uint8],
        *,
        min_face: float | None = None,
        score: float | None = None,
        infer: Infer | None = None,
    ) -> Detections:
        """Detect faces in a frame that is known to be valid; see `__call__`.

        Args:
            frame: (H, W, 3) uint8 BGR.
            min_face: see `__call__`.
            score: minimum score of the returned faces, 0..1; None for the detector's.
            infer: called in place of the session's `infer`, for instance to time it.
        """
        infer, score = infer or self.session.infer, self.min_score(score)
        plan = self.plan(frame.shape[1], frame.shape[0], min_face)
        return merge_passes(plan, [self._run_pass(frame, one, infer, score) for one in plan.all_passes])

    def _run_pass(
        self, frame: NDArray[np.uint8], detector_pass: DetectorPass, infer: Infer, score: float
    ) -> Detections:
        """Detections of one pass in network pixels, before suppression."""
        with self._lock:
            image = self._network_input(frame, detector_pass)
            maps = infer(image[None])[0]
        return decode(maps, image.shape[0], image.shape[1], score)

    def min_score(self, score: float | None) -> float:
        """Minimum score, 0..1; the detector's for None."""
        return self.score if score is None else score

    def detect_around(
        self,
        frame: NDArray[np.uint8],
        regions: RegionPlan,
        *,
        score: float | None = None,
        infer: Infer | None = None,
    ) -> Detections:
        """Detect faces in regions of a frame, with the scores and boxes of a full detection.

        Args:
            frame: (H, W, 3) uint8 BGR.
            regions: from `plan_regions`, for frames of this size.
            score, infer: see `detect`.

        Returns:
            Faces in frame pixels, best first.
        """
        infer, score = infer or self.session.infer, self.min_score(score)
        canvas = large = Detections.empty()
        if regions.cells:
            canvas = self._run_cells(frame, regions, infer, score)
        if regions.overview and regions.plan.overview:
            large = self._run_pass(frame, regions.plan.overview, infer, score)
        return merge_regions(regions, canvas, large)

    def _run_cells(self, frame: NDArray[np.uint8], regions: RegionPlan, infer: Infer, score: float) -> Detections:
        """Detections of all regions in network pixels of the canvas, before suppression."""
        with self._lock:
            image = self._image(regions.network_hw)
            image[:] = GREY
            for cell in regions.cells:
                width, height = cell.resized_wh
                resize(_window(frame, cell.tile), image[cell.y :, cell.x :][:height, :width])
            maps = infer(image[None])[0]
        return decode(maps, *regions.network_hw, score)

    def _network_input(self, frame: NDArray[np.uint8], detector_pass: DetectorPass) -> NDArray[np.uint8]:
        """The tile, resized and padded with grey in a reused buffer; a view of the frame if it needs neither."""
        width, height = detector_pass.resized_wh
        window = _window(frame, detector_pass.tile)
        if window.shape[:2] == detector_pass.network_hw == (height, width) and window.flags.c_contiguous:
            return window
        image = self._image(detector_pass.network_hw)
        resize(window, fill_grey(image, height, width))
        return image

    def _image(self, network_hw: tuple[int, int]) -> NDArray[np.uint8]:
        """An uninitialized network input in the reused buffer."""
        size = 3 * network_hw[0] * network_hw[1]
        if self._buffer.size < size:
            self._buffer = np.empty(size, np.uint8)
        return self._buffer[:size].reshape(*network_hw, 3)

    def close(self) -> None:
        """Release the engine and the buffer; later calls raise an EngineError. Idempotent."""
        self.session.close()
        with self._lock:
            self._buffer = np.empty(0, np.uint8)

    def __enter__(self) -> Detector:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _window(frame: NDArray[np.uint8], tile: Tile) -> NDArray[np.uint8]:
    return frame[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]


MAX_HALVINGS = 3
"""The GPU kernel's maximum; the rest is resized directly."""


def halvings(window_hw: tuple[int, int], resized_hw: tuple[int, int]) -> int:
    """How often a window is halved before it is resized.

    A quarter and less is made by halving first, which OpenCV does by SIMD: 1.3 instead of 4.9 ms from 1920x1080 to
    480x270 on one thread, at most one gray level apart.
    """
    (height, width), count = window_hw, 0
    while count < MAX_HALVINGS and height % (4 * resized_hw[0]) == width % (4 * resized_hw[1]) == 0:
        height, width, count = height // 2, width // 2, count + 1
    return count


def resize(window: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Fill `out` with the resized window; the kernel ``fill_cells`` is equivalent."""
    height, width = out.shape[:2]
    if window.shape == out.shape:
        out[:] = window
        return
    for _ in range(halvings((window.shape[0], window.shape[1]), (height, width))):
        window = np.asarray(cv2.resize(window, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
    method = cv2.INTER_AREA if width <= window.shape[1] and height <= window.shape[0] else cv2.INTER_LINEAR
    cv2.resize(window, (width, height), dst=out, interpolation=method)


def _in_frame(detections: Detections, tile: Tile, resized_wh: tuple[int, int]) -> Detections:
    """Those detections in a resized tile that it owns, in frame pixels."""
    corner = np.array([tile.x, tile.y], np.float32)
    scale = np.array([tile.width / resized_wh[0], tile.height / resized_wh[1]], np.float32)
    boxes = detections.boxes_xyxy * np.tile(scale, 2) + np.tile(corner, 2)
    owned = np.flatnonzero(tile.owns(boxes))
    return Detections(boxes, detections.scores, detections.landmarks * scale + corner)[owned]


def merge_passes(plan: Plan, detections: Sequence[Detections]) -> Detections:
    """Merge the detections of all passes over a frame.

    Args:
        plan: of the frame.
        detections: of each of `Plan.all_passes`, in network pixels, before suppression.

    Returns:
        Faces in frame pixels, best first.
    """
    pairs = zip(detections, plan.all_passes, strict=True)
    in_frame = [_in_frame(found, one.tile, one.resized_wh) for found, one in pairs]
    tiles = Detections.merge(in_frame[: len(plan.passes)])
    return nms(merge_overview(tiles, in_frame[-1], plan) if plan.overview else tiles, NMS_IOU)


def merge_regions(regions: RegionPlan, canvas: Detections, overview: Detections) -> Detections:
    """Merge the detections of the passes around known faces.

    Args:
        regions: plan of these passes.
        canvas: of the cells, in network pixels, before suppression; none without cells.
        overview: the same of the overview.

    Returns:
        Faces in frame pixels, best first.
    """
    found = Detections.merge([_in_frame(cell.own(canvas), cell.tile, cell.resized_wh) for cell in regions.cells])
    plan = regions.plan
    if plan.overview:
        found = merge_overview(found, _in_frame(overview, plan.overview.tile, plan.overview.resized_wh), plan)
    return nms(found, NMS_IOU)


def merge_overview(tiles: Detections, overview: Detections, plan: Plan) -> Detections:
    """Merge the detections of a plan's tile passes with those of its overview, before suppression.

    Args:
        tiles: of the passes, in frame pixels. Removed are boxes larger than `MAX_FACE`, and boxes inside an overview
            box that has a better score, is larger than `Plan.largest_face` and has more than twice their area: they are
            parts of a large face.
        overview: of the overview, in frame pixels. Removed are boxes below half of `Plan.largest_face`, which the tiles
            show at a higher resolution.
        plan: of both.
    """
    overview = overview[np.flatnonzero(_longer_sides(overview) > plan.largest_face / 2)]
    kept = _longer_sides(tiles) <= MAX_FACE / plan.scale
    areas = (tiles.boxes_xyxy[:, 2:] - tiles.boxes_xyxy[:, :2]).prod(1)
    large = _longer_sides(overview) > plan.largest_face
    for box, score in zip(overview.boxes_xyxy[large], overview.scores[large], strict=True):
        shared = np.minimum(tiles.boxes_xyxy[:, 2:], box[2:]) - np.maximum(tiles.boxes_xyxy[:, :2], box[:2])
        contained = np.clip(shared, 0, None).prod(1) >= MIN_CONTAINED * areas
        kept &= ~(contained & (2 * areas < (box[2:] - box[:2]).prod()) & (tiles.scores < score))
    return Detections.merge([tiles[np.flatnonzero(kept)], overview])


def _longer_sides(detections: Detections) -> NDArray[np.float32]:
    """The longer side of each box, (N,)."""
    sides: NDArray[np.float32] = (detections.boxes_xyxy[:, 2:] - detections.boxes_xyxy[:, :2]).max(1, initial=0)
    return sides

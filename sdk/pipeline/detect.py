"""Stage 1: detect the faces of a frame."""

from __future__ import annotations

from collections.abc import Callable
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
from .frame import bgr_from
from .regions import RegionPlan
from .tiling import MAX_FACE, MIN_FACE, DetectorPass, Plan, Tile, check_min_face, plan_for

Infer = Callable[[NDArray[np.uint8]], NDArray[Any]]

MIN_CONTAINED = 0.8
"""A box lies inside another if this share of its area does."""


class Detector:
    """Face detector for frames of any size. Thread-safe: calls from several threads or pipelines wait for each other.

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
        if not 0 <= score <= 1:
            raise UsageError(f"score is {score}, expected 0 to 1")
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

    def __call__(self, frame: NDArray[Any], *, min_face: float | None = None) -> Detections:
        """Detect faces.

        Args:
            frame: (H, W, 3) uint8 BGR, or another layout that `bgr_from` converts.
            min_face: side of the smallest face of interest in this frame, pixels; None for the detector's. Smaller
                faces may be returned too.

        Returns:
            Faces in frame pixels, best first.

        Raises:
            InputError: another shape or dtype.
            UsageError: min_face is below one pixel.
        """
        return self.detect(bgr_from(frame), min_face=min_face)

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
        infer = infer or self.session.infer
        plan = self.plan(frame.shape[1], frame.shape[0], min_face)
        detections = Detections.merge([self.run_pass(frame, tile_pass, infer, score) for tile_pass in plan.passes])
        if plan.overview:
            detections = merge_overview(detections, self.run_pass(frame, plan.overview, infer, score), plan)
        return nms(detections, NMS_IOU)

    def run_pass(
        self, frame: NDArray[np.uint8], detector_pass: DetectorPass, infer: Infer, score: float | None = None
    ) -> Detections:
        """Detections of one pass in frame pixels, before suppression."""
        with self._lock:
            image = self._network_input(frame, detector_pass)
            maps = infer(image[None])[0]
        detections = decode(maps, image.shape[0], image.shape[1], self._min_score(score))
        return _in_frame(detections, detector_pass.tile, detector_pass.resized_wh)

    def _min_score(self, score: float | None) -> float:
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
        infer = infer or self.session.infer
        detections = self._run_cells(frame, regions, infer, self._min_score(score))
        if regions.plan.overview:
            overview = regions.plan.overview if regions.overview else None
            large = self.run_pass(frame, overview, infer, score) if overview else Detections.empty()
            detections = merge_overview(detections, large, regions.plan)
        return nms(detections, NMS_IOU)

    def _run_cells(self, frame: NDArray[np.uint8], regions: RegionPlan, infer: Infer, score: float) -> Detections:
        """Detections of all regions in frame pixels, before suppression."""
        if not regions.cells:
            return Detections.empty()
        with self._lock:
            image = self._image(regions.network_hw)
            image[:] = GREY
            for cell in regions.cells:
                width, height = cell.resized_wh
                _resize(_window(frame, cell.tile), image[cell.y :, cell.x :][:height, :width])
            maps = infer(image[None])[0]
        detections = decode(maps, *regions.network_hw, score)
        return Detections.merge([_in_frame(cell.own(detections), cell.tile, cell.resized_wh) for cell in regions.cells])

    def _network_input(self, frame: NDArray[np.uint8], detector_pass: DetectorPass) -> NDArray[np.uint8]:
        """The tile, resized and padded with grey in a reused buffer; a view of the frame if it needs neither."""
        width, height = detector_pass.resized_wh
        window = _window(frame, detector_pass.tile)
        if window.shape[:2] == detector_pass.network_hw == (height, width) and window.flags.c_contiguous:
            return window
        image = self._image(detector_pass.network_hw)
        _resize(window, fill_grey(image, height, width))
        return image

    def _image(self, network_hw: tuple[int, int]) -> NDArray[np.uint8]:
        """An uninitialized network input in the reused buffer."""
        size = 3 * network_hw[0] * network_hw[1]
        if self._buffer.size < size:
            self._buffer = np.empty(size, np.uint8)
        return self._buffer[:size].reshape(*network_hw, 3)

    def close(self) -> None:
        """Release the engine and the buffer."""
        self.session.close()
        with self._lock:
            self._buffer = np.empty(0, np.uint8)


def _window(frame: NDArray[np.uint8], tile: Tile) -> NDArray[np.uint8]:
    return frame[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]


def _resize(window: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Fill `out` with the resized window.

    A quarter and less is made by halving first, which OpenCV does by SIMD: 1.3 instead of 4.9 ms from 1920x1080 to
    480x270 on one thread, at most one gray level apart.
    """
    height, width = out.shape[:2]
    if window.shape == out.shape:
        out[:] = window
        return
    while window.shape[0] % (4 * height) == window.shape[1] % (4 * width) == 0:
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

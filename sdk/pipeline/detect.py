"""The first stage: frame -> detections."""

from __future__ import annotations

from contextlib import nullcontext

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import EngineError, UsageError
from ...engines.postprocess import NMS_IOU, Detections, decode, join, suppress, within
from ...engines.session import Session
from ...zoo.catalogue import DEFAULT_SCORE
from ..profiling.timing import Stopwatch
from .frame import bgr_from
from .tiling import MAX_FACE, MIN_FACE, DetectorPass, Plan, check_min_face, plan_for

INSIDE = 0.8
"""A box lies inside another if this share of its area does."""


class Detector:
    """Finds faces in frames of any size.

    Args:
        session: a face-detection engine.
        score: least score, 0..1, of what is returned.
        min_face: smallest face of interest, in pixels, where a call says nothing else. From 12 on the frame is
            shrunk accordingly before it is looked at, which is faster; below 8 it is enlarged, up to twice, which is
            slower. The boxes are given in the frame's own pixels all the same.

    Raises:
        UsageError: a score outside 0..1, or a smallest face below one pixel.
        EngineError: the session is not a detector.
    """

    def __init__(self, session: Session, score: float = DEFAULT_SCORE, min_face: float = MIN_FACE) -> None:
        if session.io_spec.task != "face-detection":
            raise EngineError(f"expected a face detector, got a bundle for {session.io_spec.task}")
        if not 0 <= score <= 1:
            raise UsageError(f"score is {score}, expected 0 to 1")
        check_min_face(min_face)
        self.session, self.score, self.min_face = session, score, min_face
        self._buffer = np.empty(0, np.uint8)

    def plan(self, width: int, height: int, min_face: float | None = None) -> Plan:
        """How a frame would be looked at, and what that costs.

        Args:
            width: of the frame, pixels.
            height: of the frame, pixels.
            min_face: as in a call.

        Raises:
            UsageError: a smallest face below one pixel.
        """
        return plan_for(width, height, self.min_face if min_face is None else min_face, self.session.io_spec)

    def __call__(
        self, frame: NDArray[np.uint8], watch: Stopwatch | None = None, *, min_face: float | None = None
    ) -> Detections:
        """Detect.

        Args:
            frame: (H, W, 3) uint8 BGR; grey and BGRA are taken as well.
            watch: where the network's share of the time is put down, as "detect.network".
            min_face: smallest face of interest in this frame, in pixels; the detector's own where nothing is said.
                Smaller ones may be returned too, where they are seen.

        Returns:
            Faces in frame pixels, best first.

        Raises:
            UsageError: a smallest face below one pixel.
        """
        frame = bgr_from(frame)
        plan = self.plan(frame.shape[1], frame.shape[0], min_face)
        near = join([self.look(frame, look, watch) for look in plan.looks])
        if plan.overview:
            far = self.look(frame, plan.overview, watch)
            near = merged(near, far, plan)
        return suppress(near, NMS_IOU)

    def look(self, frame: NDArray[np.uint8], look: DetectorPass, watch: Stopwatch | None = None) -> Detections:
        """One look of a plan: what it finds, in frame pixels, before suppression."""
        picture = self._picture(frame, look)
        with watch.stage("detect.network") if watch else nullcontext():
            maps = self.session.infer(picture[None])[0]
        found = decode(maps, picture.shape[0], picture.shape[1], self.score)
        tile = look.tile
        corner = np.array([tile.x, tile.y], np.float32)
        scale = np.array([tile.width / look.seen_wh[0], tile.height / look.seen_wh[1]], np.float32)
        boxes = found.boxes_xyxy * np.tile(scale, 2) + np.tile(corner, 2)
        counted = np.flatnonzero(tile.counts(boxes))
        return Detections(boxes, found.scores, found.landmarks * scale + corner)[counted]

    def _picture(self, frame: NDArray[np.uint8], look: DetectorPass) -> NDArray[np.uint8]:
        """What the network is shown: the frame itself where it fits, else a buffer that is used again and again."""
        tile, (width, height) = look.tile, look.seen_wh
        part = frame[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        if part.shape[:2] == look.network_hw == (height, width) and part.flags.c_contiguous:
            return part
        count = 3 * look.network_hw[0] * look.network_hw[1]
        if self._buffer.size < count:
            self._buffer = np.empty(count, np.uint8)
        picture = self._buffer[:count].reshape(*look.network_hw, 3)
        space = within(picture, height, width)
        if part.shape[:2] == (height, width):
            space[:] = part
        else:
            method = cv2.INTER_AREA if width <= tile.width and height <= tile.height else cv2.INTER_LINEAR
            cv2.resize(part, (width, height), dst=space, interpolation=method)
        return picture

    def close(self) -> None:
        """Give the engine's memory back."""
        self.session.close()
        self._buffer = np.empty(0, np.uint8)


def merged(near: Detections, far: Detections, plan: Plan) -> Detections:
    """Put together what a plan's looks found and what its overview found, before suppression.

    Args:
        near: of the looks, in frame pixels. Boxes larger than the network is made for do not count, nor do those that
            lie in a better far box which is larger than `Plan.largest_face` and more than twice as large as they are:
            parts of a large face, taken for faces.
        far: of the overview. Boxes below half of `Plan.largest_face` do not count: the looks saw them better.
        plan: that both follow.
    """
    far = far[np.flatnonzero(_sides(far) > plan.largest_face / 2)]
    kept = _sides(near) <= MAX_FACE / plan.scale
    areas = (near.boxes_xyxy[:, 2:] - near.boxes_xyxy[:, :2]).prod(1)
    large = _sides(far) > plan.largest_face
    for box, score in zip(far.boxes_xyxy[large], far.scores[large], strict=True):
        shared = np.minimum(near.boxes_xyxy[:, 2:], box[2:]) - np.maximum(near.boxes_xyxy[:, :2], box[:2])
        inside = np.clip(shared, 0, None).prod(1) >= INSIDE * areas
        kept &= ~(inside & (2 * areas < (box[2:] - box[:2]).prod()) & (near.scores < score))
    return join([near[np.flatnonzero(kept)], far])


def _sides(found: Detections) -> NDArray[np.float32]:
    """The longer side of each box, (N,)."""
    longer: NDArray[np.float32] = (found.boxes_xyxy[:, 2:] - found.boxes_xyxy[:, :2]).max(1, initial=0)
    return longer

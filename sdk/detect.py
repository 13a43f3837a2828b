"""The first stage: frame -> detections."""

from __future__ import annotations

from contextlib import nullcontext

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engines.decode import NMS_IOU, decode, padded, suppress
from ..engines.detections import Detections, join
from ..engines.errors import EngineError, UsageError
from ..engines.session import Session
from ..zoo.catalogue import DEFAULT_SCORE
from .frame import bgr_from
from .tiles import Tile, tiles
from .timings import Stopwatch

LARGEST_TILE_WH = (1920, 1088)
"""A frame up to this size is seen at once; a larger one in tiles."""
OVERLAP = 160
"""Pixels that neighbouring tiles share: more than the largest face that is super-resolved."""
SMALLEST_FACE = 10
"""Side in pixels of the smallest face that the network is made for, at full resolution."""


class Detector:
    """Finds faces in frames of any size.

    Args:
        session: a face-detection engine.
        score: least score, 0..1, of what is returned.
        min_face: smallest face of interest, in pixels. Above 10 the frame is shrunk accordingly before it is looked at,
            which is faster; the boxes are given in the frame's own pixels all the same.

    Raises:
        UsageError: a score outside 0..1, or a smallest face below one pixel.
        EngineError: the session is not a detector.
    """

    def __init__(self, session: Session, score: float = DEFAULT_SCORE, min_face: float = SMALLEST_FACE) -> None:
        if session.contract.task != "face-detection":
            raise EngineError(f"expected a face detector, got a bundle for {session.contract.task}")
        if not 0 <= score <= 1:
            raise UsageError(f"score is {score}, expected 0 to 1")
        if not min_face >= 1:
            raise UsageError(f"min_face is {min_face}, expected pixels, 1 or more")
        self.session, self.score = session, score
        self._shrink = min(1.0, SMALLEST_FACE / min_face)
        self._padded: NDArray[np.uint8] | None = None

    def __call__(self, frame: NDArray[np.uint8], watch: Stopwatch | None = None) -> Detections:
        """Detect.

        Args:
            frame: (H, W, 3) uint8 BGR; grey and BGRA are taken as well.
            watch: where the network's share of the time is put down, as "detect.network".

        Returns:
            Faces in frame pixels, best first.
        """
        frame = bgr_from(frame)
        seen, scale_xy = frame, np.ones(2, np.float32)
        if self._shrink < 1:
            height, width = (max(1, round(side * self._shrink)) for side in frame.shape[:2])
            seen = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
            scale_xy = np.array([frame.shape[1] / width, frame.shape[0] / height], np.float32)
        size = self.session.contract.size_hw
        tile_wh = (size[1], size[0]) if size else LARGEST_TILE_WH
        overlap = min(OVERLAP, min(tile_wh) // 2)
        cover = tiles(seen.shape[1], seen.shape[0], tile_wh, overlap)
        found = suppress(join([self._look(seen, tile, watch) for tile in cover]), NMS_IOU)
        return Detections(found.boxes_xyxy * np.tile(scale_xy, 2), found.scores, found.landmarks * scale_xy)

    def _look(self, frame: NDArray[np.uint8], tile: Tile, watch: Stopwatch | None) -> Detections:
        part = frame[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        picture = padded(part, self.session.contract, self._padded)
        if picture is not part:
            self._padded = picture
        with watch.stage("detect.network") if watch else nullcontext():
            maps = self.session.infer(picture[None])[0]
        found = decode(maps, picture.shape[0], picture.shape[1], self.score)
        corner = np.array([tile.x, tile.y], np.float32)
        boxes = found.boxes_xyxy + np.tile(corner, 2)
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        left, top, right, bottom = tile.core_xyxy
        inside = (centre >= (left, top)).all(1) & (centre < (right, bottom)).all(1)
        return Detections(boxes, found.scores, found.landmarks + corner)[np.flatnonzero(inside)]

    def close(self) -> None:
        """Give the engine's memory back."""
        self.session.close()

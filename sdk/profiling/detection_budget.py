"""What detection on a budget saves and misses: detector pixels, and faces against full detection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.metrics.detection import iou_matrix
from ..pipeline.detect import Detector
from ..pipeline.results import FrameResult

CHECK_EVERY = 10
"""Frames without a full detection per frame that is checked."""
MAX_CHECKED = 10
"""Maximum number of checked frames, which are kept in memory until the end."""
FOUND_IOU = 0.5
"""Minimum IoU of the boxes of one face."""


@dataclass(frozen=True)
class DetectionBudget:
    """Full detections of a run, and the faces found in frames without one.

    Args:
        frames: number of frames.
        full: those with a full detection.
        megapixels: network input pixels of all frames, in millions, padding included.
        full_megapixels: those of a full detection of every frame.
        checked: frames without a full detection that were detected fully afterwards.
        faces: faces that this found.
        missed_faces: those of them that had not been found.
    """

    frames: int
    full: int
    megapixels: float
    full_megapixels: float
    checked: int
    faces: int
    missed_faces: int

    @property
    def saved(self) -> float:
        """Network pixels saved, relative to a full detection of every frame, 0..1."""
        return 1 - self.megapixels / self.full_megapixels

    @property
    def recall(self) -> float | None:
        """Faces found in the checked frames, relative to full detection, 0..1; None if there were none."""
        return 1 - self.missed_faces / self.faces if self.faces else None

    def __str__(self) -> str:
        text = f"full detections: {self.full} of {self.frames} frames, {self.saved:.0%} of the network pixels saved"
        if not self.checked:
            return text
        found = f"{self.faces - self.missed_faces} of {self.faces} faces found"
        return f"{text}; {found} in {self.checked} checked frames without one"

    def to_dict(self) -> dict[str, Any]:
        """Values for JSON."""
        return {
            "frames": self.frames,
            "full": self.full,
            "megapixels_per_frame": round(self.megapixels / self.frames, 3),
            "pixels_saved": round(self.saved, 4),
            "checked_frames": self.checked,
            "checked_faces": self.faces,
            "missed_faces": self.missed_faces,
            "recall": None if self.recall is None else round(self.recall, 4),
        }


@dataclass(frozen=True, eq=False)
class CheckedFrame:
    """A frame without a full detection, and the boxes (N, 4) of all faces that were found."""

    pixels: NDArray[np.uint8]
    boxes_xyxy: NDArray[np.float32]


class DetectionCounter:
    """Counts the full detections of results, and keeps a sample of the other frames."""

    def __init__(self) -> None:
        self._frames = self._full = 0
        self._megapixels = self._full_megapixels = 0.0
        self._sample: list[CheckedFrame] = []

    def add(self, result: FrameResult, full_megapixels: float) -> None:
        """Count a frame; `full_megapixels` are those of a full detection."""
        self._frames += 1
        self._full_megapixels += full_megapixels
        if result.detection is None or result.detection.kind == "full":
            self._full += 1
            self._megapixels += full_megapixels
            return
        self._megapixels += result.detection.megapixels
        if (self._frames - self._full) % CHECK_EVERY == 1 and len(self._sample) < MAX_CHECKED:
            boxes = [face.box_xyxy for face in result.faces]
            found = np.concatenate((np.array(boxes, np.float32).reshape(-1, 4), result.too_large.boxes_xyxy))
            self._sample.append(CheckedFrame(result.source.pixels, found))

    def budget(self, detector: Detector) -> DetectionBudget:
        """Detect fully in the sample; the detector must not be in use."""
        faces = missed_faces = 0
        for checked in self._sample:
            ious = iou_matrix(detector.detect(checked.pixels).boxes_xyxy, checked.boxes_xyxy)
            faces, missed_faces = faces + len(ious), missed_faces + int((ious.max(1, initial=0) < FOUND_IOU).sum())
        counts = self._frames, self._full, self._megapixels, self._full_megapixels
        return DetectionBudget(*counts, len(self._sample), faces, missed_faces)

"""The detection step of one stream: full detections of some frames, and around known faces in between."""

from __future__ import annotations

from typing import Any

from ...engines.postprocess import Detections
from ..profiling.timing import Stopwatch
from .chunks import starts_chunk
from .detect import Detector
from .frame import Frame
from .redetect import DetectEvery, DetectionState, Detectors, detect_next
from .results import DetectorUse
from .stages import Stages


class StreamDetector:
    """Detects in the frames of one stream, given in order by one thread at a time; see `detect_next`.

    Each chunk of a stream begins with a full detection and knows nothing of the frames before it, so that the results
    do not depend on where a stopped run was resumed.

    Args:
        stages: of the pipeline.
        detector: of the stages.
        every: frames from one full detection to the next, 1 or more; or "auto".
    """

    def __init__(self, stages: Stages[Any, Any, Any, Any], detector: Detector, every: DetectEvery) -> None:
        self._stages, self._detector, self._every = stages, detector, every
        self._state: DetectionState | None = None

    def __call__(self, loaded: Any, timer: Stopwatch) -> tuple[Frame, Detections, DetectorUse]:
        """Detect faces in the next frame.

        Args:
            loaded: the frame in the memory of the stages.
            timer: of the frame.

        Returns:
            The frame in host memory; its faces, best first; and how they were detected.
        """
        frame = self._stages.source(loaded)
        if frame is None or self._every == 1:
            frame, detections = self._stages.detect(loaded, timer)
            return frame, detections, full_use(self._detector, frame)
        detectors = Detectors(
            full=lambda score: self._stages.detect(loaded, timer, score)[1],
            around=lambda regions, score: self._stages.detect_around(loaded, regions, score, timer),
            plan=self._detector.plan(frame.pixels.shape[1], frame.pixels.shape[0]),
            io_spec=self._detector.session.io_spec,
            score=self._detector.score,
        )
        state = None if frame.index and starts_chunk(frame.index) else self._state  # 0: also frames without an index
        self._state, detections, use = detect_next(state, frame, self._every, detectors)
        return frame, detections, use


def full_use(detector: Detector, frame: Frame) -> DetectorUse:
    """Of a full detection in a frame."""
    height, width = frame.pixels.shape[:2]
    return DetectorUse("full", detector.plan(width, height).megapixels)

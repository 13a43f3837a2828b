"""One camera in the scheduler: its tracks, and the last upscaled face of each."""

from __future__ import annotations

import math

from ...engines.postprocess import Detections
from ..pipeline.frame import Frame
from ..pipeline.results import DetectorUse
from ..pipeline.stream_detector import StreamDetector
from ..profiling.timing import Stopwatch
from .camera import Camera
from .reuse import Kept
from .tracker import Track, TrackerState, predict, track_next


class Stream:
    """Follows the faces of one camera from frame to frame; used by the scheduler's thread only.

    Args:
        camera: of the frames.
        detector: detects in its frames.
        sides: crop sizes of the engine, pixels.

    Attributes:
        kept: id of a track -> its last output of the network.
        dropped: frames that the camera had dropped at its last result.
    """

    def __init__(self, camera: Camera, detector: StreamDetector, sides: tuple[int, ...]) -> None:
        self.camera, self.kept, self.dropped = camera, dict[int, Kept](), 0
        self._detector, self._sides = detector, sides
        self._state, self._detected_s = TrackerState(), -math.inf

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Of the last frame."""
        return self._state.tracks

    @property
    def ended(self) -> tuple[int, ...]:
        """Ids of the tracks that ended with the last frame."""
        return self._state.ended

    def waiting_s(self, frame: Frame) -> float:
        """Time since the last detection."""
        return max(0.0, frame.time_s - self._detected_s)

    def detect(self, frame: Frame, timer: Stopwatch) -> DetectorUse:
        """Detect in the next frame, and continue the tracks."""
        _, detections, use = self._detector(frame, timer)
        self._detected_s = frame.time_s
        self._follow(frame, detections)
        return use

    def predict(self, frame: Frame) -> None:
        """Continue the tracks without a detection."""
        self._follow(frame, None)

    def _follow(self, frame: Frame, detections: Detections | None) -> None:
        size_wh = frame.pixels.shape[1], frame.pixels.shape[0]
        if detections is None:
            self._state = predict(self._state, frame.time_s, size_wh, self._sides)
        else:
            self._state = track_next(self._state, detections, frame.time_s, size_wh, self._sides)
        for track_id in self._state.ended:
            self.kept.pop(track_id, None)

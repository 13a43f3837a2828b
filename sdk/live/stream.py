"""One camera in the scheduler: its tracks, and the last upscaled face of each."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import Detections
from ..pipeline.frame import Frame
from ..pipeline.results import DetectorUse
from ..pipeline.stream_detector import StreamDetector
from ..profiling.timing import Stopwatch
from .camera import Camera
from .reuse import Kept
from .tracker import Track, TrackerState, corrected, predict, track_next


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
        self._state, self._detected_s, self._uncertain = TrackerState(), -math.inf, True

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Of the last frame."""
        return self._state.tracks

    @property
    def ended(self) -> tuple[int, ...]:
        """Ids of the tracks that ended with the last frame."""
        return self._state.ended

    def waiting_s(self, frame: Frame) -> float:
        """Time since the last detection; inf if the place of a face is uncertain since then."""
        return math.inf if self._uncertain else max(0.0, frame.time_s - self._detected_s)

    def detect(self, frame: Frame, timer: Stopwatch) -> DetectorUse:
        """Detect in the next frame, and continue the tracks."""
        _, detections, use = self._detector(frame, timer)
        self._detected_s, self._uncertain = frame.time_s, False
        self._follow(frame, detections)
        return use

    def predict(self, frame: Frame) -> None:
        """Continue the tracks without a detection."""
        self._follow(frame, None)

    def correct(self, track: Track, box_xyxy: NDArray[np.float32] | None, frame: Frame) -> Track:
        """Correct the place of a face in a frame without a detection.

        Args:
            track: of this frame.
            box_xyxy: (4,) where the face was found; None if it was not found.
            frame: this frame.
        """
        if box_xyxy is None:
            self._uncertain = True
            return track
        better = corrected(track, box_xyxy, frame.time_s)
        tracks = tuple(better if one is track else one for one in self._state.tracks)
        self._state = replace(self._state, tracks=tracks)
        return better

    def _follow(self, frame: Frame, detections: Detections | None) -> None:
        size_wh = frame.pixels.shape[1], frame.pixels.shape[0]
        if detections is None:
            self._state = predict(self._state, frame.time_s, size_wh, self._sides)
        else:
            self._state = track_next(self._state, detections, frame.time_s, size_wh, self._sides)
        for track_id in self._state.ended:
            self.kept.pop(track_id, None)

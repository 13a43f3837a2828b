"""One camera in the scheduler: its tracks, the last upscaled face of each, and its crops."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engines.multiframe.history import History, extended
from ....engines.postprocess import Detections
from ...pipeline.crop import Window
from ...pipeline.detect import Detector
from ...pipeline.frame import Frame
from ...pipeline.redetect import CANDIDATE_SHARE
from ...pipeline.results import DetectorUse
from ...pipeline.stream_detector import full_use
from ...profiling.timing import Stopwatch
from ..camera import Camera
from ..tracks.tracker import Track, TrackerOptions, TrackerState, corrected, predict, track_next
from .reuse import Kept

MIN_STEP_S, NOMINAL_STEP_S = 1e-3, 0.04
"""Time between frames without times: at least, and of a source that is read as fast as its results are taken."""


@dataclass(frozen=True, eq=False)
class Registered:
    """The crops of a face that are registered with each other.

    Args:
        history: of the crops.
        indices: of the frames of `history.crops`.
        time_s: when the newest one was registered, see `Stream.time_s`.
    """

    history: History
    indices: tuple[int, ...]
    time_s: float

    @property
    def earlier_frames(self) -> tuple[int, ...]:
        """Indices of the frames of `history.earlier`."""
        return self.history.chosen(self.indices)


class Stream:
    """Follows the faces of one camera from frame to frame; used by the scheduler's thread only.

    Args:
        camera: of the frames.
        detector: a face detector, which other cameras share.
        sides: crop sizes of the engine, pixels.
        frames: maximum number of crops of a face that a network gets; 1 to keep none.

    Attributes:
        kept: id of a track -> its last output of the network.
        frames: see above.
        register_ms: time that is saved for the registration of its faces.
        dropped: frames that the camera had dropped at its last result.
        time_s: of the last frame on a clock of the stream, which never stands still or goes back.
    """

    def __init__(self, camera: Camera, detector: Detector, sides: tuple[int, ...], frames: int = 1) -> None:
        self.camera, self.kept, self.dropped = camera, dict[int, Kept](), 0
        self._detector, self._sides, self._options = detector, sides, TrackerOptions(detector.score)
        self._state, self._detected_s, self._uncertain = TrackerState(), -math.inf, True
        self.time_s, self.frames, self.register_ms = 0.0, frames, 0.0
        self._registered: dict[int, Registered] = {}
        self._last: Frame | None = None
        self._restarted: tuple[int, ...] = ()

    @property
    def tracks(self) -> tuple[Track, ...]:
        """Of the last frame."""
        return self._state.tracks

    @property
    def ended(self) -> tuple[int, ...]:
        """Ids of the tracks that ended with the last frame."""
        return self._restarted + self._state.ended

    @property
    def waiting_s(self) -> float:
        """Time since the last detection; inf if the place of a face is uncertain since then."""
        return math.inf if self._uncertain else self.time_s - self._detected_s

    def enter(self, frame: Frame) -> None:
        """Begin with the next frame. Images, and frames whose time goes back, follow from no other: all tracks end.

        Frames of a camera without times are as far apart as their arrivals.
        """
        last, self._last, self._restarted = self._last, frame, ()
        if last is None:
            return
        step_s = frame.time_s - last.time_s
        if frame.name or step_s < 0:
            self._restarted = tuple(track.id for track in self._state.tracks + self._state.hidden)
            self._state, self._uncertain = TrackerState(next_id=self._state.next_id), True
            self.kept.clear()
            self._registered.clear()
        if step_s <= 0:
            apart_s = (frame.arrival_s or 0.0) - (last.arrival_s or 0.0)
            step_s = NOMINAL_STEP_S if self.camera.waits else max(apart_s, MIN_STEP_S)
        self.time_s += step_s

    def prepare(self, frame: Frame) -> None:
        """Prepare the detector for frames of this size."""
        self._detector.detect(self._shown(frame).pixels)

    def detect(self, frame: Frame, timer: Stopwatch) -> DetectorUse:
        """Detect in the next frame, or in that of the camera's smaller stream, and continue the tracks.

        Weaker detections continue tracks, but start none.
        """

        def infer(batch: NDArray[np.uint8]) -> NDArray[Any]:
            with timer.stage("detect.network"):
                return self._detector.session.infer(batch)

        shown = self._shown(frame)
        score = CANDIDATE_SHARE * self._detector.score
        detections = self._detector.detect(shown.pixels, score=score, infer=infer)
        self._detected_s, self._uncertain = self.time_s, False
        self._follow(frame, _resized(detections, shown, frame))
        return full_use(self._detector, shown)

    def _shown(self, frame: Frame) -> Frame:
        """The frame to detect in."""
        return self.camera.detection_frame(frame) or frame

    def predict(self, frame: Frame) -> None:
        """Continue the tracks without a detection."""
        self._follow(frame, None)

    def correct(self, track: Track, box_xyxy: NDArray[np.float32] | None) -> Track:
        """Correct the place of a face that was not detected in this frame.

        Args:
            track: of this frame.
            box_xyxy: (4,) where the face was found; None if it was not found.
        """
        if box_xyxy is None:
            self._uncertain |= not track.frames_missed  # the detector has not looked for it yet
            return track
        better = corrected(track, box_xyxy, self.time_s)
        tracks = tuple(better if one is track else one for one in self._state.tracks)
        self._state = replace(self._state, tracks=tracks)
        return better

    def unregistered_s(self, track_id: int) -> float:
        """Time since the last registration of a face; inf before the first."""
        known = self._registered.get(track_id)
        return math.inf if known is None else self.time_s - known.time_s

    def register(self, frame: Frame, track_id: int, crop: NDArray[np.uint8], window: Window) -> Registered:
        """Register the crop of a face in this frame with those before it.

        Args:
            frame: of this turn.
            track_id: of the face.
            crop: (S, S, 3) uint8 BGR.
            window: of the crop.
        """
        known = self._registered.get(track_id)
        history = extended(known.history if known else None, crop, (window.x, window.y), self.frames)
        indices = (*(known.indices if known else ()), frame.index)[-len(history.crops) :]
        self._registered[track_id] = Registered(history, indices, self.time_s)
        return self._registered[track_id]

    def _follow(self, frame: Frame, detections: Detections | None) -> None:
        size_wh = frame.pixels.shape[1], frame.pixels.shape[0]
        if detections is None:
            self._state = predict(self._state, self.time_s, size_wh, self._sides)
        else:
            self._state = track_next(self._state, detections, self.time_s, size_wh, self._sides, self._options)
        for track_id in self._state.ended:
            self.kept.pop(track_id, None)
            self._registered.pop(track_id, None)


def _resized(detections: Detections, shown: Frame, frame: Frame) -> Detections:
    """Detections of a smaller stream in pixels of the frame."""
    if shown is frame:
        return detections
    (height, width), (own_height, own_width) = frame.pixels.shape[:2], shown.pixels.shape[:2]
    scale = np.array((width / own_width, height / own_height), np.float32)
    return Detections(detections.boxes_xyxy * np.tile(scale, 2), detections.scores, detections.landmarks * scale)

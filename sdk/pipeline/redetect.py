"""Detection on a budget: full detections of some frames of a stream, and around known faces in between."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.io_spec import IOSpec
from ...engines.errors import UsageError
from ...engines.postprocess import Detections
from .frame import Frame
from .known_faces import KnownFaces, Sighting, update
from .regions import RegionPlan, plan_regions
from .results import DetectorUse
from .scene import CUT, CUT_RATIO, difference, explained_by, has_motion, thumbnail
from .tiling import Plan

DetectEvery = int | Literal["auto"]
"""Number of frames from one full detection to the next, 1 or more; "auto" for an interval that adapts."""
MIN_INTERVAL, MAX_INTERVAL = 3, 8
"""Frames from one full detection to the next with "auto", unless the scene changes."""
CANDIDATE_SHARE = 0.6
"""Minimum score of a candidate, in minimum scores of a face. Candidates are searched in the next frames like faces, but
not returned: a face that enters the frame or whose score is near the minimum needs no other full detection."""
MAX_INTERVAL_S = 0.5
"""Maximum time between full detections with "auto"; with a lower frame rate than 6 frames/s, `MIN_INTERVAL` applies."""


def check_detect_every(every: DetectEvery) -> None:
    """Raise UsageError unless `every` is a number of 1 or more, or "auto"."""
    if every != "auto" and (not isinstance(every, int) or every < 1):
        raise UsageError(f"detect_every is {every!r}, expected a number of frames, 1 or more, or 'auto'")


@dataclass(frozen=True, eq=False)
class DetectionState:
    """What the detection in one frame of a stream needs from the frames before.

    Args:
        size_wh: width and height of the previous frame, pixels.
        time_s: its time.
        known: faces up to that frame.
        thumbnail: of that frame.
        change: difference of that thumbnail from the one before, gray levels.
        full_thumbnail: of the last frame with a full detection.
        full_time_s: time of that frame.
        frames: number of frames from that frame to the previous frame.
        explained: (36, 64) pixels of a thumbnail in which the known faces may have moved since that frame.
        interval: number of frames from that frame to the next full detection.
    """

    size_wh: tuple[int, int]
    time_s: float
    known: KnownFaces
    thumbnail: NDArray[np.uint8]
    change: float
    full_thumbnail: NDArray[np.uint8]
    full_time_s: float
    frames: int
    explained: NDArray[np.bool_]
    interval: int


@dataclass(frozen=True)
class Detectors:
    """Detections in one frame, on the CPU or on a GPU.

    Args:
        full: detects in the whole frame, given the minimum score.
        around: detects in regions of the frame, given the minimum score.
        plan: of the full detection.
        io_spec: of the detector.
        score: minimum score of a face.
    """

    full: Callable[[float], Detections]
    around: Callable[[RegionPlan, float], Detections]
    plan: Plan
    io_spec: IOSpec
    score: float

    @property
    def candidate_score(self) -> float:
        """Minimum score of a candidate."""
        return CANDIDATE_SHARE * self.score


def detect_next(
    state: DetectionState | None, frame: Frame, every: DetectEvery, detectors: Detectors
) -> tuple[DetectionState, Detections, DetectorUse]:
    """Detect the faces in the next frame of a stream, in the whole frame or only around the known faces.

    Args:
        state: after the previous frame; None for the first one.
        frame: the next frame.
        every: frames from one full detection to the next.
        detectors: detect in this frame.

    Returns:
        The state after this frame; the faces, best first; and how they were detected.
    """
    height, width = frame.pixels.shape[:2]
    view = thumbnail(frame.pixels)
    is_image = bool(frame.name)  # it follows from no other
    if state is None or is_image or state.size_wh != (width, height) or 0 < frame.time_s <= state.time_s:
        state = _first_state((width, height), frame, view)
        return _full(state, frame, view, every, detectors)
    regions = None if _is_due(state, frame, view, every) else _plan_regions(state, frame, detectors)
    if regions is None:
        return _full(state, frame, view, every, detectors)
    detections = detectors.around(regions, detectors.candidate_score)
    sighting = _sighting(state, frame, detections, detectors)
    if every == "auto" and sighting.lost and state.frames + 1 >= MIN_INTERVAL:
        return _full(state, frame, view, every, detectors)
    following = replace(
        _next(state, frame, view, sighting),
        frames=state.frames + 1,
        explained=state.explained | explained_by(sighting.known.boxes_xyxy, state.size_wh),
        interval=MIN_INTERVAL if every == "auto" and sighting.lost else state.interval,
    )
    return following, _faces(detections, sighting), DetectorUse("tracked", regions.megapixels)


def _first_state(size_wh: tuple[int, int], frame: Frame, view: NDArray[np.uint8]) -> DetectionState:
    """The state before the first frame of a size."""
    none, explained = KnownFaces.none(), np.zeros(view.shape[:2], np.bool_)
    return DetectionState(size_wh, frame.time_s, none, view, 0.0, view, frame.time_s, 0, explained, 1)


def _is_due(state: DetectionState, frame: Frame, view: NDArray[np.uint8], every: DetectEvery) -> bool:
    """Whether the interval is over, or the scene changes."""
    frames, change = state.frames + 1, difference(view, state.thumbnail)
    if frames >= state.interval or (change > CUT and change > CUT_RATIO * state.change):
        return True
    if every != "auto" or frames < MIN_INTERVAL:
        return False
    late = frame.time_s - state.full_time_s >= MAX_INTERVAL_S
    return late or has_motion(view, state.full_thumbnail, state.explained)


def _plan_regions(state: DetectionState, frame: Frame, detectors: Detectors) -> RegionPlan | None:
    """Regions around faces and candidates, or around faces only if that costs too much; None if both do."""
    expected = state.known.moved(_elapsed(state, frame))
    boxes, faces = expected.boxes_xyxy, expected.boxes_xyxy[expected.certain]
    plans = (plan_regions(some, detectors.plan, detectors.io_spec) for some in (boxes, faces))
    return next((plan for plan in plans if plan), None)


def _elapsed(state: DetectionState, frame: Frame) -> float:
    """Time since the previous frame: seconds, or frames in a stream without timestamps."""
    return frame.time_s - state.time_s if frame.time_s > state.time_s else 1.0


def _sighting(state: DetectionState, frame: Frame, detections: Detections, detectors: Detectors) -> Sighting:
    return update(state.known, detections, detectors.score, _elapsed(state, frame), state.size_wh)


def _faces(detections: Detections, sighting: Sighting) -> Detections:
    """Detections without the candidates."""
    return detections[np.flatnonzero(sighting.known.certain[: len(detections)])]


def _full(
    state: DetectionState, frame: Frame, view: NDArray[np.uint8], every: DetectEvery, detectors: Detectors
) -> tuple[DetectionState, Detections, DetectorUse]:
    """Detect in the whole frame."""
    detections = detectors.full(detectors.candidate_score)
    sighting = _sighting(state, frame, detections, detectors)
    following = replace(
        _next(state, frame, view, sighting),
        full_thumbnail=view,
        full_time_s=frame.time_s,
        frames=0,
        explained=explained_by(sighting.known.boxes_xyxy, state.size_wh),
        interval=_interval(state, every, sighting),
    )
    return following, _faces(detections, sighting), DetectorUse("full", detectors.plan.megapixels)


def _interval(state: DetectionState, every: DetectEvery, sighting: Sighting) -> int:
    """Frames to the next full detection; with "auto" one more while full detections confirm the known faces."""
    if every != "auto":
        return every
    if sighting.new or sighting.lost:
        return MIN_INTERVAL
    return min(max(state.interval + 1, MIN_INTERVAL), MAX_INTERVAL)


def _next(state: DetectionState, frame: Frame, view: NDArray[np.uint8], sighting: Sighting) -> DetectionState:
    change = difference(view, state.thumbnail)
    return replace(state, time_s=frame.time_s, thumbnail=view, change=change, known=sighting.known)

"""The faces of one camera followed over its frames: detections in, tracks with stable ids out.

A face is expected where its velocity carries it, and matched to the nearest detection of similar size. All limits are
in sides of the face and in seconds, so that they hold for small fast faces, for 5 and for 50 frames/s, and for frames
that come irregularly: the uncertainty of a velocity shrinks with each detection and grows with time, and so does the
distance in which a face is searched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ....engines.postprocess import Detection, Detections
from ....zoo.catalogue import DEFAULT_SCORE
from ...pipeline.crop import Window
from ...pipeline.known_faces import MAX_MISSED, match
from .windows import stable_window

BOX_NOISE = 0.05
"""Standard deviation of a detected center, in sides of the face."""
START_SPEED = 8.0
"""Standard deviation of an unknown velocity, in sides per second: a head of 0.2 m at 1.6 m/s."""
SPEED_CHANGE = 100.0
"""Variance that a velocity gains per second, in sides²/s²: from standing to walking in about half a second."""
MIN_DISTANCE, MAX_DISTANCE = 1.0, 2.5
"""Limits of the distance between an expected and a detected center, in sides of the face."""
MAX_RATIO = 1.5
"""Maximum ratio of their sides. With 2, faces that cross at different distances swap ids twice as often."""
DEVIATIONS = 3.0
"""That distance, in standard deviations of the expected position."""
MAX_LOST_S = 3.0
"""Time without detection after which a track ends, whatever the frame rate: after an outage an id starts anew, since
another person may stand there."""


@dataclass(frozen=True)
class TrackerOptions:
    """When a detection becomes a track.

    Args:
        score: minimum score of a face, 0..1. Weaker detections only continue tracks.
        sure_score: minimum score of a face that is a track at its first detection; others at their second in a row. In
            450 frames without faces no false detection of the shipped detector reaches 0.6; 93 % of true ones do.
        max_missed: frames in a row in which a face is searched without being found before it is not shown any more.
        remember_s: time since its last detection after which the track of a face that is not shown ends; found before,
            it keeps its id.
    """

    score: float = DEFAULT_SCORE
    sure_score: float = 0.6
    max_missed: int = MAX_MISSED
    remember_s: float = 1.0


@dataclass(frozen=True, eq=False)
class Track:
    """A face in the last frame of its camera.

    Args:
        id: counts up from 1 over the faces of the camera; 0 for a candidate.
        box_xyxy: (4,) float32 frame pixels, detected or expected.
        landmarks: (5, 2) float32 x, y in frame pixels; of the last detection, moved with the box.
        score: of the last detection, 0..1.
        velocity_xy: (2,) float32 pixels per second.
        velocity_variance: of each component, in sides²/s².
        window: of the crop; None if the face is too large.
        frames_missed: number of frames in a row in which the face was searched, but not found.
        detected: whether it was found in this frame; else the box is expected.
        first_s: time of its first detection, seconds.
        last_s: time of its last detection, or of a frame after it in which its pixels were found.
        frames: number of frames in which it was detected.
    """

    id: int
    box_xyxy: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: float
    velocity_xy: NDArray[np.float32]
    velocity_variance: float
    window: Window | None
    frames_missed: int
    detected: bool
    first_s: float
    last_s: float
    frames: int

    @property
    def side(self) -> float:
        """Longer side of the box, pixels."""
        return max(1.0, float((self.box_xyxy[2:] - self.box_xyxy[:2]).max()))


@dataclass(frozen=True, eq=False)
class TrackerState:
    """The faces of one camera after a frame.

    Args:
        tracks: by id.
        hidden: tracks that were not found for so long that they are not shown, but still searched.
        candidates: faces that were detected once, not surely.
        ended: ids of the tracks that ended with this frame; each is told once.
        next_id: of the next track.
        time_s: of the frame; None before the first one.
        frame_wh: width and height of the frame, pixels.
    """

    tracks: tuple[Track, ...] = ()
    hidden: tuple[Track, ...] = ()
    candidates: tuple[Track, ...] = ()
    ended: tuple[int, ...] = ()
    next_id: int = 1
    time_s: float | None = None
    frame_wh: tuple[int, int] = (0, 0)


def track_next(
    state: TrackerState,
    detections: Detections,
    time_s: float,
    frame_wh: tuple[int, int],
    sides: tuple[int, ...],
    options: TrackerOptions = TrackerOptions(),
) -> TrackerState:
    """Follow the faces into a frame with detections.

    Args:
        state: after the frame before; `TrackerState()` before the first one.
        detections: in this frame, frame pixels; detections below `options.score` help to keep tracks.
        time_s: of this frame, seconds; if it is not later than the frame before, no velocity is estimated.
        frame_wh: width and height of the frame, pixels; with another size than before all tracks end.
        sides: crop sizes of the engine, pixels.
        options: when a detection becomes a track.
    """
    known, ended = _expected(state, time_s, frame_wh)
    pairs = dict(match(_boxes(known), detections.boxes_xyxy, _max_distances(known, time_s), MAX_RATIO))
    following = [_found(known[i], detections[j], time_s) for i, j in pairs.items()]
    for track in (known[i] for i in range(len(known)) if i not in pairs):
        unseen_s = time_s - track.last_s
        if track.id and (track.frames_missed < options.max_missed or unseen_s <= options.remember_s):
            following.append(replace(track, frames_missed=track.frames_missed + 1))
        else:
            ended += (track.id,)
    new = set(range(len(detections))) - set(pairs.values())
    following += [_started(detections[j], time_s) for j in sorted(new) if detections.scores[j] >= options.score]
    return _state(state, following, ended, time_s, frame_wh, sides, options)


def predict(
    state: TrackerState,
    time_s: float,
    frame_wh: tuple[int, int],
    sides: tuple[int, ...],
    options: TrackerOptions = TrackerOptions(),
) -> TrackerState:
    """Follow the faces into a frame in which nothing is detected, at constant velocity.

    Args:
        state: after the frame before.
        time_s, frame_wh, sides, options: see `track_next`.
    """
    known, ended = _expected(state, time_s, frame_wh)
    return _state(state, known, ended, time_s, frame_wh, sides, options)


def corrected(track: Track, box_xyxy: NDArray[np.float32], time_s: float) -> Track:
    """A track in a frame in which nothing was detected, but its face was found by other means.

    Args:
        track: as `predict` expects it.
        box_xyxy: (4,) where the face is, frame pixels.
        time_s: of the frame, seconds.
    """
    shift = (box_xyxy[:2] + box_xyxy[2:] - track.box_xyxy[:2] - track.box_xyxy[2:]) / 2
    found = _found(track, Detection(box_xyxy, track.score, np.asarray(track.landmarks + shift, np.float32)), time_s)
    last_s = track.last_s if track.frames_missed else time_s  # pixels that the detector takes for no face keep no track
    return replace(found, frames_missed=track.frames_missed, detected=False, frames=track.frames, last_s=last_s)


def _expected(state: TrackerState, time_s: float, frame_wh: tuple[int, int]) -> tuple[list[Track], tuple[int, ...]]:
    """Tracks and candidates at their expected positions; and the ids of those that are not searched any more."""
    elapsed = 0.0 if state.time_s is None else max(0.0, time_s - state.time_s)
    known = [_moved(track, elapsed) for track in state.tracks + state.hidden + state.candidates]
    kept = [track for track in known if state.frame_wh == frame_wh and _is_searched(track, time_s, frame_wh)]
    return kept, tuple(track.id for track in known if track not in kept)


def _moved(track: Track, elapsed_s: float) -> Track:
    shift = track.velocity_xy * np.float32(elapsed_s)
    return replace(
        track,
        box_xyxy=track.box_xyxy + np.concatenate((shift, shift)),
        landmarks=track.landmarks + shift,
        velocity_variance=track.velocity_variance + SPEED_CHANGE * elapsed_s,
        detected=False,
    )


def _is_searched(track: Track, time_s: float, frame_wh: tuple[int, int]) -> bool:
    """Whether the center is expected in the frame, and the face was seen lately."""
    x, y = ((track.box_xyxy[:2] + track.box_xyxy[2:]) / 2).tolist()
    return 0 <= x < frame_wh[0] and 0 <= y < frame_wh[1] and time_s - track.last_s <= MAX_LOST_S


def _boxes(tracks: list[Track]) -> NDArray[np.float32]:
    """(N, 4) boxes."""
    return np.array([track.box_xyxy for track in tracks], np.float32).reshape(-1, 4)


def _max_distances(known: list[Track], time_s: float) -> NDArray[np.float32]:
    """(N,) distances in which faces are searched around their expected positions, in their sides."""
    variance = np.array([track.velocity_variance for track in known], np.float32)
    unseen_s = np.array([max(0.0, time_s - track.last_s) for track in known], np.float32)
    deviations = np.sqrt(2 * BOX_NOISE**2 + variance * unseen_s**2)
    return np.asarray(np.clip(DEVIATIONS * deviations, MIN_DISTANCE, MAX_DISTANCE), np.float32)


def _found(track: Track, detection: Detection, time_s: float) -> Track:
    """The track with its detection. Its velocity is estimated by a Kalman filter of the velocity alone, for boxes whose
    errors are independent."""
    velocity, variance = track.velocity_xy, track.velocity_variance
    unseen_s = time_s - track.last_s
    if unseen_s > 0:
        measured = 2 * (BOX_NOISE / unseen_s) ** 2  # variance of the velocity between two boxes
        gain = variance / (variance + measured)
        error = detection.box_xyxy - track.box_xyxy
        velocity = velocity + (error[:2] + error[2:]) * np.float32(gain / (2 * unseen_s))
        variance *= 1 - gain
    return replace(
        track,
        box_xyxy=detection.box_xyxy,
        landmarks=detection.landmarks,
        score=detection.score,
        velocity_xy=velocity,
        velocity_variance=variance,
        frames_missed=0,
        detected=True,
        last_s=time_s,
        frames=track.frames + 1,
    )


def _started(detection: Detection, time_s: float) -> Track:
    """A candidate."""
    return Track(
        id=0,
        box_xyxy=detection.box_xyxy,
        landmarks=detection.landmarks,
        score=detection.score,
        velocity_xy=np.zeros(2, np.float32),
        velocity_variance=START_SPEED**2,
        window=None,
        frames_missed=0,
        detected=True,
        first_s=time_s,
        last_s=time_s,
        frames=1,
    )


def _state(
    before: TrackerState,
    known: list[Track],
    ended: tuple[int, ...],
    time_s: float,
    frame_wh: tuple[int, int],
    sides: tuple[int, ...],
    options: TrackerOptions,
) -> TrackerState:
    """The state after a frame: windows for all faces, ids for the candidates that are faces now."""
    tracks, hidden, candidates, next_id = [], [], [], before.next_id
    for one in known:
        if not one.id and one.frames == 1 and one.score < options.sure_score:
            candidates.append(one)
        elif one.frames_missed > options.max_missed:
            hidden.append(one)
        else:
            window = stable_window(one.window, one.box_xyxy, frame_wh, sides)
            tracks.append(replace(one, id=one.id or next_id, window=window))
            next_id += not one.id
    tracks.sort(key=lambda track: track.id)
    ids = tuple(filter(None, ended))
    return TrackerState(tuple(tracks), tuple(hidden), tuple(candidates), ids, next_id, time_s, frame_wh)

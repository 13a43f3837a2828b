"""Faces of evidence cards, from the results of pictures, videos and live runs."""

from __future__ import annotations

import time
from dataclasses import replace

from ..live.tracks.best_shot import BestShot
from ..live.tracks.usability import Usability, usability
from ..pipeline.crop import Window
from ..pipeline.frame import Frame
from ..pipeline.results import Face
from .card import SEVERAL_FRAMES, Clock, EvidenceItem, FrameTime, TrackSpan


def item_of(face: Face, frame: Frame, *, is_picture: bool, track: TrackSpan | None = None) -> EvidenceItem:
    """A face of a `FrameResult`.

    Args:
        face: of the result; its pixels are copied if they are part of a batch.
        frame: the result's source.
        is_picture: the frame has no time.
        track: of the face.
    """
    treatment = SEVERAL_FRAMES if face.frames > 1 else "network"
    return EvidenceItem(_owned(face), face_usability(face), frame_time(frame, is_picture), track, treatment)


def face_usability(face: Face) -> Usability:
    """See `usability`."""
    left, top, right, _ = face.window_xyxy
    return usability(face.original, face.box_xyxy, face.landmarks, Window(left, top, right - left), face.score)


def frame_time(frame: Frame, is_picture: bool = False) -> FrameTime:
    """When a frame was taken: by the camera's clock, or when it arrived by this machine's."""
    unix_s, clock = frame.clock_s, "camera"
    if unix_s is None and frame.arrival_s is not None:
        unix_s, clock = time.time() - (time.monotonic() - frame.arrival_s), "host"
    return FrameTime(
        frame.index,
        None if is_picture else frame.time_s,
        frame.pts,
        frame.time_base,
        unix_s,
        None if unix_s is None else "camera" if clock == "camera" else "host",
        frame.damaged,
    )


def item_of_shot(shot: BestShot, unix_s: float, clock: Clock) -> EvidenceItem:
    """The best shot of a track of a live run.

    Args:
        shot: of the track.
        unix_s: when its frame was taken, in Unix time.
        clock: which clock that is.
    """
    face = shot.face
    span = TrackSpan(face.track_id, shot.first_s, shot.last_s, shot.frames, shot.ended)
    frame = FrameTime(shot.index, shot.time_s, unix_s=unix_s, clock=clock)
    several = face.treatment == "network" and face.frames > 1
    return EvidenceItem(face, face.usability, frame, span, SEVERAL_FRAMES if several else face.treatment, face.reason)


def _owned(face: Face) -> Face:
    """The face with pixels of its own: a view would keep a whole batch in memory."""
    return replace(face, original=face.original.copy(), pixels=face.pixels.copy())

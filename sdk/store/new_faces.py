"""Faces that are going to be stored, made of results of the pipeline and of best shots of live runs."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evidence.card import SEVERAL_FRAMES
from ..live.tracks.usability import usability
from ..pipeline.crop import Window
from .records import Clock, NewFace, TrackSpan, storable

if TYPE_CHECKING:
    from ..live.tracks.best_shot import BestShot
    from ..pipeline.results import FrameResult


def face_of_shot(shot: BestShot, time_s: float, clock: Clock, number: int) -> NewFace:
    """The face of a best shot.

    Args:
        shot: of a camera.
        time_s: when its frame was taken, in Unix time; now by the host's clock if it is not finite.
        clock: of `time_s`.
        number: see `NewFace`.
    """
    if not math.isfinite(time_s):  # a camera may tell anything
        time_s, clock = time.time(), "host"
    face = shot.face
    return NewFace(
        face,
        face.usability,
        time_s,
        clock,
        shot.index,
        number,
        camera=shot.camera,
        track=TrackSpan(face.track_id, shot.first_s, shot.last_s, shot.frames, shot.ended),
        treatment=SEVERAL_FRAMES if face.treatment == "network" and face.frames > 1 else face.treatment,
        reason=face.reason,
    )


def faces_of_result(result: FrameResult, source: str, time_s: float, clock: Clock, first: int) -> Iterator[NewFace]:
    """All upscaled faces of a picture, with their usability.

    Args:
        result: of the picture.
        source: its name.
        time_s: when it was taken, in Unix time.
        clock: of `time_s`.
        first: number of the first face, see `NewFace`.
    """
    for number, face in enumerate(result.faces, first):
        x, y, right, _ = face.window_xyxy
        quality = usability(face.original, face.box_xyxy, face.landmarks, Window(x, y, right - x), face.score)
        yield NewFace(face, quality, time_s, clock, result.source.index, number, source=source)


def face_row(new: NewFace, run_id: int, camera_id: int | None, track_id: int | None, stored_s: float) -> dict[str, Any]:
    """Columns of the table of faces."""
    face, quality = new.face, new.usability
    box = dict(zip(("x0", "y0", "x1", "y1"), map(float, face.box_xyxy), strict=True))
    names = ("window_x0", "window_y0", "window_x1", "window_y1")
    return {
        "run_id": run_id,
        "camera_id": camera_id,
        "track_id": track_id,
        "source": None if new.source is None else storable(new.source),
        "frame_index": new.frame_index,
        "time_s": new.time_s,
        "clock": new.clock,
        "stored_s": stored_s,
        **box,
        "score": float(face.score),
        "landmarks": json.dumps([[_finite(value) for value in point] for point in face.landmarks]),
        **dict(zip(names, map(int, face.window_xyxy), strict=True)),
        "scale": face.scale,
        "consistency_db": _finite(face.consistency_db),
        "treatment": new.treatment,
        "reason": storable(new.reason),
        "verdict": quality.verdict,
        "side_px": float(quality.side_px),
        "sharpness": float(quality.sharpness),
        "brightness": float(quality.brightness),
        "yaw_deg": _finite(quality.yaw_deg),
        "quality": float(quality.score),
        **_uncertainty(new),
    }


def _uncertainty(new: NewFace) -> dict[str, float | None]:
    levels = new.face.uncertainty
    if levels is None:
        return {"uncertainty_mean": None, "uncertainty_p90": None}
    return {"uncertainty_mean": float(levels.mean()), "uncertainty_p90": float(np.percentile(levels, 90))}


def _finite(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None

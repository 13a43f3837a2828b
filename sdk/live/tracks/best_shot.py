"""The best face of each track: the one to keep, to show or to recognize."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pipeline.results import number
from ..results import LiveFace, LiveResult

MAX_TRACKS = 256
"""Open tracks of all cameras whose best faces are kept; with faces of 128 px, four times enlarged, 220 MB at most."""
OTHER_TREATMENT = 0.7
"""Factor of the score of a face that no network upscaled in its own frame."""


@dataclass(frozen=True, eq=False)
class BestShot:
    """The best face of a track so far.

    Args:
        camera: name.
        face: with its pixels and its usability.
        index: of its frame in the camera.
        time_s: of its frame, seconds.
        clock_s: Unix time of its frame by the camera's clock; None if the camera does not tell.
        first_s, last_s: times of the first and the last frame with the track.
        frames: number of frames in which the face was detected and upscaled.
        ended: whether the track has ended.
    """

    camera: str
    face: LiveFace
    index: int
    time_s: float
    clock_s: float | None
    first_s: float
    last_s: float
    frames: int
    ended: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without pixels."""
        return {
            "camera": self.camera,
            "index": self.index,
            "time_s": number(self.time_s, 3),
            "clock_s": None if self.clock_s is None else number(self.clock_s, 3),
            "first_s": number(self.first_s, 3),
            "last_s": number(self.last_s, 3),
            "frames": self.frames,
            "ended": self.ended,
            "face": self.face.to_dict(),
        }


class BestShots:
    """Keeps the best face of each track of one or more cameras. For one thread at a time.

    Faces are ranked by `Usability.score`: size, sharpness, light, pose and detection. Faces whose position is predicted
    and those of damaged frames do not count.

    Args:
        max_tracks: maximum number of open tracks; with more, the one that was not seen for the longest time is given
            back by `add`, as if it had ended.
    """

    def __init__(self, max_tracks: int = MAX_TRACKS) -> None:
        self._max_tracks = max_tracks
        self._open: dict[tuple[str, int], BestShot] = {}  # the one seen last is last

    def __len__(self) -> int:
        return len(self._open)

    def add(self, result: LiveResult) -> tuple[BestShot, ...]:
        """Take the faces of one more frame.

        Returns:
            Best shots of the tracks that ended with this frame. A track without a detected face has none.
        """
        faces = () if result.source.damaged else result.faces
        for face in faces:
            if face.detected:
                self._take(result, face)
        ended = [(result.camera, number) for number in result.ended_tracks]
        excess = list(self._open)[: max(0, len(self._open) - self._max_tracks)]
        closed = (self._open.pop(key, None) for key in dict.fromkeys(ended + excess))
        return tuple(replace(shot, ended=(shot.camera, shot.face.track_id) in ended) for shot in closed if shot)

    def leave(self, camera: str) -> tuple[BestShot, ...]:
        """Best shots of the open tracks of a camera that delivers no more frames; they are forgotten."""
        keys = [key for key in self._open if key[0] == camera]
        return tuple(self._open.pop(key) for key in keys)

    def current(self) -> tuple[BestShot, ...]:
        """Best shots of the open tracks, which stay open."""
        return tuple(self._open.values())

    def close(self) -> tuple[BestShot, ...]:
        """Best shots of the open tracks, for the end of a run; all are forgotten."""
        shots = self.current()
        self._open.clear()
        return shots

    def _take(self, result: LiveResult, face: LiveFace) -> None:
        key, source = (result.camera, face.track_id), result.source
        best = self._open.pop(key, None)
        if best is None or _rank(face) > _rank(best.face):
            first_s, frames = (best.first_s, best.frames) if best else (source.time_s, 0)
            clock_s = result.times.clock_s
            best = BestShot(
                result.camera, _owned(face), source.index, source.time_s, clock_s, first_s, source.time_s, frames
            )
        self._open[key] = replace(best, last_s=source.time_s, frames=best.frames + 1)


def _rank(face: LiveFace) -> float:
    by_network = face.treatment in ("network", "small network")
    return face.usability.score * (1 if by_network else OTHER_TREATMENT)


def _owned(face: LiveFace) -> LiveFace:
    """The face with pixels of its own: a view would keep the whole batch of all cameras in memory."""
    return replace(face, original=_own(face.original), pixels=_own(face.pixels))


def _own(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return pixels if pixels.base is None else pixels.copy()

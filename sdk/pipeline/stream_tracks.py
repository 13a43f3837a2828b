"""The faces of one stream followed over its frames, each with the registered crops of the frames before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...engines.multiframe.history import History, extended
from ...engines.postprocess import Detections
from ..live.tracks.tracker import TrackerOptions, TrackerState, track_next
from .chunks import starts_chunk
from .crop import Crops
from .frame import Frame
from .scene import CUT, CUT_RATIO, difference, thumbnail

FRAME_S = 1 / 25
"""Time from one frame to the next in a stream without timestamps, seconds."""
PAGES = (".tif", ".tiff")
"""Suffixes of files whose pictures are pages: they do not follow from each other."""
EVERY_FACE = TrackerOptions(score=0.0, sure_score=0.0)
"""What the detector of a stream returns is a face, even if its score is low, see `DetectEvery`."""


@dataclass(eq=False)
class Shown:
    """Place for the face of one frame, which is upscaled after the crop of the next one may have been registered.

    Args:
        pixels: (k·S, k·S, 3) uint8 BGR; None before.
    """

    pixels: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False)
class TrackedCrop:
    """The newest crop of a face and those before it.

    Args:
        history: of the crops.
        indices: of their frames in the stream, the newest last.
        before: face of the last crop but one; None if there is only one.
        shown: for the face of the newest crop.
    """

    history: History
    indices: tuple[int, ...]
    before: Shown | None = None
    shown: Shown = field(default_factory=Shown)

    @property
    def earlier_frames(self) -> tuple[int, ...]:
        """Indices of the frames that the face is made from besides the newest, the oldest first."""
        return self.history.chosen(self.indices)


@dataclass(frozen=True, eq=False)
class _Before:
    """What is known of the frame before.

    Args:
        size_wh: its width and height, pixels.
        name, time_s, pts: of the frame.
        view: its thumbnail.
        change: difference of that thumbnail from the one before, gray levels.
    """

    size_wh: tuple[int, int]
    name: str
    time_s: float
    pts: int | None
    view: NDArray[np.uint8]
    change: float

    @staticmethod
    def of(frame: Frame, view: NDArray[np.uint8], change: float) -> _Before:
        """That of a frame."""
        return _Before(_size(frame), frame.name, frame.time_s, frame.pts, view, change)


class StreamTracks:
    """Follows the faces of the frames of one stream, given in order by one thread at a time.

    Each chunk of a stream begins without tracks, like its detection, so that the results do not depend on where a
    stopped run was resumed or a video was divided. So does a frame that does not follow from the one before: a single
    picture or page, another size, a time that goes back, or a cut.

    Args:
        frames: maximum number of crops of a face, 2 or more.
        sides: crop sizes of the engine, pixels.
    """

    def __init__(self, frames: int, sides: tuple[int, ...]) -> None:
        self._frames, self._sides = frames, sides
        self._state, self._time_s = TrackerState(), 0.0
        self._before: _Before | None = None
        self._first = 0
        self._crops: dict[int, TrackedCrop] = {}

    def follow(self, frame: Frame, detections: Detections, crops: Sequence[Crops]) -> list[tuple[TrackedCrop, ...]]:
        """Find the tracks of the faces of the next frame, and register their crops to those before.

        Args:
            frame: the next frame.
            detections: its faces.
            crops: batches of its crops.

        Returns:
            For each batch those of its faces.
        """
        self._begin(frame)
        self._state = track_next(self._state, detections, self._time_s, _size(frame), self._sides, EVERY_FACE)
        of_box = {track.box_xyxy.tobytes(): track.id for track in self._state.tracks if track.detected}
        ids = [of_box[box.tobytes()] for box in detections.boxes_xyxy]
        followed = [tuple(self._tracked(frame, ids, batch, n) for n in range(len(batch.indices))) for batch in crops]
        known = {track.id for track in (*self._state.tracks, *self._state.hidden)}
        self._crops = {number: crop for number, crop in self._crops.items() if number in known}
        return followed

    def _tracked(self, frame: Frame, ids: list[int], crops: Crops, n: int) -> TrackedCrop:
        """Add a crop to its track."""
        number, window = ids[crops.indices[n]], crops.windows[n]
        before = self._crops.get(number)
        earlier = before.history if before else None
        history = extended(earlier, crops.pixels[n], (window.x, window.y), self._frames)
        indices = (*(before.indices if before else ()), frame.index)[-len(history.crops) :]
        shown = before.shown if before and len(history.crops) > 1 else None
        self._crops[number] = TrackedCrop(history, indices, shown)
        return self._crops[number]

    def _begin(self, frame: Frame) -> None:
        """Advance to a frame; all tracks end if it does not follow from the one before."""
        if frame.pts == 0 or (frame.name and frame.pts is None):  # a file begins, of which a folder may have several
            self._first = frame.index
        view, before, change = thumbnail(frame.pixels), self._before, 0.0
        follows = before is not None and _follows(frame, before, frame.index - self._first)
        if before is not None and follows:
            change, elapsed_s = difference(view, before.view), frame.time_s - before.time_s
            self._time_s += elapsed_s if elapsed_s > 0 else FRAME_S
            follows = change <= CUT or change <= CUT_RATIO * before.change
        if not follows:
            self._state, self._crops = TrackerState(next_id=self._state.next_id), {}
        self._before = _Before.of(frame, view, change)


def _follows(frame: Frame, before: _Before, number: int) -> bool:
    """Whether a frame is the next one of the same moving picture, as its frame of a number."""
    if number and starts_chunk(number):  # 0: also frames without an index
        return False
    if (frame.pts is None) != (before.pts is None) or frame.pts == 0:  # another file
        return False
    if _size(frame) != before.size_wh or (frame.name and frame.pts is None):  # a picture
        return False
    if frame.name == before.name and Path(frame.name).suffix.lower() in PAGES:
        return False
    if frame.pts is not None and before.pts is not None and frame.pts <= before.pts:
        return False
    return frame.time_s > before.time_s or frame.time_s == before.time_s == 0


def _size(frame: Frame) -> tuple[int, int]:
    return frame.pixels.shape[1], frame.pixels.shape[0]

"""The best face of each track of a video, for its card."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import Detections
from ..live.tracks.tracker import Track, TrackerOptions, TrackerState, track_next
from ..multiframe.held_out import NO_GAIN, HeldOutGain, held_out_errors
from ..pipeline.results import Face, FrameResult
from .card import EvidenceItem, FrameView, LeftOut, TrackSpan
from .items import face_usability, item_of
from .pictures import MAX_VIDEO_VIEW_PX, view_of

Upscale = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
MAX_TRACKS = 24
"""Faces on the card of a video; of more tracks, the best are shown."""
MAX_MEASURED = 20
"""Frames of a track on which the gain of several frames is measured; each costs a face of the single-frame network."""
DAMAGED = 0.5
"""Factor of the rank of a face in a frame whose damage the decoder concealed."""


@dataclass(frozen=True, eq=False)
class BestFace:
    """The best face of a track so far.

    Args:
        item: without its final track.
        view: of its frame.
        rank: 0..1, higher is better.
    """

    item: EvidenceItem
    view: FrameView
    rank: float


class VideoFaces:
    """Follows the faces of a video, and keeps the best one of each track in bounded memory.

    Args:
        sides: crop sizes of the engine, pixels.
        min_score: of the detector, 0..1.
        tracked: False for pages, which have nothing to do with each other: each of their faces stands alone.
        single: upscales crops (N, S, S, 3) one by one, to measure the gain of several frames; None to measure none.
    """

    def __init__(
        self, sides: tuple[int, ...], min_score: float, tracked: bool = True, single: Upscale | None = None
    ) -> None:
        self._sides, self._options, self._tracked = sides, TrackerOptions(min_score), tracked
        self._state, self._alone = TrackerState(), 0
        self._open: dict[int, BestFace] = {}
        self._ended: list[BestFace] = []
        self._spans: dict[int, TrackSpan] = {}
        self._surplus = self._unconfirmed = 0
        self._too_large: set[int] = set()
        self._single, self._gains = single, dict[int, HeldOutGain]()
        self._before: dict[int, tuple[int, Face]] = {}

    def add(self, result: FrameResult) -> None:
        """Take the faces of the next frame."""
        view: FrameView | None = None
        before, self._before = self._before, {}
        for track, face in self._followed(result):
            if face is None:
                self._too_large.add(track.id)
                continue
            if self._single is not None:
                self._measure(track.id, before.get(track.id), face, result.source.index)
            rank = face_usability(face).score * (DAMAGED if result.source.damaged else 1)
            best = self._open.get(track.id)
            if best is None or rank > best.rank:
                view = view or view_of(result.source, MAX_VIDEO_VIEW_PX)
                self._open[track.id] = BestFace(item_of(face, result.source, is_picture=False), view, rank)
            self._spans[track.id] = TrackSpan(track.id, track.first_s, track.last_s, track.frames, False)
        for number in self._state.ended:
            self._end(number, True)

    def _measure(self, number: int, before: tuple[int, Face] | None, face: Face, index: int) -> None:
        """Measure the gain of several frames for the face of the frame before, on a face of the next frame."""
        self._before[number] = index, face
        gain = self._gains.get(number, NO_GAIN)
        if before is None or self._single is None or gain.frames >= MAX_MEASURED:
            return
        old_index, old = before
        if old.frames == 1 or index != old_index + 1:
            return
        (x, y), (next_x, next_y) = old.window_xyxy[:2], face.window_xyxy[:2]
        box = np.asarray(face.box_xyxy - np.tile((next_x, next_y), 2), np.float32)
        single = self._single(old.original[None])[0]
        errors = held_out_errors(old.original, old.pixels, single, face.original, box, (next_x - x, next_y - y))
        if errors is not None:
            self._gains[number] = gain.with_frame(errors)

    def _followed(self, result: FrameResult) -> list[tuple[Track, Face | None]]:
        """Tracks that were detected in a frame, with their faces; None for one that is too large."""
        frame, large = result.source, result.too_large
        faces: list[Face | None] = [*result.faces, *[None] * len(large)]
        boxes = np.array([*(face.box_xyxy for face in result.faces), *large.boxes_xyxy], np.float32).reshape(-1, 4)
        scores = np.array([*(face.score for face in result.faces), *large.scores], np.float32)
        points = np.array([*(face.landmarks for face in result.faces), *large.landmarks], np.float32).reshape(-1, 5, 2)
        detections, frame_wh = Detections(boxes, scores, points), (frame.pixels.shape[1], frame.pixels.shape[0])
        before = self._state
        if not self._tracked:  # all tracks end with each page
            before = TrackerState(next_id=before.next_id)
            for number in list(self._open):
                self._end(number, True)
        options = self._options if self._tracked else replace(self._options, sure_score=0.0)
        state = track_next(before, detections, frame.time_s, frame_wh, self._sides, options)
        confirmed = sum(track.id >= before.next_id and track.frames > 1 for track in state.tracks)
        self._unconfirmed += len(before.candidates) - confirmed
        self._state = state
        of_box = {box.tobytes(): face for box, face in zip(boxes, faces, strict=True)}
        detected = (track for track in state.tracks if track.detected)
        return [(track, of_box[np.asarray(track.box_xyxy, np.float32).tobytes()]) for track in detected]

    def _end(self, number: int, ended: bool) -> None:
        best = self._open.pop(number, None)
        span, gain = self._spans.pop(number, None), self._gains.pop(number, None)
        if best is None or span is None:
            return
        self._too_large.discard(number)
        track = replace(span, ended=ended) if self._tracked else None
        self._ended.append(replace(best, item=replace(best.item, track=track, gain=gain)))
        if len(self._ended) > MAX_TRACKS:
            self._ended.sort(key=lambda one: -one.rank)
            del self._ended[MAX_TRACKS:]
            self._surplus += 1

    def close(self) -> tuple[list[EvidenceItem], list[FrameView], list[LeftOut]]:
        """The best faces in the order of their frames, views of these frames, and what was left out."""
        for number in list(self._open):
            self._end(number, False)
        shown = sorted(self._ended, key=lambda one: (one.item.frame.index, one.item.track.id if one.item.track else 0))
        views = {one.item.frame.index: one.view for one in shown}
        noun = "tracks with less usable faces" if self._tracked else "less usable faces"
        unconfirmed = self._unconfirmed + len(self._state.candidates)
        counts = {
            f"{noun} than those shown": self._surplus,
            "weak detections in one frame that the next did not confirm": unconfirmed,
            "faces that were too large for the network in every frame": len(self._too_large),
        }
        left_out = [LeftOut(reason, count) for reason, count in counts.items() if count]
        return [one.item for one in shown], list(views.values()), left_out

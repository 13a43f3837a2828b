"""One turn of the scheduler: the newest frames of several cameras in, a result for each out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.padding import copy_window
from ...engines.session import Session
from ..pipeline.crop import Window
from ..pipeline.frame import Frame
from ..pipeline.results import DetectorUse
from ..pipeline.upscale import psnr_db
from ..profiling.timing import Span, Stopwatch
from .costs import Costs
from .results import FrameTimes, LiveFace, LiveResult, SkippedFace, Treatment
from .reuse import Alignment, Kept, align, aligned_box, keep, reused
from .schedule import MAX_LEVELS, Choice, Need, due_for_detection, plan
from .stream import Stream
from .tracker import Track
from .usability import Usability, usability

DETECT_SHARE = 0.4
"""Share of the time for detection, if that does not suffice for every frame that is due."""
FLAT = 0.2
"""Added to both sharpnesses before their ratio: that of two blurred faces tells nothing."""
MARGIN = 0.85
"""Share of the time to the deadline that is planned for: estimates are means, and the machine has other work."""


Upscaled = tuple[NDArray[np.uint8], float]
"""Pixels of a face, and its consistency in dB."""


@dataclass(frozen=True, eq=False)
class Networks:
    """The engines of a run.

    Args:
        session: super-resolution.
        small: a smaller network of the same scale; None for none.
    """

    session: Session
    small: Session | None = None

    @property
    def scale(self) -> int:
        """Ratio of output to input."""
        return self.session.io_spec.scale


@dataclass(eq=False)
class Work:
    """A frame in a turn."""

    stream: Stream
    frame: Frame
    taken_s: float
    timer: Stopwatch = field(default_factory=Stopwatch)
    detection: DetectorUse | None = None
    faces: list[LiveFace] = field(default_factory=list)
    skipped: list[SkippedFace] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Item:
    """A face in a turn."""

    work: Work
    track: Track
    window: Window
    crop: NDArray[np.uint8]
    alignment: Alignment | None
    usability: Usability
    need: Need


class Turn:
    """Runs turns with the engines; used by the scheduler's thread only.

    Args:
        networks: engines of the run.
        outscale: ratio of a composite's size to the frame's.

    Attributes:
        costs: of the work so far.
    """

    def __init__(self, networks: Networks, outscale: int) -> None:
        self._networks, self._outscale = networks, outscale
        self.costs, self._credit_ms = Costs(), 0.0
        self._beside = ThreadPoolExecutor(1, "live reuse")

    def measure(self) -> None:
        """Run every crop size of the engines, and note what it costs."""
        engines = {"network": self._networks.session, "small network": self._networks.small}
        for name, session in engines.items():
            for side in session.io_spec.crop_sizes if session else ():
                batch = np.zeros((1, side, side, 3), np.uint8)
                assert session
                session.infer_batches([batch])  # prepares the graph
                with self._measured(name, side):
                    session.infer_batches([batch])

    def __call__(self, works: Sequence[Work], deadline_s: float) -> list[LiveResult]:
        """Process one frame of each of several cameras.

        Args:
            works: the frames.
            deadline_s: time at which the results should be ready, on the clock of `time.monotonic`; inf for none.
        """
        self._detect(works, deadline_s)
        items = [item for work in works for item in self._items(work)]
        left_ms = MARGIN * 1e3 * (deadline_s - time.monotonic())
        choices = plan([item.need for item in items], left_ms, self.costs, self._networks.small is not None)
        self._upscale(items, choices)
        done_s, clock_s = time.monotonic(), time.time()
        return [self._result(work, done_s, clock_s) for work in works]

    def close(self) -> None:
        """End the thread that moves outputs."""
        self._beside.shutdown(wait=False)

    def _detect(self, works: Sequence[Work], deadline_s: float) -> None:
        self._credit_ms += DETECT_SHARE * MARGIN * 1e3 * max(0.0, deadline_s - time.monotonic())
        costs = [self.costs["detect", work.stream.camera.name] for work in works]
        waiting_s = [work.stream.waiting_s(work.frame) for work in works]
        due, self._credit_ms = due_for_detection(waiting_s, costs, self._credit_ms)
        for n, work in enumerate(works):
            if n not in due:
                work.stream.predict(work.frame)
                continue
            start = time.perf_counter()
            with work.timer.stage("detect"):
                work.detection = work.stream.detect(work.frame, work.timer)
            self.costs.add(("detect", work.stream.camera.name), 1e3 * (time.perf_counter() - start))

    def _items(self, work: Work) -> Iterator[Item]:
        """Crops of the faces of a frame, compared with what is kept of them."""
        with work.timer.stage("crop"):
            for track in work.stream.tracks:
                if track.window is None:
                    work.skipped.append(SkippedFace(track.id, track.box_xyxy, track.score, "too large"))
                    continue
                crop = np.empty((track.window.side, track.window.side, 3), np.uint8)
                copy_window(work.frame.pixels, track.window.x, track.window.y, crop)
                yield self._item(work, track, track.window, crop)

    def _item(self, work: Work, track: Track, window: Window, crop: NDArray[np.uint8]) -> Item:
        kept, alignment = work.stream.kept.get(track.id), None
        if kept is not None:
            alignment = align(kept, crop, track.box_xyxy, window)
            if work.detection is None:
                box = aligned_box(kept, alignment, window) if alignment.change <= MAX_LEVELS else None
                track = work.stream.correct(track, box, work.frame)
        quality = usability(crop, track.box_xyxy, track.landmarks, window, track.score)
        found = (kept, alignment) if kept and alignment else None
        need = _need(window.side, work.frame, track, found, quality.sharpness)
        return Item(work, track, window, crop, alignment, quality, need)

    def _upscale(self, items: Sequence[Item], choices: Sequence[Choice]) -> None:
        """Upscale faces of the same treatment and crop size together; last outputs are moved while the networks run."""
        start_ns = time.perf_counter_ns()
        groups: dict[tuple[Treatment, int], list[int]] = {}
        for n, (item, choice) in enumerate(zip(items, choices, strict=True)):
            if choice.treatment == "skipped":
                track = item.track
                item.work.skipped.append(SkippedFace(track.id, track.box_xyxy, track.score, choice.reason))
            else:
                groups.setdefault((choice.treatment, item.window.side), []).append(n)
        moved = {key: members for key, members in groups.items() if key[0] == "reused"}
        if moved and len(moved) < len(groups):
            running = self._beside.submit(self._run, moved, items)
            outputs = self._run({key: members for key, members in groups.items() if key not in moved}, items)
            outputs |= running.result()
        else:
            outputs = self._run(groups, items)
        for n, (pixels, consistency_db) in outputs.items():
            items[n].work.faces.append(_face(items[n], choices[n], pixels, consistency_db))
        span = Span("upscale", start_ns, time.perf_counter_ns() - start_ns)
        for work in {id(item.work): item.work for item in items}.values():
            work.timer.spans.append(span)

    def _run(self, groups: Mapping[tuple[Treatment, int], Sequence[int]], items: Sequence[Item]) -> dict[int, Upscaled]:
        """Pixels and consistency of faces by their index."""
        outputs: dict[int, Upscaled] = {}
        for (treatment, side), members in groups.items():
            with self._measured("reuse" if treatment == "reused" else treatment, side, len(members)):
                outputs.update(zip(members, self._outputs(treatment, [items[n] for n in members]), strict=True))
        return outputs

    def _outputs(self, treatment: Treatment, items: Sequence[Item]) -> list[Upscaled]:
        """Pixels and consistency of faces of one crop size."""
        if treatment == "reused":
            return [(_reused(item), math.nan) for item in items]
        if treatment == "bicubic":
            size = (self._networks.scale * items[0].window.side,) * 2
            return [(_bicubic(item.crop, size), math.nan) for item in items]
        session = self._networks.session if treatment == "network" else self._networks.small
        assert session is not None
        output = session.infer_batches([np.stack([item.crop for item in items])])[0]
        decibels = np.full(len(items), np.nan) if output.residual is None else psnr_db(output.residual)
        for item, pixels in zip(items, output.tensor, strict=True):
            _keep(item, pixels, treatment == "small network")
        return [(pixels, float(value)) for pixels, value in zip(output.tensor, decibels, strict=True)]

    @contextmanager
    def _measured(self, work: str, side: int, count: int = 1) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.costs.add((work, side), 1e3 * (time.perf_counter() - start), count)

    def _result(self, work: Work, done_s: float, done_clock_s: float) -> LiveResult:
        frame, stream = work.frame, work.stream
        dropped = sum(stream.camera.status().dropped.values())
        new_drops, stream.dropped = dropped - stream.dropped, dropped
        arrival_s = work.taken_s if frame.arrival_s is None else frame.arrival_s
        return LiveResult(
            stream.camera.name,
            frame,
            tuple(sorted(work.faces, key=lambda face: face.track_id)),
            tuple(work.skipped),
            stream.ended,
            work.detection,
            FrameTimes(arrival_s, work.taken_s, done_s, frame.clock_s, done_clock_s),
            tuple(work.timer.spans),
            new_drops,
            self._outscale,
        )


def _face(item: Item, choice: Choice, pixels: NDArray[np.uint8], consistency_db: float) -> LiveFace:
    track = item.track
    assert choice.treatment != "skipped"
    return LiveFace(
        track.box_xyxy,
        track.score,
        track.landmarks,
        item.window.xyxy,
        item.crop,
        pixels,
        consistency_db,
        track.id,
        choice.treatment,
        choice.reason,
        track.detected,
        item.usability,
    )


def _need(item_side: int, frame: Frame, track: Track, found: tuple[Kept, Alignment] | None, sharpness: float) -> Need:
    """What a face needs, given what is kept of it and where that lies in the crop."""
    if found is None:
        return Need(item_side)
    kept, alignment = found
    return Need(
        item_side,
        alignment.change,
        max(0.0, frame.time_s - kept.time_s),
        track.side / kept.face_px,
        (sharpness + FLAT) / (kept.sharpness + FLAT),
        kept.by_small,
    )


def _keep(item: Item, pixels: NDArray[np.uint8], by_small: bool) -> None:
    """Keep the network's output for later frames of the track."""
    time_s, sharpness = item.work.frame.time_s, item.usability.sharpness
    kept = keep(item.crop, pixels, item.track.box_xyxy, item.window, time_s, sharpness, by_small)
    item.work.stream.kept[item.track.id] = kept


def _reused(item: Item) -> NDArray[np.uint8]:
    assert item.alignment is not None
    return reused(item.work.stream.kept[item.track.id], item.crop, item.alignment)


def _bicubic(crop: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_CUBIC), np.uint8)

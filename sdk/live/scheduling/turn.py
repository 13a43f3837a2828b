"""One turn of the scheduler: the newest frames of several cameras in, a result for each out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from ....engines.multiframe.session import crops_used
from ....engines.padding import copy_window
from ...pipeline.crop import Window
from ...profiling.timing import Span
from ..results import FrameTimes, LiveFace, LiveResult, SkippedFace, Treatment
from ..tracks.tracker import Track
from ..tracks.usability import usability
from .costs import Costs
from .plan import MAX_LEVELS, Choice, Need, due_for_detection, due_for_registration, plan
from .reuse import Alignment, Kept, align, aligned_box
from .stream import Registered
from .upscaler import Networks, Upscaled, Upscaler
from .work import Item, Work

DETECT_SHARE = 0.4
"""Share of the time for detection, if that does not suffice for every frame that is due."""
REGISTER_SHARE = 0.25
"""The same for the registration of crops with those before them."""
FLAT = 0.2
"""Added to both sharpnesses before their ratio: that of two blurred faces tells nothing."""
MARGIN = 0.85
"""Share of the time to the deadline that is planned for: estimates are means, and the machine has other work."""
Crop = tuple[Track, Window, NDArray[np.uint8]]


class Turn:
    """Runs turns with the engines; used by the scheduler's thread only. A second thread works while engines run.

    Args:
        networks: engines of the run.
        outscale: ratio of a composite's size to the frame's.
    """

    def __init__(self, networks: Networks, outscale: int) -> None:
        self._executor = ThreadPoolExecutor(1, "live turn")
        self._upscaler, self._outscale = Upscaler(networks, self._executor), outscale
        self._credit_ms = self._dearest_ms = 0.0

    @property
    def costs(self) -> Costs:
        """Of the work so far."""
        return self._upscaler.costs

    def measure(self, is_stopped: Callable[[], bool]) -> None:
        """Prepare the engines, and note what they cost, unless the run is stopped meanwhile."""
        self._upscaler.measure(is_stopped)

    def __call__(self, works: Sequence[Work], deadline_s: float) -> list[LiveResult]:
        """Process one frame of each of several cameras.

        Args:
            works: the frames.
            deadline_s: time at which the results should be ready, on the clock of `time.monotonic`; inf for none.
        """
        items = self._find(works, deadline_s)
        left_ms = MARGIN * 1e3 * (deadline_s - time.monotonic())
        choices = plan([item.need for item in items], left_ms, self.costs, self._upscaler.has_small)
        self._upscale(items, choices)
        self.costs.end_turn()
        done_s, clock_s = time.monotonic(), time.time()
        return [self._result(work, done_s, clock_s) for work in works]

    def close(self) -> None:
        """End the second thread."""
        self._executor.shutdown(wait=False)

    def _find(self, works: Sequence[Work], deadline_s: float) -> list[Item]:
        """Faces of all frames. While the detector runs in some frames, those of the others are followed and cut out."""
        left_ms = MARGIN * 1e3 * max(0.0, deadline_s - time.monotonic())
        for work in works:
            work.stream.enter(work.frame)
            work.stream.register_ms += REGISTER_SHARE * left_ms / len(works)
        self._credit_ms += DETECT_SHARE * left_ms
        costs = [self.costs["detect", work.frame.pixels.shape] for work in works]
        self._dearest_ms = max(self._dearest_ms, *costs)
        waiting_s = [work.stream.waiting_s for work in works]
        due, self._credit_ms = due_for_detection(waiting_s, costs, self._credit_ms, self._dearest_ms)
        found = {n: self._executor.submit(self._follow, work) for n, work in enumerate(works) if n not in due}
        for n in due:
            self._detect(works[n])
            found[n] = self._executor.submit(self._items, works[n])
        return [item for n in range(len(works)) for item in found[n].result()]

    def _detect(self, work: Work) -> None:
        kind = "detect", work.frame.pixels.shape
        if not self.costs[kind]:  # the first call of a size prepares the engine, which would be taken for its cost
            work.stream.prepare(work.frame)
        start = time.perf_counter()
        with work.timer.stage("detect"):
            work.detection = work.stream.detect(work.frame, work.timer)
        self.costs.add(kind, 1e3 * (time.perf_counter() - start))

    def _follow(self, work: Work) -> list[Item]:
        """Faces of a frame without a detection."""
        work.stream.predict(work.frame)
        return self._items(work)

    def _items(self, work: Work) -> list[Item]:
        """Crops of the faces of a frame, compared with what is kept of them."""
        crops: list[Crop] = []
        with work.timer.stage("crop"):
            for track in work.stream.tracks:
                if track.window is None:
                    work.skipped.append(_skipped(track, "too large"))
                    continue
                crop = np.empty((track.window.side, track.window.side, 3), np.uint8)
                copy_window(work.frame.pixels, track.window.x, track.window.y, crop)
                crops.append((track, track.window, crop))
            registered = self._register(work, crops) if work.stream.frames > 1 else {}
            return [self._item(work, *crop, registered.get(n)) for n, crop in enumerate(crops)]

    def _register(self, work: Work, crops: Sequence[Crop]) -> dict[int, Registered]:
        """Registered crops of the faces for which there is time, by the index of the crop; none of lost faces."""
        stream = work.stream
        costs = [self.costs["register", window.side] for _, window, _ in crops]
        waiting_s = [-math.inf if track.frames_missed else stream.unregistered_s(track.id) for track, _, _ in crops]
        due, stream.register_ms = due_for_registration(waiting_s, costs, stream.register_ms)
        registered = {}
        with work.timer.stage("crop.register"):
            for n in due:
                track, window, crop = crops[n]
                start = time.perf_counter()
                registered[n] = stream.register(work.frame, track.id, crop, window)
                if waiting_s[n] < math.inf:  # the first crop is not compared with another
                    self.costs.add(("register", window.side), 1e3 * (time.perf_counter() - start))
        return registered

    def _item(
        self, work: Work, track: Track, window: Window, crop: NDArray[np.uint8], registered: Registered | None
    ) -> Item:
        kept, alignment = work.stream.kept.get(track.id), None
        if kept is not None:
            alignment = align(kept, crop, track.box_xyxy, window)
            if not track.detected:
                box = aligned_box(kept, alignment, window) if alignment.change <= MAX_LEVELS else None
                track = work.stream.correct(track, box)
        quality = usability(crop, track.box_xyxy, track.landmarks, window, track.score)
        found = (kept, alignment) if kept and alignment else None
        frames = crops_used(registered.history if registered else None)
        need = _need(window.side, work.stream.time_s, track, found, quality.sharpness, frames)
        return Item(work, track, window, crop, alignment, quality, need, registered)

    def _upscale(self, items: Sequence[Item], choices: Sequence[Choice]) -> None:
        start_ns = time.perf_counter_ns()
        groups: dict[Treatment, dict[int, list[int]]] = {}
        for n, (item, choice) in enumerate(zip(items, choices, strict=True)):
            if choice.treatment == "skipped":
                track = item.track
                item.work.skipped.append(_skipped(track, choice.reason))
            else:
                groups.setdefault(choice.treatment, {}).setdefault(item.window.side, []).append(n)
        for n, upscaled in self._upscaler(groups, items).items():
            items[n].work.faces.append(_face(items[n], choices[n], upscaled))
        span = Span("upscale", start_ns, time.perf_counter_ns() - start_ns)
        for work in {id(item.work): item.work for item in items}.values():
            work.timer.spans.append(span)

    def _result(self, work: Work, done_s: float, done_clock_s: float) -> LiveResult:
        frame, stream = work.frame, work.stream
        dropped = stream.camera.dropped
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


def _face(item: Item, choice: Choice, upscaled: Upscaled) -> LiveFace:
    track = item.track
    assert choice.treatment != "skipped"
    upscaled.pixels.flags.writeable = False
    return LiveFace(
        track.box_xyxy,
        track.score,
        track.landmarks,
        item.window.xyxy,
        item.crop,
        upscaled.pixels,
        upscaled.consistency_db,
        track.id,
        choice.treatment,
        choice.reason,
        track.detected,
        item.usability,
        frames=upscaled.frames,
        earlier_frames=upscaled.earlier_frames,
    )


def _need(
    item_side: int,
    now_s: float,
    track: Track,
    found: tuple[Kept, Alignment] | None,
    sharpness: float,
    frames: int,
) -> Need:
    """What a face needs, given what is kept of it and where that lies in the crop."""
    if found is None:
        return Need(item_side, frames=frames)
    kept, alignment = found
    return Need(
        item_side,
        alignment.change,
        now_s - kept.time_s,
        track.side / kept.face_px,
        (sharpness + FLAT) / (kept.sharpness + FLAT),
        kept.by_small,
        alignment.still,
        track.frames_missed > 0,
        frames,
        kept.frames,
    )


def _skipped(track: Track, reason: str) -> SkippedFace:
    return SkippedFace(track.id, track.box_xyxy, track.score, reason, track.detected)

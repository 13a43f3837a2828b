"""Upscales the faces of a turn as planned, those of all cameras together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ....engines.multiframe.history import History, extended
from ....engines.multiframe.session import MultiFrameSession
from ....engines.session import Output, Session
from ...pipeline.upscale import psnr_db
from ..results import Treatment
from .costs import Costs
from .plan import WorkKind
from .reuse import keep, reused
from .work import Item

MEASURED_CALLS = 2
"""Calls of each crop size before the run, in turn: a burst of other work does not hit all calls of one."""
Sides = Mapping[int, Sequence[int]]
"""Crop size -> indices of faces."""


@dataclass(frozen=True, eq=False)
class Networks:
    """The engines of a run.

    Args:
        session: super-resolution.
        small: a smaller network of the same scale; None for none.
        multi: a network of the same scale that takes several crops of a face; None for none.
    """

    session: Session
    small: Session | None = None
    multi: MultiFrameSession | None = None

    @property
    def scale(self) -> int:
        """Ratio of output to input."""
        return self.session.io_spec.scale

    @property
    def frames(self) -> int:
        """Maximum number of crops of a face that a network gets."""
        return self.multi.frames if self.multi else 1

    def of(self, work: WorkKind) -> Session | None:
        """The engine of a kind of work on single crops; None if it needs none."""
        return {"network": self.session, "small network": self.small}.get(work)

    def close(self) -> None:
        """Release the engines but `session`. Idempotent."""
        for one in (self.small, self.multi):
            if one:
                one.close()


class Upscaled(NamedTuple):
    """An upscaled face.

    Args:
        pixels: (kS, kS, 3) uint8 BGR.
        consistency_db: see `Face`.
        frames: number of crops that `pixels` are made from.
        earlier_frames: see `Face`.
    """

    pixels: NDArray[np.uint8]
    consistency_db: float
    frames: int = 1
    earlier_frames: tuple[int, ...] = ()


class Upscaler:
    """Runs the treatments; used by the scheduler's thread only.

    Args:
        networks: engines of the run.
        executor: of the thread that moves last outputs while the networks run.

    Attributes:
        costs: of the work so far.
    """

    def __init__(self, networks: Networks, executor: ThreadPoolExecutor) -> None:
        self._networks, self._executor, self.costs = networks, executor, Costs()

    @property
    def has_small(self) -> bool:
        """Whether there is a smaller network."""
        return self._networks.small is not None

    def measure(self, is_stopped: Callable[[], bool]) -> None:
        """Run every crop size of the engines, and note what it costs at best: other processes may be busy just now."""
        calls = self._measured_calls()
        best_ms: dict[Hashable, float] = {}
        for n in range(1 + MEASURED_CALLS):
            for work, call in calls.items():
                if is_stopped():
                    return
                start = time.perf_counter()
                call()
                if n:  # the first call prepares the graph
                    ms = 1e3 * (time.perf_counter() - start)
                    best_ms[work] = min(ms, best_ms.get(work, ms))
        self.costs = Costs(best_ms)

    def _measured_calls(self) -> dict[tuple[str, int], Callable[[], object]]:
        """Kind of work and crop size -> a call of it for one face."""
        calls: dict[tuple[str, int], Callable[[], object]] = {}
        works: tuple[WorkKind, ...] = ("network", "small network")
        for work in works:
            if session := self._networks.of(work):
                for side in session.io_spec.crop_sizes:
                    calls[work, side] = partial(session.infer_batches, [np.zeros((1, side, side, 3), np.uint8)])
        if multi := self._networks.multi:
            for side in self._networks.session.io_spec.crop_sizes:
                crop = _textured(side)
                history = _history_of(crop, multi.frames)
                calls["register", side] = partial(extended, history, crop, (0, 0), multi.frames)
                calls["multi-frame network", side] = partial(multi.infer_batches, [crop[None]], [[history]])
        return calls

    def __call__(self, groups: Mapping[Treatment, Sides], items: Sequence[Item]) -> dict[int, Upscaled]:
        """Upscale faces; last outputs are moved while the networks run.

        Args:
            groups: treatment -> crop size -> indices of faces.
            items: all faces.

        Returns:
            Pixels and consistency by the index of the face.
        """
        others: dict[Treatment, Sides] = {
            treatment: sides for treatment, sides in groups.items() if treatment != "reused"
        }
        moved = groups.get("reused", {})
        if not moved or not others:
            return self._run_all(groups, items)
        running = self._executor.submit(self._run, "reused", moved, items)
        return self._run_all(others, items) | running.result()

    def _run_all(self, groups: Mapping[Treatment, Sides], items: Sequence[Item]) -> dict[int, Upscaled]:
        outputs: dict[int, Upscaled] = {}
        for treatment, sides in groups.items():
            outputs |= self._run(treatment, sides, items)
        return outputs

    def _run(self, treatment: Treatment, sides: Sides, items: Sequence[Item]) -> dict[int, Upscaled]:
        """One treatment of faces of all sizes; its time is noted."""
        outputs: dict[int, Upscaled] = {}
        for work, some in _by_work(treatment, sides, items).items():
            start = time.perf_counter()
            outputs |= self._outputs(work, some, items)
            self._note(work, some, 1e3 * (time.perf_counter() - start))
        return outputs

    def _outputs(self, work: WorkKind, sides: Sides, items: Sequence[Item]) -> dict[int, Upscaled]:
        batches = [np.stack([items[n].crop for n in members]) for members in sides.values()]
        if work == "multi-frame network" and self._networks.multi:
            histories = [[_history(items[n]) for n in members] for members in sides.values()]
            several = self._networks.multi.infer_batches(batches, histories)
            return _network_outputs(sides, items, [(one.output, one.frames) for one in several], False)
        if session := self._networks.of(work):
            outputs = session.infer_batches(batches)
            single = [(output, (1,) * len(output.tensor)) for output in outputs]
            return _network_outputs(sides, items, single, work == "small network")
        return {n: self._own_output(work, items[n]) for members in sides.values() for n in members}

    def _own_output(self, work: WorkKind, item: Item) -> Upscaled:
        """Pixels of a face without a network, and an unknown consistency."""
        if work == "reuse":
            assert item.alignment is not None
            kept = item.work.stream.kept[item.track.id]
            return Upscaled(reused(kept, item.crop, item.alignment), math.nan, kept.frames)
        side = self._networks.scale * item.window.side
        enlarged = cv2.resize(item.crop, (side, side), interpolation=cv2.INTER_CUBIC)
        return Upscaled(np.asarray(enlarged, np.uint8), math.nan)

    def _note(self, work: WorkKind, sides: Sides, ms: float) -> None:
        """Share the time of faces of several sizes among them, in the ratio of the estimates so far."""
        known = all(self.costs[work, side] for side in sides)
        weights = {
            side: len(members) * (self.costs[work, side] if known else side**2) for side, members in sides.items()
        }
        total = sum(weights.values())
        for side, members in sides.items():
            self.costs.add((work, side), ms * weights[side] / total, len(members))


def _history(item: Item) -> History | None:
    return item.registered.history if item.registered else None


def _by_work(treatment: Treatment, sides: Sides, items: Sequence[Item]) -> dict[WorkKind, dict[int, list[int]]]:
    """Kind of work -> crop size -> indices of faces."""
    works: dict[WorkKind, dict[int, list[int]]] = {}
    for side, members in sides.items():
        for n in members:
            work: WorkKind = "reuse" if treatment == "reused" else treatment
            if treatment == "network":
                work = items[n].need.network
            works.setdefault(work, {}).setdefault(side, []).append(n)
    return works


def _network_outputs(
    sides: Sides, items: Sequence[Item], outputs: Sequence[tuple[Output, Sequence[int]]], by_small: bool
) -> dict[int, Upscaled]:
    """Pixels and consistency of faces; they are kept for later frames.

    Args:
        sides: crop size -> indices of faces.
        items: all faces.
        outputs: for each crop size, with the number of crops of each face.
        by_small: they are of the smaller network.
    """
    upscaled: dict[int, Upscaled] = {}
    for members, (output, frames) in zip(sides.values(), outputs, strict=True):
        decibels = np.full(len(members), np.nan) if output.residual is None else psnr_db(output.residual)
        for n, pixels, value, count in zip(members, output.tensor, decibels, frames, strict=True):
            own = pixels if pixels.base is None else pixels.copy()  # a view would keep the whole batch
            _keep(items[n], own, by_small, count)
            registered = items[n].registered
            earlier = registered.earlier_frames if registered and count > 1 else ()
            upscaled[n] = Upscaled(own, float(value), count, earlier)
    return upscaled


def _keep(item: Item, pixels: NDArray[np.uint8], by_small: bool, frames: int) -> None:
    """Keep an output for later frames of the track."""
    time_s, sharpness = item.work.stream.time_s, item.usability.sharpness
    kept = keep(item.crop, pixels, item.track.box_xyxy, item.window, time_s, sharpness, by_small, frames)
    item.work.stream.kept[item.track.id] = kept


def _textured(side: int) -> NDArray[np.uint8]:
    """A crop that can be registered, (side, side, 3) BGR."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    return np.asarray(cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


def _history_of(crop: NDArray[np.uint8], frames: int) -> History:
    """The history of a face that moves by parts of a pixel and ends with a crop."""
    size, history = crop.shape[1::-1], None
    for number in reversed(range(frames)):
        motion = np.array(((1, 0, 0.4 * number), (0, 1, -0.3 * number)))
        moved = cv2.warpAffine(crop, motion, size, borderMode=cv2.BORDER_REPLICATE) if number else crop
        history = extended(history, np.asarray(moved, np.uint8), (0, 0), frames)
    assert history is not None
    return history

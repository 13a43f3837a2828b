"""Upscales the faces of a turn as planned, those of all cameras together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ....engines.session import Session
from ...pipeline.upscale import psnr_db
from ..results import Treatment
from .costs import Costs
from .reuse import keep, reused
from .work import Item

MEASURED_CALLS = 2
"""Calls of each crop size before the run, in turn: a burst of other work does not hit all calls of one."""
Upscaled = tuple[NDArray[np.uint8], float]
"""Pixels of a face, and its consistency in dB."""
Sides = Mapping[int, Sequence[int]]
"""Crop size -> indices of faces."""


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

    def of(self, treatment: Treatment) -> Session | None:
        """The engine of a treatment; None if it needs none."""
        return {"network": self.session, "small network": self.small}.get(treatment)


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
        calls = [
            (treatment, session, side)
            for treatment in ("network", "small network")
            if (session := self._networks.of(treatment))
            for side in session.io_spec.crop_sizes
        ]
        best_ms: dict[Hashable, float] = {}
        for n in range(1 + MEASURED_CALLS):
            for treatment, session, side in calls:
                if is_stopped():
                    return
                start = time.perf_counter()
                session.infer_batches([np.zeros((1, side, side, 3), np.uint8)])
                if n:  # the first call prepares the graph
                    ms = 1e3 * (time.perf_counter() - start)
                    best_ms[treatment, side] = min(ms, best_ms.get((treatment, side), ms))
        self.costs = Costs(best_ms)

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
        start = time.perf_counter()
        if session := self._networks.of(treatment):
            outputs = _network_outputs(session, sides, items, treatment == "small network")
        else:
            outputs = {n: self._own_output(treatment, items[n]) for members in sides.values() for n in members}
        self._note("reuse" if treatment == "reused" else treatment, sides, 1e3 * (time.perf_counter() - start))
        return outputs

    def _own_output(self, treatment: Treatment, item: Item) -> Upscaled:
        """Pixels of a face without a network, and an unknown consistency."""
        if treatment == "reused":
            assert item.alignment is not None
            return reused(item.work.stream.kept[item.track.id], item.crop, item.alignment), math.nan
        side = self._networks.scale * item.window.side
        enlarged = cv2.resize(item.crop, (side, side), interpolation=cv2.INTER_CUBIC)
        return np.asarray(enlarged, np.uint8), math.nan

    def _note(self, work: str, sides: Sides, ms: float) -> None:
        """Share the time of faces of several sizes among them, in the ratio of the estimates so far."""
        known = all(self.costs[work, side] for side in sides)
        weights = {
            side: len(members) * (self.costs[work, side] if known else side**2) for side, members in sides.items()
        }
        total = sum(weights.values())
        for side, members in sides.items():
            self.costs.add((work, side), ms * weights[side] / total, len(members))


def _network_outputs(session: Session, sides: Sides, items: Sequence[Item], by_small: bool) -> dict[int, Upscaled]:
    """Pixels and consistency of faces; they are kept for later frames."""
    batches = [np.stack([items[n].crop for n in members]) for members in sides.values()]
    outputs: dict[int, Upscaled] = {}
    for members, output in zip(sides.values(), session.infer_batches(batches), strict=True):
        decibels = np.full(len(members), np.nan) if output.residual is None else psnr_db(output.residual)
        for n, pixels, value in zip(members, output.tensor, decibels, strict=True):
            own = pixels if pixels.base is None else pixels.copy()  # a view would keep the whole batch
            _keep(items[n], own, by_small)
            outputs[n] = own, float(value)
    return outputs


def _keep(item: Item, pixels: NDArray[np.uint8], by_small: bool) -> None:
    """Keep an output for later frames of the track."""
    time_s, sharpness = item.work.stream.time_s, item.usability.sharpness
    kept = keep(item.crop, pixels, item.track.box_xyxy, item.window, time_s, sharpness, by_small)
    item.work.stream.kept[item.track.id] = kept

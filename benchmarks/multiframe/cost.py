"""Time per face: the multi-frame network with registration and samples, against the single-frame network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from facesr_edge.engines.multiframe.history import History, extended
from facesr_edge.engines.multiframe.session import MultiFrameSession
from numpy.typing import NDArray

from .sequences import SCALE

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Cost:
    """Median times per face and frame, in ms.

    Args:
        side: of the crops, pixels.
        batch: faces per call.
        single: network of one frame.
        several: registration, samples and the network of several frames, all in one.
        registration, samples: of these.
    """

    side: int
    batch: int
    single: float
    several: float
    registration: float
    samples: float

    @property
    def ratio(self) -> float:
        """Time with several frames, relative to one."""
        return self.several / self.single


def cost(session: MultiFrameSession, crops: Pixels, rounds: int) -> Cost:
    """Measure one batch, everything in turn in each round.

    Args:
        session: both networks.
        crops: (N, T, S, S, 3), tracks of `session.frames` crops or more, the newest last.
        rounds: number of rounds after one to warm up.
    """
    number, newest = len(crops), np.ascontiguousarray(crops[:, -1])
    before: list[History] = []
    for track in crops:
        history: History | None = None
        for crop in track[:-1]:
            history = extended(history, crop, (0, 0), session.frames)
        assert history is not None
        before.append(history)

    def register() -> list[History]:
        pairs = zip(before, newest, strict=True)
        return [extended(history, crop, (0, 0), session.frames) for history, crop in pairs]

    now = register()
    steps: dict[str, Callable[[], object]] = {
        "single": lambda: session.single.infer_batches([newest]),
        "several": lambda: session.infer_batches([newest], [register()]),
        "registration": register,
        "samples": lambda: [history.samples(SCALE) for history in now],
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            times[name].append(1e3 * (time.perf_counter() - start) / number)
    medians = {name: float(np.median(values[1:])) for name, values in times.items()}
    return Cost(newest.shape[1], number, **medians)

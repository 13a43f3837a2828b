"""A task that several peers solve, timed interleaved."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from ....calibration.timing import WARM_UP, LatencyStats, interleaved, latency_stats
from ....engines.errors import FacesrError
from ..tables import STATS, RunProgress

Call = Callable[[], Any]
"""Solves the task once, and returns the result."""


@dataclass(frozen=True)
class Peer:
    """A way to solve a task.

    Args:
        name: shown in tables.
        open: loads it and returns the call to time; what must be closed is put on the stack. Raises a `FacesrError`
            with the reason if it is not installed or does not run on this machine.
    """

    name: str
    open: Callable[[ExitStack], Call]


@dataclass(frozen=True, eq=False)
class Task:
    """A task, and all its peers.

    Args:
        key: name in JSON.
        title: heading of its table.
        unit: what the latencies are per, e.g. "face".
        peers: the first one is the reference of ratios and results.
        compare: the reference's result and another result -> figures that show that they solve the same task.
        divisor: units in one call.
        slow: warm up once, and do not call untimed before each turn.
    """

    key: str
    title: str
    unit: str
    peers: tuple[Peer, ...]
    compare: Callable[[Any, Any], dict[str, float]]
    divisor: int = 1
    slow: bool = False


@dataclass(frozen=True)
class PeerTiming:
    """Latency of one peer, per unit of the task."""

    name: str
    latency_ms: LatencyStats
    ratio: float  # median relative to that of the first peer
    figures: dict[str, float]  # of `Task.compare`


@dataclass(frozen=True)
class TaskTimings:
    """Latencies of all peers of a task."""

    key: str
    title: str
    unit: str
    timings: tuple[PeerTiming, ...]
    absent: dict[str, str] = field(default_factory=dict)  # name of a peer that was not timed -> reason

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ms are rounded to 1 µs."""
        rows = [
            {
                "name": timing.name,
                **{f"{name}_ms": ms for name, ms in timing.latency_ms.to_dict(STATS).items()},
                "ratio": round(timing.ratio, 4),
                **timing.figures,
            }
            for timing in self.timings
        ]
        return {"task": self.key, "title": self.title, "unit": self.unit, "peers": rows, "absent": self.absent}


def measure_task(task: Task, rounds: int, report: RunProgress) -> TaskTimings:
    """Open the peers of a task, compare their results, and time them interleaved.

    Args:
        task: to measure.
        rounds: measured rounds.
        report: see `RunProgress`.

    Raises:
        FacesrError: the first peer cannot be opened.
    """
    calls: dict[str, Call] = {}
    absent: dict[str, str] = {}
    with ExitStack() as stack:
        for number, peer in enumerate(task.peers):
            report(f"{task.key}: loading {peer.name}", number, len(task.peers))
            try:
                call = peer.open(stack)
                call()
                calls[peer.name] = call
            except FacesrError as error:
                if not number:
                    raise
                absent[peer.name] = str(error)
        figures = _compared(task, calls)
        samples = interleaved(
            list(calls.values()),
            rounds,
            warm_up=1 if task.slow else WARM_UP,
            discard=0 if task.slow else 1,
            report=lambda done: report(f"{task.key}: timing", done, rounds),
        )
    stats = [latency_stats([ms / task.divisor for ms in one]) for one in samples]
    timings = [
        PeerTiming(name, latency, latency.p50 / stats[0].p50, figures[name])
        for name, latency in zip(calls, stats, strict=True)
    ]
    return TaskTimings(task.key, task.title, task.unit, tuple(timings), absent)


def _compared(task: Task, calls: dict[str, Call]) -> dict[str, dict[str, float]]:
    results = {name: call() for name, call in calls.items()}
    reference = next(iter(results.values()))
    return {name: task.compare(reference, result) for name, result in results.items()}

"""What each stage of a frame cost."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

STAGES = ("decode", "detect", "crop", "super_resolve", "paste", "encode")
"""The stages of a frame, in their order. A stage's parts are named after it: "detect.network", "super_resolve.network",
"paste.enlarge"."""


@dataclass(frozen=True)
class Span:
    """One stretch of time.

    Args:
        name: stage, or "stage.part".
        start_ns: on the clock of `time.perf_counter_ns`.
        duration_ns: how long it took.
    """

    name: str
    start_ns: int
    duration_ns: int


class Stopwatch:
    """Collects the spans of one frame.

    Args:
        spans: what was timed before.
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self.spans = list(spans)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside the ``with``, also when it raises."""
        start = time.perf_counter_ns()
        try:
            yield
        finally:
            self.spans.append(Span(name, start, time.perf_counter_ns() - start))


def milliseconds(spans: list[Span] | tuple[Span, ...]) -> dict[str, float]:
    """Sum the spans by name, in ms: stages in the order of `STAGES`, each followed by its parts, then "total"."""
    sums: dict[str, float] = {}
    for span in spans:
        sums[span.name] = sums.get(span.name, 0.0) + span.duration_ns / 1e6
    order = {stage: i for i, stage in enumerate(STAGES)}
    ordered = dict(sorted(sums.items(), key=lambda item: (order.get(item[0].split(".")[0], len(order)), item[0])))
    return {**ordered, "total": sum(ms for name, ms in sums.items() if "." not in name)}

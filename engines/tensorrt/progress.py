"""Progress of a TensorRT build: nested phases as one fraction, and cancellation."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Progress:
    """Progress of a build.

    Args:
        fraction: completed, 0..1; never decreases.
        seconds_left: estimate from the elapsed time; None below `MIN_FRACTION`.
        phase: TensorRT's name of the current phase.
    """

    fraction: float
    seconds_left: float | None
    phase: str


MIN_FRACTION = 0.02
"""Completed fraction below which the remaining time is not estimated."""


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Tracker:
    """Converts TensorRT's phase callbacks into `Progress`. Thread-safe: TensorRT calls from its own threads.

    Args:
        report: called after each step. If it raises, the build is cancelled and `failure` holds the exception, which
            must not propagate through C++.
        stop: once set, the build ends at its next step.
    """

    def __init__(self, report: Callable[[Progress], None], stop: threading.Event) -> None:
        self.stop = stop
        self.failure: BaseException | None = None
        self._report, self._lock = report, threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._fraction, self._start_time = 0.0, time.monotonic()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """Start a phase."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, steps))
        self._report_progress(name)

    def step(self, name: str, step: int) -> bool:
        """Complete a step of a phase, counted from 0; returns whether to continue."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = min(step + 1, self._phases[name].steps)
        self._report_progress(name)
        return not self.stop.is_set()

    def finish(self, name: str) -> None:
        """Finish a phase, whether or not all of its steps are done."""
        with self._lock:
            self._phases.pop(name, None)

    def _report_progress(self, name: str) -> None:
        try:
            with self._lock:
                roots = [n for n, phase in self._phases.items() if phase.parent not in self._phases]
                self._fraction = max([self._fraction, *map(self._completed, roots)])
                elapsed = time.monotonic() - self._start_time
                left = elapsed * (1 / self._fraction - 1) if self._fraction >= MIN_FRACTION else None
                self._report(Progress(self._fraction, left, name))
        except BaseException as error:
            self.failure = self.failure or error
            self.stop.set()

    def _completed(self, name: str) -> float:
        """Completed fraction of a phase: its steps, plus that of its most advanced inner phase as part of a step."""
        phase = self._phases[name]
        inner = max((self._completed(n) for n, other in self._phases.items() if other.parent == name), default=0.0)
        return min(1.0, (phase.done + inner) / phase.steps)


def monitor(trt: Any, tracker: Tracker) -> Any:
    """`IProgressMonitor` that forwards to a tracker."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # the module is untyped
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            tracker.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            return tracker.step(phase_name, step)

        def phase_finish(self, phase_name: str) -> None:
            tracker.finish(phase_name)

    return Monitor()


@contextmanager
def stopped_by_interrupt(stop: threading.Event) -> Iterator[None]:
    """Let Ctrl-C set the event within the block; KeyboardInterrupt would be raised inside of a TensorRT callback.

    Effective in the main thread only, the one that handles signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous or signal.SIG_DFL)

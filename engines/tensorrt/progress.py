"""How far a TensorRT build is: its phases within phases as one fraction, and a way to stop it."""

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
    """How far a build is.

    Args:
        fraction: done, 0..1; never falls.
        seconds_left: at the pace so far; none before there is one.
        phase: what TensorRT is at, in its own words.
    """

    fraction: float
    seconds_left: float | None
    phase: str


SOONEST = 0.02
"""Fraction before which the pace says nothing."""


@dataclass
class _Phase:
    parent: str | None
    steps: int
    done: int = 0


class Tracker:
    """Phases as they are told, in; progress as it is reported, out. Told from threads of TensorRT's own.

    Args:
        report: told after each step. If it raises, the build is stopped, and `failure` holds what it raised: an
            exception must not travel through code that is not Python.
        stop: once it is set, the build ends at its next step.
    """

    def __init__(self, report: Callable[[Progress], None], stop: threading.Event) -> None:
        self.stop = stop
        self.failure: BaseException | None = None
        self._report, self._lock = report, threading.Lock()
        self._phases: dict[str, _Phase] = {}
        self._fraction, self._began = 0.0, time.monotonic()

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase begins."""
        with self._lock:
            self._phases[name] = _Phase(parent, max(1, steps))
        self._tell(name)

    def step(self, name: str, step: int) -> bool:
        """A step of a phase is done, counted from 0; whether to go on."""
        with self._lock:
            if name in self._phases:
                self._phases[name].done = min(step + 1, self._phases[name].steps)
        self._tell(name)
        return not self.stop.is_set()

    def finish(self, name: str) -> None:
        """A phase ends, be all of its steps done or not."""
        with self._lock:
            self._phases.pop(name, None)

    def _tell(self, name: str) -> None:
        try:
            with self._lock:
                roots = [n for n, phase in self._phases.items() if phase.parent not in self._phases]
                self._fraction = max([self._fraction, *map(self._done, roots)])
                passed = time.monotonic() - self._began
                left = passed * (1 / self._fraction - 1) if self._fraction >= SOONEST else None
                self._report(Progress(self._fraction, left, name))
        except BaseException as error:
            self.failure = self.failure or error
            self.stop.set()

    def _done(self, name: str) -> float:
        """Fraction of a phase: its steps, and what its furthest inner phase has of the next one."""
        phase = self._phases[name]
        inner = max((self._done(n) for n, other in self._phases.items() if other.parent == name), default=0.0)
        return min(1.0, (phase.done + inner) / phase.steps)


def monitor(trt: Any, tracker: Tracker) -> Any:
    """TensorRT's own kind of progress monitor, in front of a tracker."""

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
    """Within it, Ctrl-C sets the event and raises nothing: KeyboardInterrupt would be raised in a callback of TensorRT.

    Only in the main thread, the one that hears of Ctrl-C; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)

"""The thread of a live run: takes the newest frames of all cameras, turn by turn, until they have ended."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from ....engines.errors import one_line
from ...profiling.timing import Stopwatch
from ..camera import CameraStatus
from ..observer import Cycle, Observer
from ..results import LiveResult
from .outbox import Outbox
from .stream import Stream
from .turn import Turn
from .work import Work

logger = logging.getLogger(__name__)

EARLY = 0.25
"""Share of the interval between frames by which one may be early: cameras do not keep time exactly."""
IDLE_S = 0.1
"""Maximum wait for a frame before the states of the cameras are looked at."""
MIN_TURN_SHARE, TURN_SHARE = 0.2, 0.5
"""Share of the budget for one turn. At most half: a frame that comes just after a turn has begun waits for its end, and
then takes a turn itself. At least a fifth: a frame that is late already loses little by it, and nothing would be gained
by skipping its faces."""


@dataclass(frozen=True)
class Budget:
    """Time limits of a run.

    Args:
        age_ms: from the arrival of a frame to its result.
        interval_s: minimum time between two frames of a camera, seconds; 0 for every frame.
    """

    age_ms: float
    interval_s: float = 0.0

    def next_due_s(self, due_s: float | None, now_s: float) -> float:
        """When the next frame of a camera may be taken; what one came late is not added to the next interval.

        Args:
            due_s: when the frame of `now_s` was due; None for the first.
            now_s: it was taken.
        """
        on_time_s = now_s if due_s is None else max(due_s + EARLY * self.interval_s, now_s - self.interval_s)
        return on_time_s + (1 - EARLY) * self.interval_s

    def deadline_s(self, works: Sequence[Work], now_s: float) -> float:
        """When the results of a turn should be ready; inf if all frames come from sources that wait."""
        if all(work.stream.camera.waits for work in works):
            return math.inf
        arrivals_s = [work.frame.arrival_s or now_s for work in works if not work.stream.camera.waits]
        return turn_deadline_s(min(arrivals_s), now_s, self.age_ms / 1e3)


def turn_deadline_s(oldest_s: float, now_s: float, budget_s: float) -> float:
    """When the results of a turn that begins now should be ready.

    Args:
        oldest_s: earliest arrival of its frames.
        now_s: the same clock.
        budget_s: from the arrival of a frame to its result.
    """
    latest_s = min(oldest_s + budget_s, now_s + TURN_SHARE * budget_s)
    return max(latest_s, now_s + MIN_TURN_SHARE * budget_s)


class Scheduler:
    """Runs the turns in a thread, which ends with the cameras, at an error or when it is stopped.

    Args:
        streams: of the cameras.
        turn: processes the frames.
        budget: time limits.
        observers: get results, turns and states; an error of an observer is logged and ends its reports.

    Attributes:
        outbox: results for the consumer; closed at the end.
        error: that ended the run; None otherwise.
        wake: notifies the thread that a frame came or a state changed.
        last_turn_s: end of the last turn, or of the last look at the cameras, on the clock of `time.monotonic`.
    """

    def __init__(self, streams: Sequence[Stream], turn: Turn, budget: Budget, observers: Sequence[Observer]) -> None:
        self.wake = threading.Event()
        self.outbox = Outbox(on_room=self.wake.set)  # sources that wait go on at once
        self.error: BaseException | None = None
        self.last_turn_s = time.monotonic()
        self._streams, self._turn, self._budget = tuple(streams), turn, budget
        self._observers = list(observers)
        self._stopped = False
        self._states: dict[str, str] = {}
        self._due_s: dict[str, float] = {}
        # A daemon thread: an engine that does not return must not delay process exit.
        self._thread = threading.Thread(target=self._run, name="live scheduler", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request_stop(self) -> None:
        """Let the thread end after its turn; takes no lock, so it may be called by the garbage collector."""
        self._stopped = True
        self.wake.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def heard(self, camera: str, arrival_s: float | None) -> None:
        """A frame of a camera was decoded, or its state may have changed; called in the thread that reads it."""
        if arrival_s is not None:
            for observer in list(self._observers):
                self._report(observer, "arrived", camera, arrival_s)
        self.wake.set()

    @property
    def costs_ms(self) -> dict[str, float]:
        """See `Costs.to_dict`."""
        return self._turn.costs.to_dict()

    def _run(self) -> None:
        try:
            self._turn.measure(lambda: self._stopped)
            while not self._stopped:
                self.wake.wait(self._idle_s())
                self.wake.clear()
                ended = self._look()
                works = self._take()
                if works:
                    self._process(works)
                    self.wake.set()  # frames may have come meanwhile
                elif ended:
                    break
                self.last_turn_s = time.monotonic()
        except BaseException as error:  # raised in the consumer's thread
            if not self._stopped:  # else what it needed was closed meanwhile
                self.error = error
        finally:
            self._turn.close()
            self._close_observers()
            self.outbox.close()

    def _close_observers(self) -> None:
        """Close the observers in a thread that the end of the process waits for, unlike for this one."""
        closing = threading.Thread(target=self._close_all, name="live observers")
        try:
            closing.start()
        except RuntimeError:  # the process is ending
            self._close_all()
        else:
            closing.join()

    def _close_all(self) -> None:
        for observer in list(self._observers):
            self._report(observer, "close")

    def _idle_s(self) -> float:
        """How long to wait for a frame: not beyond the next moment at which one that waits may be taken."""
        now_s = time.monotonic()
        return min([IDLE_S, *(due_s - now_s for due_s in self._due_s.values() if due_s > now_s)])

    def _look(self) -> bool:
        """Report changed states. Returns whether all cameras have ended."""
        for stream in self._streams:
            camera, state = stream.camera, stream.camera.state
            if self._states.get(camera.name) != state:
                self._states[camera.name] = state
                status = camera.status()
                _log(status)
                for observer in list(self._observers):
                    self._report(observer, "changed", status)
        return all(state == "ended" for state in self._states.values())

    def _take(self) -> list[Work]:
        """The newest frame of each camera whose turn it is."""
        works = []
        for stream in self._streams:
            camera, now_s = stream.camera, time.monotonic()
            is_early = now_s < self._due_s.get(camera.name, 0.0)
            if is_early or (camera.waits and not self.outbox.has_room(camera.name)):
                continue
            timer = Stopwatch()
            with timer.stage("decode"):  # the conversion to BGR
                frame = camera.take()
            if frame is not None:
                self._due_s[camera.name] = self._budget.next_due_s(self._due_s.get(camera.name), now_s)
                works.append(Work(stream, frame, now_s, timer))
        return works

    def _process(self, works: list[Work]) -> None:
        start_s = time.monotonic()
        deadline_s = self._budget.deadline_s(works, start_s)
        results = self._turn(works, deadline_s)
        cycle = _cycle(results, start_s, deadline_s)
        for observer in list(self._observers):
            for result in results:
                self._report(observer, "done", result)
            self._report(observer, "cycled", cycle)
        for result in results:
            self.outbox.put(result)

    def _report(self, observer: Observer, event: str, *arguments: object) -> None:
        """Call a method of an observer, which must not end the run."""
        try:
            getattr(observer, event)(*arguments)
        except Exception as error:
            logger.exception("%s failed and gets no more reports: %s", type(observer).__name__, one_line(error))
            with suppress(ValueError):  # another thread was faster
                self._observers.remove(observer)
                if event != "close":
                    self._report(observer, "close")


def _cycle(results: Sequence[LiveResult], start_s: float, deadline_s: float) -> Cycle:
    faces = Counter(str(face.treatment) for result in results for face in result.faces)
    faces["skipped"] += sum(len(result.skipped) for result in results)
    stages_ms = dict.fromkeys(("detect", "crop"), 0.0)
    for result in results:
        for name in stages_ms:
            stages_ms[name] += result.timings_ms.get(name, 0.0)
    stages_ms["upscale"] = results[0].timings_ms.get("upscale", 0.0) if results else 0.0
    names = tuple(result.camera for result in results)
    budget_ms = 1e3 * (deadline_s - start_s)
    return Cycle(start_s, time.monotonic(), names, dict(faces), stages_ms, budget_ms)


def _log(status: CameraStatus) -> None:
    level = logging.WARNING if status.error or status.state in ("frozen", "offline") else logging.INFO
    logger.log(level, "camera %s is %s%s", status.name, status.state, f": {status.error}" if status.error else "")

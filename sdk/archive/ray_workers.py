"""Workers as actors of a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from ...engines.cpu import usable_cores
from ...engines.errors import EngineError, FacesrError, MissingDependencyError, first_line
from .tasks import Done, Outcome, Ready, Split, Task, TaskError, WorkerSpec
from .workers import MAX_START_FAILURES, Workers, lost

LOCAL = "local"
"""Address for a Ray instance that is started on this machine, and ends with the batch."""
START_S = 300.0
"""Maximum wait for the first actor: Ray waits forever for processors that a cluster does not have."""
_CONNECT_S = 10.0
_POLL_S = 1.0
_MIN_OBJECT_STORE = 80 << 20


class RayActor:
    """A worker in a process of Ray. It loads its pipeline on the first call, so that an error is returned as text.

    Args:
        spec: of the batch.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec, self._frames, self._steps = spec, 0, 0
        self._worker: Any = None
        self._loading = threading.Lock()

    def ready(self) -> Ready | str:
        """Load the pipeline; returns what runs, or why nothing does."""
        import cv2

        from .worker import Worker

        cv2.setNumThreads(self._spec.pipeline.threads)
        try:
            with self._loading:
                self._worker = self._worker or Worker(self._spec)
        except FacesrError as error:
            return str(error)
        except OSError as error:
            return first_line(error)
        ready: Ready = self._worker.ready
        return ready

    def run(self, task: Task) -> Done | Split | TaskError:
        """Run a task."""
        result: Done | Split | TaskError = self._worker.run(task, self._add)
        return result

    def advance(self) -> tuple[int, int]:
        """Number of frames, and of steps of any kind, that were finished so far."""
        return self._frames, self._steps

    def close(self) -> None:
        """Remove temporary files."""
        if self._worker is not None:
            self._worker.close()

    def _add(self, frames: int) -> None:
        self._frames, self._steps = self._frames + frames, self._steps + 1


class RayWorkers(Workers):
    """Actors of a Ray cluster, each with `threads` processors. One that dies, or whose machine does, is replaced.

    Args:
        spec: of the batch.
        count: number of actors; 0 for as many as the cluster has processors for.
        address: "local", "auto", "ray://host:port" or "host:port". If the program has called ``ray.init``, that
            cluster is used.
        stall_s: an actor that finishes no frame and no task for so long is replaced, in seconds.

    Raises:
        MissingDependencyError: Ray is not installed.
        EngineError: there is no cluster at this address.
    """

    def __init__(self, spec: WorkerSpec, count: int, address: str, stall_s: float) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise MissingDependencyError("ray", "ray", "--ray") from error
        self._ray: Any = ray
        self._own = _connect(ray, address, count * spec.pipeline.threads or usable_cores())
        self._spec, self._stall_s, self._start_failures = spec, stall_s, 0
        self._started_s = time.monotonic()
        self._actors: list[_Actor] = []
        try:
            threads = spec.pipeline.threads
            # Two calls at once: a task, and the question how far it is.
            self._class: Any = self._ray.remote(num_cpus=threads, max_restarts=0, max_concurrency=2)(RayActor)
            number = count or max(1, int(self._ray.cluster_resources().get("CPU", 1)) // threads)
            self._actors = [self._start(f"ray.{index + 1}") for index in range(number)]
        except BaseException:
            self.close()
            raise

    def _start(self, name: str) -> _Actor:
        actor = self._class.remote(self._spec)
        return _Actor(name, actor, actor.ready.remote())

    @property
    def free(self) -> int:
        """See `Workers`; an actor that Ray has not started yet is not free."""
        return sum(actor.ready and actor.task is None for actor in self._actors)

    def submit(self, task: Task) -> None:
        """See `Workers`."""
        actor = next(actor for actor in self._actors if actor.ready and actor.task is None)
        actor.task, actor.call, actor.active_s = task, actor.actor.run.remote(task), time.monotonic()

    def wait(self, timeout_s: float) -> Sequence[Outcome]:
        """See `Workers`."""
        self._check_start()
        calls = {actor.call: actor for actor in self._actors if actor.call is not None}
        polls = {actor.poll: actor for actor in self._actors if actor.poll is not None}
        waiting = [*calls, *polls]
        if not waiting:
            time.sleep(timeout_s)
            return []
        done, _ = self._ray.wait(waiting, num_returns=1, timeout=timeout_s)
        outcomes: list[Outcome] = []
        for reference in done:
            actor = calls.get(reference) or polls[reference]
            try:
                value = self._ray.get(reference)
            except Exception as error:  # Ray's, of an actor or machine that died
                if actor in self._actors:
                    outcomes += self._replace(actor, f"its Ray actor ended: {first_line(error)}")
                continue
            outcomes += self._received(actor, reference, value)
        return [*outcomes, *self._poll()]

    def _received(self, actor: _Actor, reference: object, value: object) -> list[Outcome]:
        if reference == actor.poll:
            actor.poll = None
            self._count(actor, *value)  # type: ignore[misc]
            return []
        actor.call = None
        if isinstance(value, str):
            raise EngineError(value)
        if isinstance(value, Ready):
            actor.ready = actor.loaded = True
            self._start_failures = 0
            self.on_ready(actor.name, value)
            return []
        task, actor.task = actor.task, None
        return [Outcome(task, actor.name, value)] if task is not None else []  # type: ignore[arg-type]

    def _count(self, actor: _Actor, frames: int, steps: int) -> None:
        if steps > actor.steps:
            actor.steps, actor.active_s = steps, time.monotonic()
        if frames > actor.frames:
            self.on_frames(frames - actor.frames)
            actor.frames = frames

    def _poll(self) -> list[Outcome]:
        """Ask busy actors how far they are, and replace those that do not advance."""
        outcomes: list[Outcome] = []
        now = time.monotonic()
        for actor in list(self._actors):
            if actor.task is None:
                continue
            if now - actor.active_s > self._stall_s:
                outcomes += self._replace(actor, f"no frame was finished in {self._stall_s:g} s")
            elif actor.poll is None and now - actor.polled_s > _POLL_S:
                actor.poll, actor.polled_s = actor.actor.advance.remote(), now
        return outcomes

    def _replace(self, actor: _Actor, reason: str) -> list[Outcome]:
        self._start_failures += not actor.loaded
        with suppress(Exception):
            self._ray.kill(actor.actor, no_restart=True)
        if self._start_failures >= MAX_START_FAILURES:
            raise EngineError(f"{self._start_failures} Ray actors ended while they loaded the pipeline: {reason}")
        self._actors[self._actors.index(actor)] = self._start(actor.name)
        self._check_idle()
        return [lost(actor.task, actor.name, reason)] if actor.task is not None else []

    def _check_idle(self) -> None:
        """Ask idle actors whether they live, before one that died with its machine gets a task and fails it."""
        for actor in self._actors:
            if actor.ready and actor.task is None:
                actor.ready, actor.call = False, actor.actor.ready.remote()

    def _check_start(self) -> None:
        if any(actor.ready for actor in self._actors):
            self._started_s = time.monotonic()
        elif time.monotonic() - self._started_s > START_S:
            raise EngineError(
                f"Ray has started no worker in {START_S:g} s; the cluster has {self._ray.available_resources()} free, "
                f"each worker takes {self._spec.pipeline.threads} CPUs"
            )

    def close(self) -> None:
        """See `Workers`; a Ray instance that was started here ends, too."""
        actors, self._actors = self._actors, []
        idle = [actor.actor.close.remote() for actor in actors if actor.ready and actor.task is None]
        with suppress(Exception):
            self._ray.wait(idle, num_returns=len(idle), timeout=5) if idle else None
        for actor in actors:
            with suppress(Exception):
                self._ray.kill(actor.actor, no_restart=True)
        if self._own:
            self._own = False
            with _own_signals():
                self._ray.shutdown()


@dataclass(eq=False)
class _Actor:
    """An actor with its task.

    Attributes:
        call: reference to the result of `ready` or of the task; None without.
        poll: reference to the result of `advance`; None if it is not asked for.
        ready: takes a task.
        loaded: has been ready before.
    """

    name: str
    actor: Any
    call: Any
    poll: Any = None
    task: Task | None = None
    ready: bool = False
    loaded: bool = False
    frames: int = 0
    steps: int = 0
    active_s: float = field(default_factory=time.monotonic)
    polled_s: float = field(default_factory=time.monotonic)


def _connect(ray: Any, address: str, processors: int) -> bool:
    """Connect to a cluster; returns whether it was done here, and not by the program before."""
    if ray.is_initialized():
        return False
    settings: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False}
    if address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        settings |= {"num_cpus": processors, "include_dashboard": False, "object_store_memory": _MIN_OBJECT_STORE}
        settings["address"] = LOCAL  # not a cluster that runs here already
    else:
        _check_reachable(address)
        settings["address"] = address
    try:
        with _own_signals():
            ray.init(**settings)
    except Exception as error:  # ConnectionError, and Ray's own
        raise EngineError(f"there is no Ray cluster at {address}: {first_line(error)}; start one: ray start") from error
    return True


def _check_reachable(address: str) -> None:
    """Raise an EngineError unless something listens at an address: Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise EngineError(f"there is no Ray cluster at {address}: {first_line(error)}; start one: ray start") from error


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the signal handlers of the program, which Ray replaces."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            restore: Callable[..., Any] = signal.signal
            with suppress(ValueError, TypeError):  # another thread, a handler that is not Python's
                restore(number, handler)

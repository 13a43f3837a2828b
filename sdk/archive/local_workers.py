"""Workers as processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from ...engines.errors import EngineError, FacesrError, first_line
from .tasks import Outcome, Ready, Task, WorkerSpec
from .workers import MAX_START_FAILURES, Workers, lost

_REPORT_S = 0.5
_CLOSE_S = 5.0


class LocalWorkers(Workers):
    """Processes of this machine; they end with this one, also if it is killed.

    Args:
        spec: of the batch.
        count: number of processes.
        stall_s: a process that finishes no frame and no task for so long is ended and its task given to another, in
            seconds.
    """

    def __init__(self, spec: WorkerSpec, count: int, stall_s: float) -> None:
        self._spec, self._stall_s, self._start_failures = spec, stall_s, 0
        self._context = multiprocessing.get_context("spawn")  # engines do not survive a fork
        self._processes: list[_Process] = []
        try:
            for number in range(count):
                self._processes.append(_Process(self._context, spec, f"{os.getpid()}.{number + 1}"))
        except BaseException:
            self.close()
            raise

    @property
    def free(self) -> int:
        """See `Workers`."""
        return sum(process.task is None for process in self._processes)

    def submit(self, task: Task) -> None:
        """See `Workers`."""
        process = next(process for process in self._processes if process.task is None)
        process.submit(task)

    def wait(self, timeout_s: float) -> Sequence[Outcome]:
        """See `Workers`."""
        by_connection = {process.connection: process for process in self._processes}
        outcomes = []
        for connection in wait(list(by_connection), timeout_s):
            process = by_connection[connection]  # type: ignore[index]
            try:
                while process.connection.poll():
                    outcomes += self._received(process, process.connection.recv())
            except (EOFError, OSError):
                outcomes += self._replace(process, process.exit_reason())
        now = time.monotonic()
        for process in list(self._processes):
            if process.task is not None and now - process.active_s > self._stall_s:
                outcomes += self._replace(process, f"no frame was finished in {self._stall_s:g} s")
        return outcomes

    def _received(self, process: _Process, message: object) -> list[Outcome]:
        process.active_s = time.monotonic()
        if isinstance(message, int):
            self.on_frames(message)
        elif isinstance(message, Ready):
            process.ready, self._start_failures = True, 0
            self.on_ready(process.name, message)
        elif isinstance(message, str):
            raise EngineError(message)
        else:
            task, process.task = process.task, None
            return [Outcome(task, process.name, message)] if task is not None else []  # type: ignore[arg-type]
        return []

    def _replace(self, process: _Process, reason: str) -> list[Outcome]:
        """Start a process in the place of one that ended or does not answer."""
        self._start_failures += not process.ready
        process.close()
        if self._start_failures >= MAX_START_FAILURES:
            raise EngineError(
                f"{self._start_failures} workers ended while they loaded the pipeline, the last one: {reason}; "
                "give fewer --workers, or guard the script with if __name__ == '__main__'"
            )
        index = self._processes.index(process)
        self._processes[index] = _Process(self._context, self._spec, process.name)
        return [lost(process.task, process.name, reason)] if process.task is not None else []

    def close(self) -> None:
        """See `Workers`."""
        for process in self._processes:
            process.stop()
        for process in self._processes:
            process.close()
        self._processes = []


class _Process:
    """A worker process with its connection and task."""

    def __init__(self, context: multiprocessing.context.SpawnContext, spec: WorkerSpec, name: str) -> None:
        self.name, self.ready = name, False
        self.task: Task | None = None
        self.active_s = time.monotonic()
        self.connection, theirs = context.Pipe()
        self._process: BaseProcess = context.Process(target=_serve, args=(theirs, spec, os.getpid()), daemon=True)
        try:
            self._process.start()
        except OSError as error:
            raise EngineError(
                f"a worker process cannot be started: {first_line(error)}; give fewer --workers"
            ) from error
        finally:
            theirs.close()

    def submit(self, task: Task) -> None:
        """Send a task; if the process has died, the next `wait` finds out."""
        self.task, self.active_s = task, time.monotonic()
        with suppress(OSError):
            self.connection.send(task)

    def exit_reason(self) -> str:
        """How the process ended."""
        self._process.join(_CLOSE_S)
        code = self._process.exitcode
        if code is not None and code < 0:
            with suppress(ValueError):
                name = signal.Signals(-code).name
                hint = ", e.g. because memory ran out" if name == "SIGKILL" else ""
                return f"its worker was ended by {name}{hint}"
        return f"its worker ended with exit code {code}"

    def stop(self) -> None:
        """Ask the process to end; one without a task ends when the connection does."""
        self.connection.close()
        if self.task is not None or not self.ready:
            self._process.terminate()

    def close(self) -> None:
        """End the process."""
        self.stop()
        self._process.join(_CLOSE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _serve(connection: Connection, spec: WorkerSpec, parent: int) -> None:
    """Run tasks until the connection or the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends this one
    signal.signal(signal.SIGTERM, _exit)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import cv2

    from .worker import Worker

    cv2.setNumThreads(spec.pipeline.threads)
    try:
        worker = Worker(spec)
    except (FacesrError, OSError) as error:
        connection.send(str(error) if isinstance(error, FacesrError) else first_line(error))
        return
    with worker, suppress(EOFError, OSError):
        connection.send(worker.ready)
        report = _Report(connection)
        while True:
            task: Task = connection.recv()
            connection.send(worker.run(task, report.add))


def _exit(number: int, frame: object) -> None:
    """End the process with its temporary files removed."""
    raise SystemExit(0)


def _end_with(parent: int) -> None:
    """End this process when its parent has been killed: nobody would read what it does."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


class _Report:
    """Sends the number of finished frames, at most twice a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._frames, self._sent_s = connection, 0, 0.0

    def add(self, frames: int) -> None:
        """Count frames."""
        self._frames += frames
        if time.monotonic() - self._sent_s >= _REPORT_S:
            self._connection.send(self._frames)
            self._frames, self._sent_s = 0, time.monotonic()

"""Workers that share the cores: each has a pipeline of its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from ...pipeline.pipeline import Pipeline
from .problem import Problem

T = TypeVar("T")
MAX_WORK_S = 120.0
"""A worker that takes longer is taken for stuck."""
RETRY_S = 2


class Pool:
    """Runs work in threads, one for each pipeline, in the order in which it comes; a context manager.

    A pipeline for each core, of one thread each, answers more requests/s than one pipeline that uses all cores, since
    only the networks use several. To run the faces of several requests in one call does not pay on a CPU, see
    docs/service.md. Pipelines with engines on a GPU may be the same one several times.

    Args:
        pipelines: at least one; closed with the pool, with their detectors.
        max_wait_s: work that waited longer is refused.
        clock: seconds, like `time.monotonic`.
    """

    def __init__(
        self, pipelines: Sequence[Pipeline], max_wait_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.pipelines = tuple(pipelines)
        self._max_wait_s, self._clock = max_wait_s, clock
        self._started_s: dict[int, float] = {}
        self._work: SimpleQueue[tuple[Future[Any], Callable[[Pipeline], Any]] | None] = SimpleQueue()
        self._is_closed = False
        self._threads = [  # daemons: the process ends without one that does not
            threading.Thread(target=self._serve, args=(pipeline,), name=f"faces-{number}", daemon=True)
            for number, pipeline in enumerate(self.pipelines)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[Pipeline, float], T]) -> Future[T]:
        """Queue work; it is called with a pipeline that nobody else uses, and the seconds that it waited.

        The future raises what the work raises, or a Problem, 503, if it waited too long. It can be cancelled while it
        waits.
        """
        future: Future[T] = Future()
        queued_s = self._clock()
        self._work.put((future, lambda pipeline: self._run(work, pipeline, queued_s)))
        if self._is_closed:
            self._cancel()
        return future

    def _serve(self, pipeline: Pipeline) -> None:
        while (taken := self._work.get()) is not None:
            future, work = taken
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work(pipeline))
                except BaseException as error:
                    future.set_exception(error)
            del taken, future, work  # the picture and its answer

    def _run(self, work: Callable[[Pipeline, float], T], pipeline: Pipeline, queued_s: float) -> T:
        waited_s = self._clock() - queued_s
        if waited_s > self._max_wait_s:
            raise Problem(503, f"the service is busy: the request waited {waited_s:.0f} s; try again later", RETRY_S)
        thread = threading.get_ident()
        self._started_s[thread] = self._clock()
        try:
            return work(pipeline, waited_s)
        finally:
            del self._started_s[thread]

    @property
    def busy(self) -> int:
        """Number of workers that work."""
        return len(self._started_s)

    def stuck(self) -> str | None:
        """Why the pool does not work, in a line; None if it does."""
        now_s = self._clock()
        longest_s = max((now_s - start_s for start_s in list(self._started_s.values())), default=0.0)
        return f"a worker has been working for {longest_s:.0f} s" if longest_s > MAX_WORK_S else None

    def close(self, timeout_s: float = math.inf) -> None:
        """Cancel what waits, finish the running work, and close the pipelines. Idempotent.

        Args:
            timeout_s: time that the running work gets; the pipelines of work that does not end stay open.
        """
        self._is_closed = True
        self._cancel()
        end_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(None if math.isinf(end_s) else max(0.0, end_s - time.monotonic()))
        pairs = list(zip(self._threads, self.pipelines, strict=True))
        in_use = {id(pipeline) for thread, pipeline in pairs if thread.is_alive()}
        for pipeline in self.pipelines:
            if id(pipeline) not in in_use:
                pipeline.close()
                pipeline.detector.close()

    def _cancel(self) -> None:
        """Cancel what waits, and end the threads."""
        with suppress(Empty):
            while True:
                if (taken := self._work.get_nowait()) is not None:
                    taken[0].cancel()
        for _ in self._threads:
            self._work.put(None)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

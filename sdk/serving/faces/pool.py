"""Workers that share the cores: each has a pipeline of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from ...pipeline.pipeline import Pipeline
from .problem import Problem

T = TypeVar("T")
MAX_WORK_S = 120.0
"""A worker that takes longer is taken for stuck."""
RETRY_S = 2


class Pool:
    """Runs work in threads, one for each pipeline, in the order in which it comes; a context manager.

    A pipeline for each core, of one thread each, answers more requests/s than one pipeline that uses all cores, since
    only the networks use several: a third more on two cores. To run the faces of several requests in one call does not
    pay on a CPU, see `worker_calls`. Pipelines with engines on a GPU may be the same one several times.

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
        self._free: SimpleQueue[Pipeline] = SimpleQueue()
        for pipeline in pipelines:
            self._free.put(pipeline)
        self._started_s: dict[int, float] = {}
        self._executor = ThreadPoolExecutor(len(self.pipelines), "faces")

    def submit(self, work: Callable[[Pipeline, float], T]) -> Future[T]:
        """Queue work; it is called with a pipeline that nobody else uses, and the seconds that it waited.

        The future raises what the work raises, or a Problem, 503, if it waited too long. It can be cancelled while it
        waits.
        """
        return self._executor.submit(self._run, work, self._clock())

    def _run(self, work: Callable[[Pipeline, float], T], queued_s: float) -> T:
        waited_s = self._clock() - queued_s
        if waited_s > self._max_wait_s:
            raise Problem(503, f"the service is busy: the request waited {waited_s:.0f} s; try again later", RETRY_S)
        pipeline = self._free.get()
        thread = threading.get_ident()
        self._started_s[thread] = self._clock()
        try:
            return work(pipeline, waited_s)
        finally:
            del self._started_s[thread]
            self._free.put(pipeline)

    @property
    def busy(self) -> int:
        """Number of workers that work."""
        return len(self._started_s)

    def stuck(self) -> str | None:
        """Why the pool does not work, in a line; None if it does."""
        now_s = self._clock()
        longest_s = max((now_s - start_s for start_s in list(self._started_s.values())), default=0.0)
        return f"a worker has been working for {longest_s:.0f} s" if longest_s > MAX_WORK_S else None

    def close(self) -> None:
        """Finish the running work, cancel what waits, and close the pipelines. Idempotent."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        for pipeline in self.pipelines:
            pipeline.close()
            pipeline.detector.close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

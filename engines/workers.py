"""Threads that run several calls of an engine at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait

MAX_WORKERS = 4
"""Calls that run at once, at most: a frame has few faces, and more cores share a call."""
Task = Callable[[int], None]
"""A function of the index of the worker that runs it."""


class Workers:
    """A fixed number of workers: the calling thread, which has index 0, and threads that start on first use.

    Args:
        count: number of workers, 1 or more.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ThreadPoolExecutor | None = None

    def run(self, tasks: Iterable[Task]) -> None:
        """Run every task; each worker takes the next one when it is free.

        Raises:
            Exception: of the first task that failed; tasks that were not started are skipped.
        """
        queue = deque(tasks)

        def work(index: int) -> None:
            while True:
                try:
                    task = queue.popleft()
                except IndexError:  # none is left
                    return
                try:
                    task(index)
                except BaseException:
                    queue.clear()
                    raise

        others = min(self.count, len(queue)) - 1
        if others > 0 and self._pool is None:
            self._pool = ThreadPoolExecutor(self.count - 1, "facesr-edge engine")
        futures = [self._pool.submit(work, index) for index in range(1, others + 1)] if self._pool else []
        try:
            work(0)
        finally:
            wait(futures)
        for future in futures:
            future.result()

    def close(self) -> None:
        """End the threads; they start again on the next use."""
        if self._pool:
            self._pool.shutdown()
        self._pool = None

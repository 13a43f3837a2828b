"""Overlap: the steps of consecutive items run at once, each step in a thread of its own, in the order of the items."""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Semaphore, Thread, current_thread
from typing import Any

from ...engines.errors import EngineError

_logger = logging.getLogger(__name__)
SOURCE_TIMEOUT_S = 0.5
"""Maximum wait for a source that does not return, such as a camera without frames, when the overlap is closed."""


@dataclass(frozen=True)
class _End:
    """After the last item: None, or the error that ended the items."""

    error: BaseException | None = None


def _closed_end() -> _End:
    return _End(EngineError("the pipeline was closed while it streamed; load it again"))


@dataclass(frozen=True)
class InFlight:
    """A step that keeps an item in flight while it starts the next one.

    Args:
        run: takes an iterator of items and yields their results, in order. The iterator gives None where no item
            waits: what is in flight is best finished then. Waiting is not counted as computing.
    """

    run: Callable[[Iterator[Any]], Generator[Any, None, None]]


Step = Callable[[Any], Any] | InFlight
"""Of an overlap: takes an item and returns its result, or has items in flight."""


class Overlap:
    """Runs steps on the items of a source, in threads; an iterable of the results, and a context manager.

    One thread iterates over the source and one runs each step, in the order of the items. An error of the source or of
    a step is raised after the results of the items before it. The number of items between source and consumer is
    limited to `threads` + 1, and to one for each thread and item in flight: this bounds memory and the age of the
    results, and stops the source while the consumer does not ask for results.

    Args:
        source: items; waiting for it is not counted as computing.
        steps: each takes what the one before returns.
        threads: maximum number of steps that compute at once.
    """

    def __init__(self, source: Iterable[Any], steps: Sequence[Step], threads: int) -> None:
        in_flight = sum(isinstance(step, InFlight) for step in steps)
        self._free, self._budget = Semaphore(1 + min(threads, len(steps)) + in_flight), Semaphore(threads)
        self._closed = Event()
        self._queues: list[SimpleQueue[Any]] = [SimpleQueue() for _ in range(len(steps) + 1)]
        # Daemon threads: a source that blocks cannot be cancelled and must not delay process exit.
        self._reader = Thread(target=self._read, args=(source,), name="frames", daemon=True)
        self._workers = [
            Thread(target=self._work, args=(step, *self._queues[n : n + 2]), name=f"step {n}", daemon=True)
            for n, step in enumerate(steps)
        ]
        atexit.register(self.close)  # before the interpreter ends, which kills daemon threads inside of native code
        try:
            for thread in (self._reader, *self._workers):
                thread.start()
        except RuntimeError as error:  # no memory for a thread, or too many of them
            self.close()
            raise EngineError(f"{error}; free some memory, or use overlap=False") from error

    def __iter__(self) -> Iterator[Any]:
        """Yield the results, in order.

        Raises:
            EngineError: the overlap was closed by another part of the program.
        """
        while True:
            result = self._queues[-1].get()
            if isinstance(result, _End):
                if result.error is not None:
                    raise result.error
                return
            self._free.release()
            yield result

    def close(self) -> None:
        """Stop: the running steps finish, items between them are dropped, the threads end; idempotent.

        A source that does not return is left behind after `SOURCE_TIMEOUT_S`; its thread ends when it returns.
        """
        atexit.unregister(self.close)
        self._closed.set()
        self._free.release()
        for queue in self._queues:
            queue.put(_closed_end())
        for thread, timeout_s in [(self._reader, SOURCE_TIMEOUT_S), *((worker, None) for worker in self._workers)]:
            if thread.ident is not None and thread is not current_thread():
                thread.join(timeout_s)
                if thread.is_alive():
                    _logger.warning("a source did not return within %g s; its thread ends when it does", timeout_s)

    def _read(self, source: Iterable[Any]) -> None:
        end = _End()
        try:
            items = iter(source)
            while self._free.acquire() and not self._closed.is_set():
                item = next(items, end)
                self._queues[0].put(item)
                if item is end:
                    return
        except BaseException as error:  # raised in the consumer's thread
            self._queues[0].put(_End(error))

    def _work(self, step: Step, inbox: SimpleQueue[Any], outbox: SimpleQueue[Any]) -> None:
        if isinstance(step, InFlight):
            outbox.put(self._flow(step, inbox, outbox))
            return
        while self._pass_on(step, inbox.get(), outbox):
            pass

    def _flow(self, step: InFlight, inbox: SimpleQueue[Any], outbox: SimpleQueue[Any]) -> _End:
        """Run a step on all items. Returns what follows the last result."""
        ends: list[_End] = []

        def items() -> Iterator[Any]:
            while not self._closed.is_set():
                if inbox.empty():
                    yield None
                item = inbox.get()
                if isinstance(item, _End):
                    ends.append(item)
                    return
                yield item

        try:
            with closing(step.run(items())) as results:
                for result in results:
                    if self._closed.is_set():
                        return _closed_end()
                    outbox.put(result)
        except BaseException as error:  # raised in the consumer's thread
            return _End(error)
        if ends:
            return ends[0]
        return _closed_end() if self._closed.is_set() else _End()

    def _pass_on(self, step: Callable[[Any], Any], item: Any, outbox: SimpleQueue[Any]) -> bool:
        """Run one step on one item. Returns whether more items follow."""
        if self._closed.is_set():
            return False
        if not isinstance(item, _End):
            try:
                with self._budget:
                    item = step(item)
            except BaseException as error:  # raised in the consumer's thread
                item = _End(error)
        outbox.put(item)
        return not isinstance(item, _End)

    def __enter__(self) -> Overlap:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

"""Base class of live sinks: what one writes of each result, and how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from ...media.url import masked

if TYPE_CHECKING:
    from ...provenance.network_use import NetworkUse
    from ..camera import CameraStatus
    from ..results import LiveResult

Item = TypeVar("Item")


class LiveSink(ABC, Generic[Item]):
    """Writes items, which it selects from the results of a live run; a `SinkQueue` calls it.

    The methods whose name begins with `select` are called in the thread of the scheduler and have to be quick. `write`
    and `close` are called in the thread of the sink and may block.

    Args:
        name: for messages and statistics; credentials in a URL are masked.

    Attributes:
        queue_size: items that wait at most; small if an item holds the pixels of a frame.
        max_batch: items that `write` gets at most in one call.
        retry_s: how long a batch is retried after a `SendError`, in seconds.
        max_delay_s: maximum delay between two retries, in seconds.
        idle_s: time without items after which `idle` is called, again and again; None for never.
        drain_s: how long the end of a run of cameras waits for the items in the queue, in seconds.
        close_s: what `close` takes at most, in seconds.
    """

    queue_size = 1000
    max_batch = 1
    retry_s = 30.0
    max_delay_s = 10.0
    idle_s: float | None = None
    drain_s = 0.5
    close_s = 0.4

    def __init__(self, name: str) -> None:
        self.name = masked(name)

    def start(self, network: NetworkUse, small: NetworkUse | None = None, tracks: NetworkUse | None = None) -> None:
        """Called before the first result, and only if the sink is an observer of a live run; has to be quick.

        Args:
            network, small, tracks: see `Observer.started`.
        """

    @abstractmethod
    def select(self, result: LiveResult) -> Sequence[Item]:
        """What is to be written of a result."""

    def select_status(self, status: CameraStatus) -> Sequence[Item]:
        """What is to be written of a new state of a camera."""
        return ()

    def select_rest(self) -> Sequence[Item]:
        """What is to be written when the run ends."""
        return ()

    @abstractmethod
    def write(self, items: Sequence[Item]) -> None:
        """Write items, oldest first.

        Raises:
            SendError: none of them is written, and it may succeed later; the next call has the same sequence.
            OutputError: none of them is written.
        """

    def idle(self) -> None:
        """Do what has to be done although there is nothing to write; in the thread of the sink."""

    def close(self) -> None:
        """Finish and release what the sink holds."""

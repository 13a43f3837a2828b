"""A live run as metrics, health and the page see it: the run, its accounts and its sinks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from .monitor import Monitor

if TYPE_CHECKING:
    from ..camera import CameraStatus
    from ..live import Live
    from ..sinks.queue import SinkStatistics


class HasStatistics(Protocol):
    """The queue of a sink."""

    def statistics(self) -> SinkStatistics:
        """What the sink has done so far."""


@dataclass(frozen=True, eq=False)
class ObservedRun:
    """What there is to know about a live run.

    Args:
        live: the run.
        monitor: one of its observers.
        sinks: queues of its sinks.
    """

    live: Live
    monitor: Monitor
    sinks: Sequence[HasStatistics] = ()

    def statuses(self) -> tuple[CameraStatus, ...]:
        """State of each camera now."""
        return tuple(camera.status() for camera in self.live.cameras)

"""Best shots with the time at which their frames were taken, and the base class of the sinks that write them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Literal

from ..tracks.best_shot import BestShot, BestShots
from .sink import LiveSink

if TYPE_CHECKING:
    from ..camera import CameraStatus
    from ..results import LiveResult


@dataclass(frozen=True, eq=False)
class DatedShot:
    """A best shot.

    Args:
        shot: from the tracks of a camera.
        unix_s: when its frame was taken, in Unix time.
        clock: whose clock.
    """

    shot: BestShot
    unix_s: float
    clock: Literal["camera", "host"]


class ShotSink(LiveSink[DatedShot]):
    """Gets the best shot of each track when the track ends, its camera is off or the run ends.

    Args:
        name: see `LiveSink`.
    """

    queue_size = 256

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._shots = BestShots()
        self._offsets_s: dict[str, float] = {}

    def select(self, result: LiveResult) -> Sequence[DatedShot]:
        """See `LiveSink`."""
        self._offsets_s[result.camera] = result.times.done_clock_s - result.source.time_s
        return [self._dated(shot) for shot in self._shots.add(result)]

    def select_status(self, status: CameraStatus) -> Sequence[DatedShot]:
        """See `LiveSink`: what waits for the ends of tracks, which a camera that is off does not tell."""
        if status.state in ("frozen", "offline", "ended"):
            return [self._dated(shot) for shot in self._shots.leave(status.name)]
        return ()

    def select_rest(self) -> Sequence[DatedShot]:
        """See `LiveSink`: tracks that have not ended."""
        return [self._dated(shot) for shot in self._shots.close()]

    def _dated(self, shot: BestShot) -> DatedShot:
        if shot.clock_s is not None and in_calendar(shot.clock_s):
            return DatedShot(shot, shot.clock_s, "camera")
        return DatedShot(shot, shot.time_s + self._offsets_s[shot.camera], "host")


def in_calendar(unix_s: float) -> bool:
    """Whether a Unix time has a date, years 1 to 9999: the clock of a camera may tell anything."""
    try:
        datetime.fromtimestamp(unix_s, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return False
    return True

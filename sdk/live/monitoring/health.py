"""Health of a live run: whether every camera delivers moving pictures and the scheduler processes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..camera import CameraStatus
    from .observed import ObservedRun

HANG_S = 5.0
"""Time without a turn of the scheduler after which it hangs. It looks for frames several times a second."""

SAME_PICTURE_S = 1.0
"""Age of the newest frame of a frozen camera below which frames come, but they are all the same."""


@dataclass(frozen=True)
class CameraHealth:
    """Health of one camera.

    Args:
        name: of the camera.
        state: see `Camera`.
        healthy: it is live, or a file that ended.
        newest_age_s: time since its last frame arrived; None before the first.
        why: what is wrong; "" if it is healthy.
    """

    name: str
    state: str
    healthy: bool
    newest_age_s: float | None
    why: str


@dataclass(frozen=True)
class Health:
    """Health of a run.

    Args:
        cameras: of the run.
        scheduler_age_s: time since the scheduler last ended a turn, or looked for frames and found none.
        scheduler: what is wrong with the scheduler; "" if it is healthy.
    """

    cameras: tuple[CameraHealth, ...]
    scheduler_age_s: float
    scheduler: str

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.scheduler and all(camera.healthy for camera in self.cameras)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"healthy": self.healthy, **asdict(self)}


def health(run: ObservedRun) -> Health:
    """Health of a run now."""
    figures = run.monitor.figures()
    return health_of(run.statuses(), figures.time_s - run.live.last_turn_s, figures.closed)


def health_of(statuses: Sequence[CameraStatus], scheduler_age_s: float, closed: bool) -> Health:
    """Health by the states of the cameras.

    Args:
        statuses: of the cameras.
        scheduler_age_s: see `Health`.
        closed: the run ended.
    """
    cameras = tuple(_camera(status) for status in statuses)
    ended = all(camera.state == "ended" for camera in cameras)
    scheduler = ""
    if closed and not ended:
        scheduler = "the run ended"
    elif scheduler_age_s > HANG_S and not closed:
        scheduler = f"no turn for {scheduler_age_s:.1f} s"
    return Health(cameras, round(max(0.0, scheduler_age_s), 3), scheduler)


def _camera(status: CameraStatus) -> CameraHealth:
    why, age_s = "", status.newest_age_s
    last = "no frame has arrived" if age_s is None else f"last frame {age_s:.1f} s ago"
    if status.state == "frozen":
        comes = age_s is not None and age_s < SAME_PICTURE_S
        why = "connected, but " + ("the same picture comes again and again" if comes else f"no frame comes ({last})")
    elif status.state in ("offline", "connecting"):
        why = status.error or ("no connection" if status.state == "offline" else "connecting")
        why = f"{why} ({last})"
    elif status.state == "ended" and status.error:
        why = status.error
    return CameraHealth(status.name, status.state, not why, None if age_s is None else round(age_s, 3), why)

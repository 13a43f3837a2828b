"""What a live run reports while it runs: the base class of sinks, metrics and recorders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..provenance.network_use import NetworkUse
    from .camera import CameraStatus
    from .results import LiveResult


@dataclass(frozen=True)
class Cycle:
    """One turn of the scheduler.

    Args:
        start_s, end_s: on the clock of `time.monotonic`.
        cameras: names of the cameras whose frames were processed.
        faces: number of faces of each treatment, skipped ones as "skipped".
        stages_ms: stage -> milliseconds.
        budget_ms: time that was planned for.
    """

    start_s: float
    end_s: float
    cameras: tuple[str, ...]
    faces: dict[str, int]
    stages_ms: dict[str, float]
    budget_ms: float


class Observer:
    """Gets the events of a live run; every method does nothing unless it is overridden, and has to be quick."""

    def started(self, network: NetworkUse, small: NetworkUse | None = None, tracks: NetworkUse | None = None) -> None:
        """The run begins; called before all others.

        Args:
            network: that upscales the faces, except those whose treatment is another.
            small: the smaller network of the run; None for none.
            tracks: the network that upscales the faces with `LiveFace.frames` of more than 1; given only if there is
                one.
        """

    def arrived(self, camera: str, time_s: float) -> None:
        """A frame was decoded; called in the thread that reads the camera.

        Args:
            camera: name.
            time_s: on the clock of `time.monotonic`.
        """

    def changed(self, status: CameraStatus) -> None:
        """The state of a camera changed; called in the thread of the scheduler."""

    def done(self, result: LiveResult) -> None:
        """A result is ready; called in the thread of the scheduler."""

    def cycled(self, cycle: Cycle) -> None:
        """A turn of the scheduler ended; called in its thread."""

    def close(self) -> None:
        """The run ended."""

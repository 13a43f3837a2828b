"""The workers of a batch: processes of this machine in `local_workers`, Ray actors in `ray_workers`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from ..media.url import masked
from .tasks import Outcome, Ready, Task, TaskError

MAX_START_FAILURES = 3
"""Workers that end one after another before they have loaded their pipeline; then the batch gives up."""


class Workers(ABC):
    """A number of workers, each with one task at a time; a context manager. One that dies is replaced.

    Attributes:
        on_frames: called with the number of frames that were done, where workers report them while they run.
        on_ready: called with the name of a worker that has loaded its pipeline.
    """

    on_frames: Callable[[int], None] = staticmethod(lambda frames: None)
    on_ready: Callable[[str, Ready], None] = staticmethod(lambda name, ready: None)

    @property
    @abstractmethod
    def free(self) -> int:
        """Number of workers without a task."""

    @abstractmethod
    def submit(self, task: Task) -> None:
        """Give a task to a free worker."""

    @abstractmethod
    def wait(self, timeout_s: float) -> Sequence[Outcome]:
        """Wait for tasks to end.

        Args:
            timeout_s: maximum wait, seconds.

        Returns:
            Those that ended, also because their worker died.

        Raises:
            EngineError: no worker can be started.
        """

    @abstractmethod
    def close(self) -> None:
        """End the workers at once; idempotent."""

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def lost(task: Task, worker: str, reason: str) -> Outcome:
    """Outcome of a task whose worker died."""
    return Outcome(task, worker, TaskError(f"{masked(task.file.source)}: {reason}", "worker"))

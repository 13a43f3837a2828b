"""The order of the tasks of a batch: parts and joins of long videos, and what is tried again."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from .tasks import ArchiveFile, Done, FileTask, JoinTask, Outcome, PartTask, Split, Task, TaskError


@dataclass
class _Video:
    """A video in parts.

    Attributes:
        split: its plan.
        left: first frames of the parts that are not done.
    """

    split: Split
    left: set[int]


@dataclass(frozen=True)
class Finished:
    """A file that is done or failed for good.

    Args:
        file: the file.
        worker: that ended it.
        result: of its last task.
        seconds: time of the workers on all of its tasks.
        attempts: tasks that failed.
    """

    file: ArchiveFile
    worker: str
    result: Done | TaskError
    seconds: float
    attempts: int


class Schedule:
    """Decides which task is next. Videos that are begun come first, so that their parts need little space.

    Args:
        files: to process.
        retries: how often a task that failed is started again.
        parts_there: called with a video and its plan; returns the first frames of the parts that are done already.

    Attributes:
        retried: number of tasks that were started again.
    """

    def __init__(
        self,
        files: Iterable[ArchiveFile],
        retries: int,
        parts_there: Callable[[ArchiveFile, Split], Collection[int]] = lambda file, split: (),
    ) -> None:
        self._waiting: deque[Task] = deque(FileTask(file) for file in files)
        self._retries, self._parts_there = retries, parts_there
        self._running: set[Task] = set()
        self._failed: Counter[Task] = Counter()
        self._videos: dict[ArchiveFile, _Video] = {}
        self._seconds: dict[str, float] = {}
        self._attempts: Counter[str] = Counter()
        self.retried = 0

    @property
    def left(self) -> bool:
        """Whether tasks wait or run."""
        return bool(self._waiting or self._running)

    def next(self) -> Task | None:
        """Take the next task; None if none waits."""
        if not self._waiting:
            return None
        task = self._waiting.popleft()
        self._running.add(task)
        return task

    def parts(self, file: ArchiveFile) -> int:
        """Number of parts of a video; 1 for other files."""
        video = self._videos.get(file)
        return len(video.split.firsts) if video else 1

    def end(self, outcome: Outcome) -> Finished | None:
        """Take note of a task that ended; returns its file if that is done or failed for good."""
        task, result = outcome.task, outcome.result
        self._running.discard(task)
        file = task.file
        if isinstance(result, TaskError):
            return self._failed_task(task, outcome.worker, result)
        if isinstance(result, Split):
            self._plan(file, result)
            return None
        self._seconds[file.output] = self._seconds.get(file.output, 0.0) + result.seconds
        if isinstance(task, PartTask):
            self._end_part(task)
            return None
        self._videos.pop(file, None)
        return self._finished(file, outcome.worker, result)

    def _plan(self, file: ArchiveFile, split: Split) -> None:
        there = self._parts_there(file, split)
        tasks = [task for task in split.tasks(file) if task.first not in there]
        self._videos[file] = _Video(split, {task.first for task in tasks})
        if tasks:
            self._waiting.extendleft(reversed(tasks))
        else:
            self._waiting.appendleft(JoinTask(file, split.firsts))

    def _end_part(self, task: PartTask) -> None:
        video = self._videos.get(task.file)
        if video is None:  # given up meanwhile
            return
        video.left.discard(task.first)
        if not video.left:
            self._waiting.appendleft(JoinTask(task.file, video.split.firsts))

    def _failed_task(self, task: Task, worker: str, error: TaskError) -> Finished | None:
        file = task.file
        self._attempts[file.output] += 1
        if not isinstance(task, FileTask) and file not in self._videos:  # the file has failed already
            return None
        if error.kind == "parts" and isinstance(task, JoinTask):
            del self._videos[file]
            self.retried += 1
            self._waiting.append(FileTask(file, whole=True))
            return None
        self._failed[task] += 1
        if self._failed[task] <= self._retries:
            self.retried += 1
            self._waiting.append(task)  # behind the others: what was wrong may be over then
            return None
        self._videos.pop(file, None)
        self._waiting = deque(other for other in self._waiting if other.file != file)
        return self._finished(file, worker, error)

    def _finished(self, file: ArchiveFile, worker: str, result: Done | TaskError) -> Finished:
        return Finished(file, worker, result, self._seconds.pop(file.output, 0.0), self._attempts.pop(file.output, 0))


def as_failure(finished: Finished) -> TaskError | None:
    """Why a file is not done; None if it is."""
    if isinstance(finished.result, TaskError):
        return finished.result
    return TaskError(finished.result.error) if finished.result.error else None

"""Summary of a batch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..pipeline.summary import Failure


@dataclass(frozen=True)
class BatchSummary:
    """Counts of a batch.

    Args:
        files: inputs of the batch.
        done: files that this call finished.
        earlier: files that earlier calls finished.
        failures: files that failed at every attempt.
        skipped: names of files of kinds that are not read.
        frames: frames of the files that this call finished.
        faces: detected faces in them.
        upscaled: upscaled faces in them.
        too_large: faces in them that are too large and left alone.
        notes: files for which something was lost or converted; the report names what.
        retries: tasks that were started again.
        seconds: duration of the call.
        workers: names of the workers, with what they run.
        complete: no file is left, and none failed.
    """

    files: int = 0
    done: int = 0
    earlier: int = 0
    failures: tuple[Failure, ...] = ()
    skipped: tuple[str, ...] = ()
    frames: int = 0
    faces: int = 0
    upscaled: int = 0
    too_large: int = 0
    notes: int = 0
    retries: int = 0
    seconds: float = 0.0
    workers: tuple[str, ...] = ()
    complete: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

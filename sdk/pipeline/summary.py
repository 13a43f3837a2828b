"""Summary of a run: what was found, what was upscaled, and what was lost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Failure:
    """A file that could not be processed.

    Args:
        name: file name.
        reason: in one line.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class RunSummary:
    """Counts and losses of a run.

    Args:
        frames: processed frames, images included.
        resumed: frames that an earlier, stopped run had processed; not in `frames`.
        faces: detected faces, `upscaled` + `too_large`.
        upscaled: upscaled faces.
        too_large: faces larger than the largest crop size, left alone.
        dropped: frames of a live source that were dropped because the pipeline was too slow.
        damaged_packets: packets that could not be decoded.
        damaged_frames: processed frames in which the decoder concealed damage.
        skipped: names of files of kinds that are not read.
        failures: files that could not be processed.
        notes: what was lost or converted, one line each.
    """

    frames: int = 0
    resumed: int = 0
    faces: int = 0
    upscaled: int = 0
    too_large: int = 0
    dropped: int = 0
    damaged_packets: int = 0
    damaged_frames: int = 0
    skipped: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

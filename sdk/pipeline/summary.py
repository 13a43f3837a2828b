"""Summary of a run: what was found, what was upscaled, and what was lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .results import FrameResult


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
        complete: the source was read to its end, without an error. A live source has no end: closing it is regular.
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
    complete: bool = False

    def with_result(self, result: FrameResult) -> RunSummary:
        """Add a processed frame."""
        upscaled, too_large = len(result.faces), len(result.too_large)
        return replace(
            self,
            frames=self.frames + 1,
            faces=self.faces + upscaled + too_large,
            upscaled=self.upscaled + upscaled,
            too_large=self.too_large + too_large,
            damaged_frames=self.damaged_frames + result.source.damaged,
        )

    @staticmethod
    def merge(summaries: Iterable[RunSummary]) -> RunSummary:
        """Add the summaries of several runs; complete if all are."""
        parts = list(summaries)
        sums: dict[str, Any] = {}
        for name in (field.name for field in fields(RunSummary)):
            values = [getattr(part, name) for part in parts]
            if isinstance(getattr(RunSummary(), name), tuple):
                sums[name] = tuple(item for value in values for item in value)
            else:
                sums[name] = sum(values)
        return RunSummary(**sums | {"complete": all(part.complete for part in parts)})

    def as_resumed(self) -> RunSummary:
        """The summary for a later run, which repeats what was lost but does no frame again."""
        again = replace(self, frames=0, resumed=self.resumed + self.frames, damaged_frames=0)
        return replace(again, faces=0, upscaled=0, too_large=0)

    @staticmethod
    def from_dict(document: dict[str, Any]) -> RunSummary:
        """The inverse of `to_dict`, also after JSON."""
        lists = {name: tuple(document[name]) for name in ("skipped", "notes")}
        failures = tuple(Failure(**failure) for failure in document["failures"])
        return RunSummary(**{**document, **lists, "failures": failures})

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

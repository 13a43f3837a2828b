"""Parts of videos in the output folder, until they are joined."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...engines.errors import OutputError
from ..media.reasons import is_full
from ..media.video.splitting.parts import Part, PartsError
from ..pipeline.summary import RunSummary
from .storage import STATE, Advance, OutputFolder, idle
from .tasks import ArchiveFile

PARTS = f"{STATE}/parts"


@dataclass(frozen=True)
class PartRecord:
    """What is known of a part; its file appears after that of the packets, so that a part with a record is whole.

    Args:
        part: the part.
        summary: of its frames.
    """

    part: Part
    summary: RunSummary

    def to_json(self) -> bytes:
        """For the file of the record."""
        document = {"part": self.part.to_dict(), "summary": self.summary.to_dict()}
        return json.dumps(document, separators=(",", ":")).encode()


def part_folder(file: ArchiveFile) -> str:
    """Folder of the parts of a video; another one if the video changes."""
    key = f"{file.source}\0{file.output}\0{file.version}"
    return f"{PARTS}/{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def part_names(file: ArchiveFile, first: int) -> tuple[str, str]:
    """Names of the packets and the record of a part, given its first frame."""
    name = f"{part_folder(file)}/{first:09d}"
    return f"{name}{PurePosixPath(file.output).suffix.lower()}", f"{name}.json"


def read_part(
    output: OutputFolder, file: ArchiveFile, first: int, scratch: Path, advance: Advance = idle
) -> PartRecord:
    """Read a part with a local copy of its packets.

    Args:
        output: folder.
        file: the video.
        first: first frame of the part.
        scratch: folder for the copy.
        advance: called while it is copied.

    Raises:
        PartsError: it is missing or damaged.
        OutputError: the disk is full.
    """
    video, record = part_names(file, first)
    try:
        document = json.loads(output.read(record) or b"")
        stamps = document["part"]["stamps"]
        path = output.fetch(video, scratch, advance) if stamps else None
        part = Part.from_dict(document["part"], path)
        return PartRecord(part, RunSummary.from_dict(document["summary"]))
    except (ValueError, KeyError, TypeError, OutputError, OSError) as error:
        if is_full(error):
            raise
        raise PartsError(f"the part of {file.source} from frame {first} on is damaged or missing") from error


def remove_parts(output: OutputFolder, file: ArchiveFile) -> None:
    """Remove the parts of a video."""
    output.remove(part_folder(file))

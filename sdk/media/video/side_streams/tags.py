"""Tags of files and streams, e.g. titles and languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
from av.stream import Disposition, Stream

# Tags that describe a file, not its content; the new file gets its own.
_TECHNICAL = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "bps",
              "number_of_", "_statistics", "source_id", "alpha_mode", "handler_name")  # fmt: skip


def kept_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags that are copied."""
    return {name: value for name, value in tags.items() if not name.lower().startswith(_TECHNICAL)}


@dataclass(frozen=True)
class Expected:
    """A stream that was copied.

    Args:
        name: for notes.
        index: in the finished file.
        template: of the source.
    """

    name: str
    index: int
    template: Stream


def lost_properties(path: Path, tags: Mapping[str, str], streams: list[Expected], suffix: str) -> list[str]:
    """Compare a finished file with its source, as containers leave out what they have no field for.

    Args:
        path: finished file.
        tags: of the source.
        streams: of the finished file that were copied.
        suffix: suffix of the output file, for notes.

    Returns:
        One-line notes on tags, languages, titles and flags that are missing.
    """
    with av.open(str(path.absolute())) as container:
        found = list(container.streams)
        codes = [{"timecode": stream.metadata.get("timecode", "")} for stream in found]  # MP4 has it in a stream
        notes = [_note("tags", _lost(tags, max(codes, key=lambda code: code["timecode"]) | container.metadata), suffix)]
        for expected in streams:
            written = found[expected.index]
            names = {name: expected.template.metadata.get(name, "") for name in ("language", "title")}
            lost = [f"{name} {names[name]}" for name in _lost(names, written.metadata)]
            flags = expected.template.disposition & ~written.disposition
            first = not any(stream.type == written.type for stream in found[: expected.index])
            harmless = Disposition.default if first else Disposition(0)  # players choose the first without a flag
            lost += [f"flag {flag.name}" for flag in Disposition if flag & flags & ~harmless]
            notes.append(_note(expected.name + ":", lost, suffix))
    return [note for note in notes if note]


def _note(subject: str, lost: list[str], suffix: str) -> str:
    return f"{subject} {', '.join(lost)} dropped: {suffix} has no field for it; use .mkv" if lost else ""


def _lost(tags: Mapping[str, str], written: Mapping[str, str]) -> list[str]:
    """Names of the tags that are missing; containers may change the case of names, and MP4 names titles "name"."""
    found = {"title": written.get("name", ""), **{name.lower(): value for name, value in written.items()}}
    ignored = ("", "und")
    return [
        name for name, value in kept_tags(tags).items() if value not in ignored and found.get(name.lower()) != value
    ]

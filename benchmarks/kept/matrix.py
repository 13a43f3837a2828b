"""The matrix: every kind of input written to every kind of output, and what is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .command import Run, run, run_piped
from .contents import Contents
from .made_pictures import PICTURES, readable
from .made_videos import PIPE, TRUE_TIMES_MS, VIDEOS
from .properties import PROPERTIES
from .read_picture import PICTURE_SUFFIXES, read_picture
from .read_video import read_video

State = Literal["kept", "converted", "noted", "refused", "SILENT", "FAULT"]
FAULTS = frozenset({"SILENT", "FAULT"})
PICTURE_OUTPUTS = (".jpg", ".png", ".webp", ".tif", ".bmp", ".avif", ".heic", ".jxl")
ANIMATION_OUTPUTS = (".gif", ".mp4")
VIDEO_OUTPUTS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif")
STDOUT = "-"
SEQUENCE = "%05d.png"
OUTPUTS = (*PICTURE_OUTPUTS, *VIDEO_OUTPUTS, SEQUENCE, STDOUT)


@dataclass(frozen=True)
class Cell:
    """What became of a property.

    Args:
        kind: of the input.
        output: suffix of the output.
        name: of the property; "run" if the run itself failed.
        state: "kept"; "converted" or "noted" (lost) if a note says so; "refused" if the command is a usage error,
            as the output cannot be written; "SILENT" if nothing says so; "FAULT" for another end of the command.
        value: measured.
        notes: what the command says about it.
    """

    kind: str
    output: str
    name: str
    state: State
    value: str = ""
    notes: tuple[str, ...] = ()

    @property
    def faulty(self) -> bool:
        """Whether something is lost in silence."""
        return self.state in FAULTS


def read(path: Path) -> Contents:
    """What a file holds, by its suffix."""
    return read_picture(path) if path.suffix in PICTURE_SUFFIXES else read_video(path)


def read_output(target: Path) -> Contents:
    """What an output holds: one file, or one for each frame."""
    if target.is_file():
        return read(target)
    numbered = [read(path) for path in sorted(target.parent.glob(f"out-*{target.suffix}"))]
    frames = tuple(frame for one in numbered for frame in one.frames)
    alpha = tuple(plane for one in numbered for plane in one.alpha)
    times_ms = tuple(float(index) for index in range(len(frames)))
    return replace(numbered[0], frames=frames, alpha=alpha, times_ms=times_ms)


def pairs() -> Iterator[tuple[str, str]]:
    """Kinds of input and output, as far as this machine has the libraries."""
    for kind, (suffix, _) in PICTURES.items():
        animated = suffix == ".gif" or "animated" in kind or "APNG" in kind
        outputs = VIDEO_OUTPUTS if suffix == ".gif" else PICTURE_OUTPUTS + (ANIMATION_OUTPUTS if animated else ())
        if readable(suffix):
            yield from ((kind, output) for output in outputs if readable(output))
    yield from (("animated GIF", output) for output in (".webp", ".png"))
    for kind in VIDEOS:
        yield from ((kind, output) for output in VIDEO_OUTPUTS)
    yield from ((kind, SEQUENCE) for kind in ("MKV, everything", "MP4, HDR10", "MP4, rotated, SAR", "WebM, alpha"))
    yield from ((kind, STDOUT) for kind in ("MKV, everything", PIPE))
    yield from ((PIPE, output) for output in (".mp4", ".mkv"))


class Matrix:
    """Makes the inputs, runs the command and judges the outputs.

    Args:
        folder: for inputs and outputs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inputs: dict[str, tuple[Path, Contents]] = {}

    def cells(self, wanted: Iterable[tuple[str, str]]) -> Iterator[Cell]:
        """Judge pairs of input and output, in order."""
        for kind, output in wanted:
            source, before = self.input(kind)
            target = self._folder / {STDOUT: "out", SEQUENCE: f"out-{SEQUENCE}"}.get(output, f"out{output}")
            for old in self._folder.glob("out*"):
                old.unlink()
            for cell in judged(kind, output, before, self._run(kind, source, output, target), target):
                yield replace(cell, notes=tuple(_anonymous(note, source, target) for note in cell.notes))

    def input(self, kind: str) -> tuple[Path, Contents]:
        """The file of a kind of input and what it holds; made at the first call."""
        if kind not in self._inputs:
            made = "MKV, everything" if kind == PIPE else kind
            suffix, write = (PICTURES | VIDEOS)[made]
            path = self._folder / (re.sub(r"\W+", "-", made) + suffix)
            write(path)
            contents = read(path)
            if made in TRUE_TIMES_MS:
                contents = replace(contents, times_ms=TRUE_TIMES_MS[made])
            self._inputs[kind] = path, contents
        return self._inputs[kind]

    def _run(self, kind: str, source: Path, output: str, target: Path) -> Run:
        if kind == PIPE or output == STDOUT:
            where = STDOUT if output == STDOUT else str(target)
            return run_piped(None if kind == PIPE else source, ["-o", where], target, source if kind == PIPE else None)
        return run(source, target)


def judged(kind: str, output: str, before: Contents, finished: Run, target: Path) -> Iterator[Cell]:
    """Compare every property before and after a run."""
    if finished.code or not list(target.parent.glob("out*")):
        one_line = finished.messages.strip().count("\n") <= len(finished.notes) + 1
        refused = finished.code == 2 and "error: " in finished.messages and one_line
        yield Cell(kind, output, "run", "refused" if refused else "FAULT", f"exit {finished.code}", (finished.error,))
        return
    try:
        after = read_output(target)
    except Exception as error:  # whatever another reader cannot read is a fault
        yield Cell(kind, output, "run", "FAULT", "not readable", (str(error),))
        return
    if set(finished.notes) != set(finished.json_notes):
        yield Cell(kind, output, "run", "SILENT", "notes are not in JSON", finished.notes)
    for one in PROPERTIES:
        compared = one.compare(before, after, target.suffix)
        if compared is not None:
            outcome, value = compared
            notes = tuple(note for note in finished.notes if re.search(one.words, note, re.IGNORECASE))
            states: dict[str, State] = {"kept": "kept", "changed": "converted", "lost": "noted"}
            state: State = states[outcome] if outcome == "kept" or notes else "SILENT"
            yield Cell(kind, output, one.name, state, value, notes if outcome != "kept" else ())


def _anonymous(note: str, source: Path, target: Path) -> str:
    """A note without the names of the files."""
    for path, name in ((source, f"INPUT{source.suffix}"), (target, f"OUTPUT{target.suffix}")):
        note = note.replace(str(path), name).replace(path.name, name)
    return note

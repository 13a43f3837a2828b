"""Sinks of image files, animations and folders of images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import OutputError
from ...pipeline.frame import Frame
from ..encode_options import EncodeOptions
from ..journal import FinishedFile, Progress
from ..reasons import write_error
from ..source_sink import Sink
from .animation import FramesWriter, open_frames
from .encode import write_frame
from .file_notes import FileNotes


class ImageSink(Sink):
    """One image file, written atomically; the suffix selects the format."""

    def __init__(self, path: Path, options: EncodeOptions) -> None:
        super().__init__(path)
        self._options, self._file_notes = options, FileNotes(self.notes)

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        write_frame(self.path, frame, pixels, self._options, self._file_notes.add, self.seal)


class AnimationSink(Sink):
    """All frames in one file, which appears when the sink is closed; see `open_frames`.

    Args:
        path: output file; the suffix selects the format.
        options: of the encoder.
        loop: how often the animation is played, 0 for endlessly.
    """

    resumable = False

    def __init__(self, path: Path, options: EncodeOptions, loop: int = 0) -> None:
        super().__init__(path)
        self._frames = open_frames(path, options, loop, FileNotes(self.notes).add)

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        self._frames.seal = self.seal
        self._frames.write(frame, pixels)

    def close(self, complete: bool = True) -> None:
        """Finish the file; it holds the frames written so far."""
        try:
            self._frames.close(complete)
        finally:
            super().close(complete)


class FolderSink(Sink):
    """A folder of images with the names of the frames, which may be in subfolders.

    Consecutive frames of one name that have `Frame.pts` are the frames of an animation or the pages of a TIFF, and are
    written to one file.

    Args:
        path: folder.
        options: of the encoders; each format uses those that it has.
        loops: name of an animation -> how often it is played; read when its first frame is written.
    """

    def __init__(self, path: Path, options: EncodeOptions, loops: Mapping[str, int] | None = None) -> None:
        super().__init__(path)
        self._options, self._loops = options, {} if loops is None else loops
        self._file_notes = FileNotes(self.notes)
        self._written: dict[str, Path] = {}
        self._name, self._count = "", 0
        self._frames: FramesWriter | None = None
        self.identity = dict(vars(options))

    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        animated = frame.pts is not None and frame.name != ""
        if self._frames and not (animated and frame.name == self._name):
            self._finish()
        note = partial(self._note, frame.name)
        self._count += 1
        if self._frames:
            self._frames.write(frame, pixels)
        elif not animated:
            path = self._path(frame)
            write_frame(path, frame, pixels, self._options, note, self.seal)
            self._record(frame.name, path)
        else:
            loop = self._loops.get(frame.name, 0)
            self._name, self._frames = frame.name, open_frames(self._path(frame), self._options, loop, note)
            self._frames.seal = self.seal
            self._frames.write(frame, pixels)

    def _record(self, name: str, path: Path) -> None:
        """Add a finished image to the journal."""
        count, self._count = self._count, 0
        if self.journal:
            size = path.stat().st_size if path.exists() else -1  # -1: numbered files
            self.journal.add_file(name, FinishedFile(str(path.relative_to(self.path)), size, count))

    def keep_files(self, earlier: Progress, names: Iterable[str]) -> dict[str, int]:
        """See `Sink`; an image must have the size that it had then."""
        kept = {}
        for name in names:
            if (file := earlier.files.get(name)) is not None and _size(self.path / file.path) == file.bytes:
                kept[name] = file.frames
                self._written[_key(self.path / file.path)] = self.path / file.path
        return kept

    def _note(self, name: str, text: str) -> None:
        self._file_notes.add(text, name)

    def _path(self, frame: Frame) -> Path:
        """Path of a new file; its folder exists."""
        path = self.path / (_below(frame.name) or f"{frame.index:06d}.png")
        if path.parent != self.path:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(write_error(path.parent, error)) from error
        unique = unused(path, self._written.get)
        if unique != path:
            self._file_notes.add("another image has this name; a number is added", unique.name)
        self._written[_key(unique)] = unique
        return unique

    def close(self, complete: bool = True) -> None:
        """Finish the animation that is being written; it holds the frames written so far."""
        try:
            self._finish(complete)
        finally:
            super().close(complete)

    def _finish(self, complete: bool = True) -> None:
        frames, self._frames = self._frames, None
        if frames:
            frames.close(complete)
            if complete:
                self._record(self._name, next(reversed(self._written.values())))


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _key(path: Path) -> str:
    """Equal for names that some file systems do not distinguish."""
    return normalize("NFC", str(path)).casefold()


def unused(path: Path, written: Callable[[str], Path | None]) -> Path:
    """Name with a number if a file of this run would be overwritten.

    Args:
        path: wanted.
        written: file of this run whose name some file systems do not distinguish from another, given by `_key`.
    """
    candidate, number = path, 1
    while (other := written(_key(candidate))) is not None and _same_file(other, candidate):
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _same_file(one: Path, other: Path) -> bool:
    if one == other:
        return True
    with suppress(OSError):
        return one.samefile(other)
    return False


def _below(name: str) -> Path | None:
    """Path below a folder for the name of a frame; without its folders if it leads elsewhere."""
    path = Path(name)
    return None if not path.name else Path(path.name) if path.is_absolute() or ".." in path.parts else path

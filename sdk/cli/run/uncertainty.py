"""Uncertainty of the faces of ``facesr-edge run`` as pictures: a folder with one for each face."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from ....engines.errors import OutputError
from ....engines.files import write_atomic
from ...media.images.sequence import SequenceSource
from ...media.images.source import FolderSource
from ...media.reasons import plural
from ...media.sinks import make_writable

if TYPE_CHECKING:
    from ...media.source_sink import Source
    from ...pipeline.frame import Frame
    from ...pipeline.results import Face, FrameResult

MAX_NAMES = 5
"""Names of inputs in a message."""


class UncertaintyFolder:
    """Writes a sheet for each face, see `uncertainty_sheet`; the number in its name is that of the face in the JSON.

    ``group.jpg-face-1.png`` for a picture, ``clip.mp4-000012-face-1.png`` for a frame of a video or a page, pictures in
    the subfolders of the inputs. Of two inputs of one name the second gets a number, ``clip.mp4-2-000012-face-1.png``.
    A file of an earlier run is replaced.

    Args:
        folder: created if missing.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        make_writable(folder)
        self.folder, self.written = folder, 0
        self._taken: set[str] = set()
        self._renamed: list[str] = []

    @contextmanager
    def of(self, source: Source) -> Iterator[_SourceSheets]:
        """Sheets of one source."""
        sheets = _SourceSheets(self, source)
        try:
            yield sheets
        finally:
            self.written += sheets.written

    def lines(self) -> list[str]:
        """Where the sheets are, and which have another name than their input."""
        lines = [f"{plural(self.written, 'sheet')} of uncertainty → {self.folder}"]
        if names := self._renamed:
            rest = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
            lines.append(f"inputs of the same name have numbers: {', '.join(names[:MAX_NAMES])}{rest}")
        return lines

    def stem(self, name: str, source: str) -> str:
        """A path below the folder, without its ending, that no other input of this run has.

        Args:
            name: of the input, as its output would be named.
            source: the input, for messages.
        """
        first = str(_inside(name))
        stem = next(one for n in count(1) if (one := first if n == 1 else f"{first}-{n}") not in self._taken)
        self._taken.add(stem)
        if stem != first:
            self._renamed.append(f"{stem} is {source}")
        return stem


class _SourceSheets:
    """Sheets of one source.

    Args:
        folder: of all sheets.
        source: of the frames.
    """

    def __init__(self, folder: UncertaintyFolder, source: Source) -> None:
        self._folder, self._source, self.written = folder, source, 0
        self._name: str | None = None
        self._stem, self._frames = "", 0

    def add(self, result: FrameResult) -> None:
        """Write the sheets of a frame, whose faces have their uncertainty.

        Raises:
            OutputError: a file cannot be written.
        """
        stem = self._frame_stem(result.source)
        for number, face in enumerate(result.faces, 1):
            path = self._folder.folder / f"{stem}-face-{number}.png"
            picture = _png(face, result.source)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, picture)
            except OSError as error:
                raise OutputError(
                    f"cannot write {path}: {error.strerror or error}; free some space or give another folder with "
                    "--uncertainty"
                ) from None
            self.written += 1

    def _frame_stem(self, frame: Frame) -> str:
        """Of the names of the sheets of the next frame."""
        source = self._source
        if frame.name != self._name:
            self._name, self._frames = frame.name, 0
            path = source.images.get(frame.name) if isinstance(source, FolderSource) else None
            self._stem = self._folder.stem(frame.name or Path(source.name).name or "frame", str(path or source.name))
        index = self._frames if isinstance(source, FolderSource) else frame.index
        self._frames += 1
        is_picture = frame.name and (frame.pts is None or isinstance(source, SequenceSource))
        return self._stem if is_picture else f"{self._stem}-{index:06}"


def _png(face: Face, frame: Frame) -> bytes:
    """File of a sheet, with the color profile of the frame and the mark of pictures with pixels of a network."""
    from ...media.images.color_profiles import RGB, color_space
    from ...media.images.embed import png_with
    from ...media.images.opencv import png
    from ...pipeline.frame import ImageMetadata
    from ...pipeline.uncertainty import uncertainty_sheet
    from ...provenance.iptc import marked

    icc = frame.metadata.icc if frame.metadata else b""
    return png_with(png(uncertainty_sheet(face)), marked(ImageMetadata(icc=icc if color_space(icc) == RGB else b"")))


def _inside(name: str) -> Path:
    """A name of an input as a path that stays inside of a folder."""
    return Path(*(part for part in Path(name).parts if part not in ("..", Path(name).anchor)))

"""Uncertainty of the faces of ``facesr-edge run`` as pictures: a folder with one for each face."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from ....engines.errors import OutputError
from ....engines.files import write_atomic
from ...media.reasons import plural
from ...media.sinks import make_writable

if TYPE_CHECKING:
    from ...media.source_sink import Source
    from ...pipeline.results import FrameResult


class UncertaintyFolder:
    """Writes a sheet for each face, see `uncertainty_sheet`; the number in its name is that of the face in the JSON.

    ``group.jpg-face-1.png`` for a picture, ``clip.mp4-000012-face-1.png`` for a frame of a video, in the subfolders of
    the inputs. A file of the same name is replaced.

    Args:
        folder: created if missing.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        make_writable(folder)
        self.folder, self.written = folder, 0

    @contextmanager
    def of(self, source: Source) -> Iterator[_SourceSheets]:
        """Sheets of one source."""
        sheets = _SourceSheets(self.folder, source.name)
        try:
            yield sheets
        finally:
            self.written += sheets.written

    def lines(self) -> list[str]:
        """Where the sheets are."""
        return [f"{plural(self.written, 'sheet')} of uncertainty → {self.folder}"]


class _SourceSheets:
    """Sheets of one source.

    Args:
        folder: of all sheets.
        source: name of the input.
    """

    def __init__(self, folder: Path, source: str) -> None:
        self._folder, self._source, self.written = folder, source, 0

    def add(self, result: FrameResult) -> None:
        """Write the sheets of a frame, whose faces have their uncertainty.

        Raises:
            OutputError: a file cannot be written.
        """
        from ...pipeline.uncertainty import uncertainty_sheet

        frame = result.source
        name = frame.name or f"{Path(self._source).name or 'frame'}-{frame.index:06}"
        for number, face in enumerate(result.faces, 1):
            path = self._folder / f"{_inside(name)}-face-{number}.png"
            picture = cv2.imencode(".png", uncertainty_sheet(face))[1].tobytes()
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(path, picture)
            except OSError as error:
                raise OutputError(
                    f"cannot write {path}: {error.strerror or error}; free some space or give another folder with "
                    "--uncertainty"
                ) from None
            self.written += 1


def _inside(name: str) -> Path:
    """A name of an input as a path that stays inside of a folder."""
    return Path(*(part for part in Path(name).parts if part not in ("..", Path(name).anchor)))

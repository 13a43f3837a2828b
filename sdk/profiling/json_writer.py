"""Streaming JSON output: faces and timings of each frame."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ...engines.errors import OutputError
from ...engines.files import atomic_file

if TYPE_CHECKING:
    from ..pipeline.results import FrameResult


class JsonWriter:
    """Writes a JSON document ``{..., "frames": [...]}`` frame by frame, in constant memory; a context manager.

    A file is written atomically. If the ``with`` block ends with an exception, the document is completed with the
    frames added so far; without any frame, an existing file stays unchanged.

    Args:
        destination: file or text stream.
        head: fields before the frames, e.g. ``{"model": "idrn-x4"}``.

    Attributes:
        count: number of frames written.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, destination: Path | TextIO, head: dict[str, Any]) -> None:
        self.count = 0
        self._head = json.dumps({**head, "frames": []}, indent=1, allow_nan=False).removesuffix("[]\n}")
        self._name = destination if isinstance(destination, Path) else "standard output"
        self._file = ExitStack()
        self._stream = self._open(destination) if isinstance(destination, Path) else destination

    def _open(self, path: Path) -> TextIO:
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give a .json file")
        try:
            return TextIOWrapper(self._file.enter_context(atomic_file(path)), "utf-8", write_through=True)
        except OSError as error:
            raise self._write_error(error) from None

    def add(self, result: FrameResult) -> None:
        """Append one frame."""
        prefix = ",\n" if self.count else f"{self._head}[\n"
        self._write(f"{prefix}  {json.dumps(result.to_dict(), allow_nan=False)}")
        self.count += 1

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._write_error(error) from None

    def _write_error(self, error: OSError) -> OutputError:
        reason = error.strerror or error
        return OutputError(f"cannot write {self._name}: {reason}; free some space or choose another file")

    def __enter__(self) -> JsonWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: Any) -> None:
        if self.count == 0 and kind is not None:
            with suppress(OSError):
                self._file.__exit__(kind, error, trace)  # discards the temporary file
            return
        try:
            with self._file:
                if kind is not BrokenPipeError:
                    self._write("\n ]\n}\n" if self.count else f"{self._head}[]\n}}\n")
                    self._stream.flush()
        except OSError as failure:
            if kind is None:
                raise self._write_error(failure) from None


def write_text(path: Path, text: str) -> None:
    """Write a text file.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None

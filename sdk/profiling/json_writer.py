"""Faces and timings of every frame as one JSON document, written frame by frame."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from ...engines.errors import OutputError
from ..pipeline.results import FrameResult


class JsonWriter:
    """A JSON document ``{..., "frames": [...]}``; a context manager. It holds no frames: a long video costs no memory.

    A file appears under its name only when the document is complete; if the run is broken off, the frames that were
    done make a complete document too. If none was done, an older file stays as it was.

    Args:
        destination: a file, or a stream such as standard output.
        head: what stands before the frames, e.g. ``{"model": "idrn-x4"}``.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, destination: Path | TextIO, head: dict[str, Any]) -> None:
        self.count = 0
        self._head = json.dumps({**head, "frames": []}, indent=1, allow_nan=False).removesuffix("[]\n}")
        self._path = destination if isinstance(destination, Path) else None
        self._partial = self._path.with_name(f".{self._path.name}.{os.getpid()}") if self._path else None
        try:
            self._stream = destination if not isinstance(destination, Path) else self._opened()
        except OSError as error:
            raise self._refusal(error) from None

    def _opened(self) -> TextIO:
        assert self._path is not None and self._partial is not None
        if self._path.is_dir():
            raise OutputError(f"{self._path} is a folder; give the name of a .json file")
        return self._partial.open("w", encoding="utf-8")

    def add(self, result: FrameResult) -> None:
        """Put down one frame."""
        opening = ",\n" if self.count else f"{self._head}[\n"
        self._write(f"{opening}  {json.dumps(result.to_dict(), allow_nan=False)}")
        self.count += 1

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise self._refusal(error) from None

    def _refusal(self, error: OSError) -> OutputError:
        where = self._path or "standard output"
        return OutputError(f"cannot write {where}: {error.strerror or error}; free some space or choose another file")

    def __enter__(self) -> JsonWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        keep = self.count > 0 or kind is None
        try:
            if keep and kind is not BrokenPipeError:
                self._write("\n ]\n}\n" if self.count else f"{self._head}[]\n}}\n")
                self._stream.flush()
            if self._path is not None and self._partial is not None:
                os.fsync(self._stream.fileno())
                self._stream.close()
                if keep:
                    self._partial.replace(self._path)
        except OSError as failure:
            if kind is None:
                raise self._refusal(failure) from None
        finally:
            if self._partial is not None:
                self._stream.close()
                self._partial.unlink(missing_ok=True)

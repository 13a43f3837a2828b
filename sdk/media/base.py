"""What a source of frames is: the one contract of pictures, folders, videos and cameras."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import UsageError
from ..pipeline.frame import Frame

Kind = Literal["picture", "folder", "video", "live"]


class Source(ABC):
    """Frames, one at a time; a context manager, and an iterable that starts anew for files.

    Attributes:
        kind: what it reads.
        name: what to call it in a message; a password in a URL is masked.
        frame_count: frames to come, as the file says; None where nobody knows.
        rate: frames a second on average; None for pictures, or where nobody knows.
        size_wh: width and height of the upright frames in pixels; None where they differ.
        path: the file or folder; None for a camera or a URL.
        dropped: frames a live source has left out because newer ones had come.
        exhausted: whether the last iteration came to the end by itself.
        notes: one line for each thing that was not read as it stands.
    """

    kind: Kind
    name: str
    frame_count: int | None = None
    rate: Fraction | None = None
    size_wh: tuple[int, int] | None = None
    path: Path | None = None
    dropped: int = 0
    exhausted: bool = False

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._closed = False

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Give the frames in order.

        Raises:
            InputError: what comes is not readable, or came to an end too early.
        """

    def close(self) -> None:
        """Let go of files and devices; iterations under way end at their next frame."""
        self._closed = True

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Sink(ABC):
    """Takes composites in the order of their frames; a context manager.

    Left through an exception, an interrupt included, it keeps what was written so far as a readable file.

    Attributes:
        path: the file or folder that is there once it is closed.
        frames_written: composites taken so far.
        notes: one line for each thing that differs from the source: sound left out, a size made even.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.frames_written = 0
        self.notes: list[str] = []

    def write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        """Write the composite of a frame.

        Args:
            frame: where the name and the timestamp come from.
            pixels: (H, W, 3) uint8 BGR.

        Raises:
            UsageError: no such pixels, or of another size than the first ones of a video.
            OutputError: the file cannot be written.
        """
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.size == 0:
            raise UsageError(f"a composite is (H, W, 3) uint8 BGR, not {pixels.shape} {pixels.dtype}")
        self._write(frame, pixels)
        self.frames_written += 1

    @abstractmethod
    def _write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None: ...

    def close(self, complete: bool = True) -> None:  # noqa: B027 (pictures have nothing left to do)
        """Finish the file.

        Args:
            complete: False after an exception: then nothing is added beyond the last frame.

        Raises:
            OutputError: the rest cannot be written.
        """

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(complete=error is None)

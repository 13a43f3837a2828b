"""What a sink of composites is: the one contract of picture, folder and video output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import UsageError
from ..frame import Frame


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

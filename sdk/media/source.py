"""What a source of frames is: the one contract of pictures, folders, videos and cameras."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal

from ..frame import Frame

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

"""Ctrl-C between frames: the frame at hand is finished, and so is the file."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from ...engines.errors import FacesrError


class Stopped(FacesrError):  # noqa: N818 (the user wanted it)
    """The user stopped a command after a part of its work; the text says what is kept."""


class Stop:
    """While it is open, the first Ctrl-C or SIGTERM asks for an end after the frame at hand; the second interrupts.

    Args:
        close: called when an end is asked for, so that nobody waits for a camera.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self.asked = False
        self._close = close
        self._before: dict[int, Any] = {}

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._close()

    def __enter__(self) -> Stop:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hear)
        except ValueError:  # only the main thread may listen to signals
            self._before = {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

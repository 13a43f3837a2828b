"""Base class of the sinks that encode live video of a camera."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import av

from ....engines.errors import OutputError
from .letterbox import FixedSize
from .live_encoder import LiveEncoder, StreamTarget
from .sink import LiveSink

if TYPE_CHECKING:
    from ..results import LiveResult


class StreamSink(LiveSink["LiveResult"]):
    """Encodes the composites of one camera; after an error the stream begins anew.

    Args:
        name: see `LiveSink`.
        camera: name.
        by_arrival: see `VideoFileSink`.
    """

    queue_size = 8

    def __init__(self, name: str, camera: str, *, by_arrival: bool = True) -> None:
        super().__init__(name)
        self._camera, self._by_arrival = camera, by_arrival
        self._fit = FixedSize(self.name)
        self._encoder: LiveEncoder | None = None
        self._last_s = 0.0

    @abstractmethod
    def _target(self) -> StreamTarget:
        """Prepare a new stream."""

    @abstractmethod
    def _error(self, error: Exception) -> OutputError:
        """What to raise for an error of FFmpeg."""

    def select(self, result: LiveResult) -> Sequence[LiveResult]:
        """See `LiveSink`."""
        return [result] if result.camera == self._camera else []

    def write(self, items: Sequence[LiveResult]) -> None:
        """See `LiveSink`."""
        try:
            for result in items:
                self._write(result)
        except (av.FFmpegError, OSError, ValueError) as error:
            encoder, self._encoder = self._encoder, None
            if encoder is not None:
                encoder.abandon()
            raise self._error(error) from error

    def _write(self, result: LiveResult) -> None:
        pixels = self._fit(result.frame)
        if self._encoder is None:
            self._encoder = LiveEncoder(self._target(), (pixels.shape[1], pixels.shape[0]))
        self._last_s = result.times.arrival_s if self._by_arrival else result.source.time_s
        self._encoder.write(pixels, self._last_s)

    def close(self) -> None:
        """See `LiveSink`."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            try:
                encoder.close()
            except (av.FFmpegError, OSError, ValueError) as error:
                encoder.abandon()
                raise self._error(error) from error

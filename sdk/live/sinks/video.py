"""Video file of a camera: the frames with the upscaled faces."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....engines.errors import OutputError, UsageError
from ...media.encode_options import EncodeOptions
from ...media.sinks import open_sink
from ...media.source_sink import Sink, Source
from ...media.video.earlier_video import partial_paths
from ...pipeline.frame import Frame
from .letterbox import FixedSize
from .set_aside import set_aside
from .sink import LiveSink

if TYPE_CHECKING:
    from ..results import LiveResult

REOPEN_S = 1.0
"""Time after an error until a new file is tried, in seconds."""
_DEFAULTS = EncodeOptions()
_logger = logging.getLogger(__name__)


class VideoFileSink(LiveSink["LiveResult"]):
    """Encodes the composites of one camera.

    The first frame sets the size; frames of another size are scaled to fit, with a message. A file that exists, also
    that of a killed run, is renamed, see `set_aside`. After an error, e.g. a full disk, a new file begins.

    Args:
        path: video file.
        camera: name.
        options: codec and quality.
        by_arrival: frames are shown at the distances at which they arrived; else at those of their own timestamps, as
            for a file, which is read faster or slower than it plays.
        max_s: time after which a new file begins, in seconds; None for never. An open MP4 takes 45 bytes of memory for
            each frame: 100 MB a day at 25 frames/s.

    Raises:
        OutputError: the file cannot be written, or another run writes it.
        UsageError: the format or the encoder is not supported.
    """

    queue_size = 8  # composites of 1920x1080 enlarged twice: 250 MB
    close_s = 10.0

    def __init__(
        self,
        path: Path,
        camera: str,
        options: EncodeOptions = _DEFAULTS,
        *,
        by_arrival: bool = True,
        max_s: float | None = None,
    ) -> None:
        super().__init__(str(path))
        check_max_s(max_s)
        self._path, self._camera, self._options, self._by_arrival = path, camera, options, by_arrival
        self._max_s, self._begin_s = max_s, float("nan")
        self._fit, self._notes = FixedSize(self.name), 0
        self._failed_s = float("-inf")
        self._error = ""
        self._sink: Sink | None = self._open()

    def _open(self) -> Sink:
        sink = open_sink(self._path, _CameraSource(self._camera), options=self._options)
        for earlier in (self._path, *partial_paths(self._path)):
            set_aside(earlier, self._path)
        return sink

    def select(self, result: LiveResult) -> Sequence[LiveResult]:
        """See `LiveSink`."""
        return [result] if result.camera == self._camera else []

    def write(self, items: Sequence[LiveResult]) -> None:
        """See `LiveSink`."""
        if time.monotonic() - self._failed_s < REOPEN_S:
            raise OutputError(self._error)
        try:
            for result in items:
                self._write(result)
        except OutputError as error:
            self._failed_s, self._error = time.monotonic(), str(error)  # the error itself holds the frames
            self._finish(complete=False)
            raise

    def _write(self, result: LiveResult) -> None:
        time_s = result.times.arrival_s if self._by_arrival else result.source.time_s
        if self._max_s is not None and time_s - self._begin_s >= self._max_s:
            self._finish(complete=True)
        if self._sink is None:
            self._sink, self._fit, self._notes = self._open(), FixedSize(self.name), 0
        if self._fit.size_wh is None:
            self._begin_s = time_s
        frame = replace(result.source, time_s=time_s, pts=None, alpha=None, deep=None, upscaled=result.upscaled)
        self._sink.write(frame, self._fit(result.frame))
        for note in self._sink.notes[self._notes :]:
            _logger.info("%s: %s", self.name, note)
        self._notes = len(self._sink.notes)

    def _finish(self, complete: bool) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close(complete)

    def close(self) -> None:
        """See `LiveSink`."""
        self._finish(complete=True)


def check_max_s(max_s: float | None) -> None:
    """See `VideoFileSink`.

    Raises:
        UsageError: it is not positive.
    """
    if max_s is not None and not max_s > 0:
        raise UsageError(f"expected videos of more than 0 seconds, got {max_s:g}")


class _CameraSource(Source):
    """What the encoder asks about a source; the size comes with the first frame."""

    kind = "live"

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __iter__(self) -> Iterator[Frame]:
        return iter(())

"""Cameras and network streams, read in a thread that keeps only the newest frames."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

from ..pipeline.frame import Frame
from .live_reader import LiveReader
from .source_sink import Source
from .video.color_conversion import BgrConverter
from .video.decoding import Decoding

_SOFTWARE = Decoding()
OPEN_S = 0.5
"""Wait for the connection beyond the timeout, so that FFmpeg's own error, which has the reason, comes first."""


class LiveSource(Source):
    """Frames of a camera or network stream; a slow consumer gets the newest frame, not a growing backlog.

    A thread reads and decodes. It keeps the newest frames and drops older ones that have not been consumed. Besides
    FFmpeg's own timeouts, every wait of the consumer is limited to the timeout. The thread ends when the source is
    closed or garbage collected.

    The end of a pipe is a regular end, and so is that of a URL whose server announced the duration or the size.
    Otherwise the end of a URL is an error: a camera does not end, it is disconnected.

    After `os.fork` a source can be used in the parent only.

    Args:
        location: device or URL for FFmpeg.
        name: name for messages.
        input_format: FFmpeg input format of a device; None for a stream.
        timeout_s: maximum wait for the connection, and for each frame, in seconds.
        keep: number of frames buffered for the consumer.
        decoding: threads and hardware.

    Raises:
        InputError: the source cannot be opened within the timeout.
    """

    kind = "live"

    def __init__(
        self,
        location: str,
        name: str,
        input_format: str | None = None,
        timeout_s: float = 5.0,
        keep: int = 1,
        decoding: Decoding = _SOFTWARE,
    ) -> None:
        super().__init__()
        self.name, self._timeout_s = name, timeout_s
        self._reader = reader = LiveReader(location, name, input_format, timeout_s, keep, decoding)
        weakref.finalize(self, reader.request_stop)
        with reader.changed:
            answered = reader.changed.wait_for(lambda: reader.opened or reader.ended, timeout_s + OPEN_S)
        if not answered or reader.error:
            self.close()
            raise reader.error or reader.timeout_error("no answer")
        self.size_wh, self.rate = reader.size_wh, reader.rate

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames, each newer than the last, until the stream ends or the source is closed.

        Several threads may iterate: each frame goes to one of them.

        Raises:
            InputError: the stream broke or ended without notice, or no frame came within the timeout.
        """
        to_bgr, reader = BgrConverter(exact=False), self._reader
        while True:
            with reader.changed:
                in_time = reader.changed.wait_for(
                    lambda: reader.newest or reader.ended or self._closed, self._timeout_s
                )
                self.dropped, self.damaged_packets = reader.dropped, reader.damaged_packets
                if self._closed:
                    return
                if not in_time:
                    raise reader.timeout_error("no frame")
                if not reader.newest:
                    if reader.error:
                        raise reader.error
                    self.exhausted = True
                    return
                frame = reader.newest.popleft()
                self.damaged_frames += frame.damaged
            yield Frame(
                to_bgr(frame.decoded),
                frame.index,
                frame.time_s,
                pts=frame.decoded.pts,
                time_base=frame.decoded.time_base,
                damaged=frame.damaged,
            )

    def close(self) -> None:
        """Stop reading; returns within 0.5 s even if the reader is blocked, which then ends at its own timeout."""
        self._reader.request_stop()
        with self._reader.changed:
            self._closed = True
            self._reader.changed.notify_all()
        self._reader.join()

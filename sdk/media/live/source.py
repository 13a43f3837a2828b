"""Cameras and network streams, read in a thread that keeps only the newest frames."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

from ...pipeline.frame import Frame
from ..connection_errors import silent
from ..source_sink import Source
from ..url import Transport
from ..video.color_conversion import BgrConverter
from ..video.decoding import SOFTWARE, Decoding
from .connection import LiveInput
from .reader import LiveFrame, LiveReader
from .reconnect import Reconnect

OPEN_S = 0.5
"""Wait for the connection beyond the timeout, so that FFmpeg's own error, which has the reason, comes first."""


class LiveSource(Source):
    """Frames of a camera or network stream; a slow consumer gets the newest frame, not a growing backlog.

    A thread reads and decodes. It keeps the newest frames and drops older ones that have not been consumed. Besides
    FFmpeg's own timeouts, every wait of the consumer is limited to the timeout. The thread ends when the source is
    closed or garbage collected.

    The end of a pipe is a regular end, and so is that of a URL whose server announced the duration or the size.
    Otherwise the end of a URL is an error: a camera does not end, it is disconnected. With `reconnect`, an iterator
    then waits until the stream is back; index and time of the frames go on.

    After `os.fork` a source can be used in the parent only.

    Args:
        location: device or URL for FFmpeg.
        name: name for messages.
        input_format: FFmpeg input format of a device; None for a stream.
        timeout_s: maximum wait for the connection, and for each frame, in seconds.
        keep: number of frames buffered for the consumer.
        decoding: threads and hardware.
        transport: of RTSP.
        reconnect: delays between attempts to connect again; None to end at the first error.

    Raises:
        InputError: the source cannot be opened within the timeout; the class tells why.
    """

    kind = "live"

    def __init__(
        self,
        location: str,
        name: str,
        input_format: str | None = None,
        timeout_s: float = 5.0,
        keep: int = 1,
        decoding: Decoding = SOFTWARE,
        transport: Transport = "auto",
        reconnect: Reconnect | None = None,
    ) -> None:
        super().__init__()
        self.name, self._timeout_s = name, timeout_s
        self._wait_s = timeout_s if reconnect is None else None
        source = LiveInput(location, name, input_format, timeout_s, transport, decoding)
        self._reader = reader = LiveReader(source, keep, reconnect=reconnect)
        weakref.finalize(self, reader.request_stop)
        facts = reader.mailbox.facts
        answered = reader.mailbox.wait_for(lambda: facts.opened or bool(facts.error), timeout_s + OPEN_S)
        if not answered or facts.error:
            self.close()
            raise facts.error or silent(name, "no answer", timeout_s)
        self.size_wh, self.rate = facts.size_wh, facts.rate

    @property
    def reconnects(self) -> int:
        """Connections after the first that delivered a frame."""
        return self._reader.mailbox.facts.reconnects

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames, each newer than the last, until the stream ends or the source is closed.

        Several threads may iterate: each frame goes to one of them.

        Raises:
            InputError: the stream broke or ended without notice, or no frame came within the timeout. With `reconnect`:
                the server refuses access or has no such stream, or `give_up_s` has passed.
            SourceClosedError: the source was closed before.
        """
        self.check_open()
        return self._frames()

    def _frames(self) -> Iterator[Frame]:
        to_bgr = BgrConverter(exact=False)
        while (live := self._next()) is not None:
            frame = frame_from(live, to_bgr)
            self.size_wh = frame.pixels.shape[1], frame.pixels.shape[0]
            yield frame

    def _next(self) -> LiveFrame | None:
        """Wait for the next frame; None at the end."""
        mailbox = self._reader.mailbox
        facts = mailbox.facts
        while True:
            in_time = mailbox.wait_for(lambda: bool(facts.waiting) or facts.ended or self._closed, self._wait_s)
            if self._closed:
                return None
            live = mailbox.take()
            self.dropped, self.damaged_packets = facts.dropped["consumer"], facts.damaged_packets
            if live is not None:
                self.damaged_frames += live.damaged
                return live
            if not in_time:
                raise silent(self.name, "no frame", self._timeout_s)
            if facts.ended and not facts.waiting:
                if facts.error:
                    raise facts.error
                self.exhausted = True
                return None

    def request_stop(self) -> None:
        """Stop reading without waiting for it; running iterations end at once."""
        self._closed = True
        self._reader.stop()

    def close(self) -> None:
        """Stop reading; returns within 0.5 s even if the reader is blocked, which then ends at its own timeout."""
        self.request_stop()
        self._reader.join()


def frame_from(live: LiveFrame, to_bgr: BgrConverter) -> Frame:
    """Convert a decoded frame of a live stream."""
    return Frame(
        to_bgr(live.decoded),
        live.index,
        live.time_s,
        pts=live.decoded.pts,
        time_base=live.decoded.time_base,
        damaged=live.damaged,
        arrival_s=live.arrival_s,
        clock_s=live.clock_s,
    )

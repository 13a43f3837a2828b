"""Cameras and network streams, read in a thread that keeps only the newest frames."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator

import av

from ...engines.errors import InputError
from ..pipeline.frame import Frame
from .reasons import error_reason
from .source_sink import Source
from .video.color_conversion import BgrConverter
from .video.decoding import Decoding
from .video.reader import frame_rate, open_container, video_stream

_SOFTWARE = Decoding()


class LiveSource(Source):
    """Frames of a camera or network stream; a slow consumer gets the newest frame, not a growing backlog.

    A thread reads and decodes. It keeps the newest frames and drops older ones that have not been consumed. Besides
    FFmpeg's own timeouts, every wait of the consumer is limited to the timeout.

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
        self.name = name
        self._location, self._format, self._timeout_s = location, input_format, timeout_s
        self._decoding = decoding
        self._newest: deque[tuple[int, float, av.VideoFrame]] = deque(maxlen=keep)
        self._changed = threading.Condition()
        self._opened = self._ended = False
        self._error: InputError | None = None
        # A daemon thread: a read that blocks inside the driver cannot be cancelled and must not delay process exit.
        self._thread = threading.Thread(target=self._read, name=f"reader of {name}", daemon=True)
        self._thread.start()
        with self._changed:
            answered = self._changed.wait_for(lambda: self._opened or self._ended, timeout_s + 0.5)
        if not answered or self._error:
            self.close()
            raise self._error or self._timeout_error("no answer")

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames, each newer than the last, until the stream ends or the source is closed.

        Raises:
            InputError: the stream broke, or no frame came within the timeout.
        """
        to_bgr = BgrConverter(exact=False)
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._newest or self._ended or self._closed, self._timeout_s):
                    raise self._timeout_error("no frame")
                if self._closed:
                    return
                if not self._newest:
                    if self._error:
                        raise self._error
                    self.exhausted = True
                    return
                index, time_s, decoded = self._newest.popleft()
            yield Frame(to_bgr(decoded), index, time_s, pts=decoded.pts, time_base=decoded.time_base)

    def close(self) -> None:
        """Stop reading; returns within 0.5 s even if the reader is blocked, which then ends at its own timeout."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=0.5)

    def _timeout_error(self, problem: str) -> InputError:
        return InputError(f"{problem} from {self.name} for {self._timeout_s:g} s; check that it is on and reachable")

    def _read(self) -> None:
        error = None
        try:
            self._decode()
        except InputError as failure:
            error = failure
        except Exception as failure:  # reported to the consumer thread
            reason = error_reason(failure)
            error = InputError(f"{self.name} disconnected: {reason}; check that it is on and reachable")
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def _decode(self) -> None:
        with open_container(self._location, self.name, self._timeout_s, self._format, self._decoding) as container:
            stream = video_stream(container, self.name)
            stream.codec_context.thread_count = self._decoding.threads
            stream.thread_type = "SLICE"  # frame threading would delay every frame by one frame per thread
            with self._changed:
                self.size_wh, self.rate = (stream.width, stream.height), frame_rate(stream)
                self._opened = True
                self._changed.notify_all()
            start_s, index = time.monotonic(), 0
            for packet in container.demux(stream):
                try:
                    decoded_frames = packet.decode()
                except av.FFmpegError:  # packet loss; decoding recovers at the next key frame
                    continue
                for decoded in decoded_frames:
                    time_s = time.monotonic() - start_s if decoded.time is None else decoded.time
                    self._put(index, time_s, decoded)
                    index += 1
                if self._closed:
                    return

    def _put(self, index: int, time_s: float, decoded: av.VideoFrame) -> None:
        with self._changed:
            self.dropped += len(self._newest) == self._newest.maxlen
            self._newest.append((index, time_s, decoded))
            self._changed.notify_all()

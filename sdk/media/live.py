"""Cameras and streams: always the newest frame, never a hang."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator

import av

from ...engines.errors import InputError
from ..pipeline.frame import Frame
from .base import Source
from .images import why
from .video_reader import BgrReader, frame_rate, open_container, video_stream


class LiveSource(Source):
    """Frames of a camera or a stream, which go on coming whether or not anybody looks.

    A thread reads and decodes; it keeps the newest frames and drops older ones that nobody has taken in time, so that
    a slow consumer sees the present. Beside FFmpeg's own timeouts there is a watchdog: no wait is longer than told.

    Args:
        location: a device or URL, as FFmpeg takes it.
        name: what to call it in a message.
        format: FFmpeg's name of the device's format, or None for a stream.
        timeout_s: seconds to wait for the first answer, and for each frame.
        keep: frames to hold for the consumer.

    Raises:
        InputError: it cannot be opened in time.
    """

    kind = "live"

    def __init__(
        self,
        location: str,
        name: str,
        format: str | None = None,  # noqa: A002
        timeout_s: float = 5.0,
        keep: int = 1,
    ) -> None:
        super().__init__()
        self.name = name
        self._location, self._format, self._timeout_s = location, format, timeout_s
        self._newest: deque[tuple[int, float, av.VideoFrame]] = deque(maxlen=keep)
        self._changed = threading.Condition()
        self._opened = self._ended = False
        self._error: InputError | None = None
        # A daemon: a read that blocks inside the system cannot be called back, and must not keep the program alive.
        self._thread = threading.Thread(target=self._read, name=f"reads {name}", daemon=True)
        self._thread.start()
        with self._changed:
            answered = self._changed.wait_for(lambda: self._opened or self._ended, timeout_s + 0.5)
        if not answered or self._error:
            self.close()
            raise self._error or self._silent("no answer")

    def __iter__(self) -> Iterator[Frame]:
        """Wait for a frame newer than the last one; ends with the stream, or when closed.

        Raises:
            InputError: the stream broke, or no frame came in time.
        """
        bgr = BgrReader(exact=False)
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._newest or self._ended or self._closed, self._timeout_s):
                    raise self._silent("no frame")
                if self._closed:
                    return
                if not self._newest:
                    if self._error:
                        raise self._error
                    self.exhausted = True
                    return
                index, time_s, decoded = self._newest.popleft()
            yield Frame(bgr(decoded), index, time_s, pts=decoded.pts, time_base=decoded.time_base)

    def close(self) -> None:
        """Stop reading; returns soon even if the reader is blocked, which then ends by its own timeout."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=0.5)

    def _silent(self, what: str) -> InputError:
        return InputError(f"{what} from {self.name} for {self._timeout_s:g} s; see whether it is on and reachable")

    def _read(self) -> None:
        error = None
        try:
            self._decode()
        except InputError as failure:
            error = failure
        except Exception as failure:  # the consumer must learn of whatever ends this thread
            error = InputError(f"{self.name} broke off: {why(failure)}; see whether it is on and reachable")
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def _decode(self) -> None:
        with open_container(self._location, self.name, self._timeout_s, self._format) as container:
            stream = video_stream(container, self.name)
            stream.thread_type = "SLICE"  # threads that each hold a frame would delay every one of them
            with self._changed:
                self.size_wh, self.rate = (stream.width, stream.height), frame_rate(stream)
                self._opened = True
                self._changed.notify_all()
            start_s, index = time.monotonic(), 0
            for packet in container.demux(stream):
                try:
                    decoded_frames = packet.decode()
                except av.FFmpegError:  # a lossy network; the next key frame mends it
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

"""Video files as sources: one frame at a time, with the file's own timestamps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from ...engines.errors import InputError
from ..frame import Frame
from .pictures import why
from .source import Source
from .truncation import missing_bytes
from .video_frames import BgrReader, display_matrix, frame_rate, open_container, video_stream


class VideoSource(Source):
    """The frames of a video that has an end: a file, or a file behind a URL.

    Args:
        location: a path or a URL, as FFmpeg takes it.
        path: the file, None for a URL.
        name: what to call it in a message.
        timeout_s: seconds to wait for a URL.

    Attributes:
        location: as given.
        time_base: seconds a unit of `Frame.pts`.
        pixel_aspect: width of a pixel over its height, once upright.
        primaries, transfer: FFmpeg's numbers for the colours' primaries and transfer curve.

    Raises:
        InputError: it cannot be opened, or not one frame can be decoded.
    """

    kind = "video"

    def __init__(self, location: str, path: Path | None, name: str, timeout_s: float) -> None:
        super().__init__()
        self.location, self.path, self.name = location, path, name
        self._timeout_s = timeout_s
        with open_container(location, name, timeout_s) as container:
            stream = video_stream(container, name)
            self.frame_count = stream.frames or None
            self.rate = frame_rate(stream)
            self.time_base = stream.time_base or Fraction(1, 90_000)
            first = next(_decoded(container, stream, _Damage()), None)
            if first is None:
                raise InputError(f"{name} holds no frame that can be decoded; copy or convert it again")
            context = stream.codec_context
            self.primaries, self.transfer = int(context.color_primaries), int(context.color_trc)
            self.pixel_aspect = stream.sample_aspect_ratio or Fraction(1)
            self.size_wh = (first.width, first.height)
            matrix = display_matrix(first)
            if matrix is not None and abs(int(matrix[0, 1])) > abs(int(matrix[0, 0])):
                self.size_wh, self.pixel_aspect = (first.height, first.width), 1 / self.pixel_aspect

    def __iter__(self) -> Iterator[Frame]:
        """Decode from the first frame on, with as many threads as the machine has cores.

        Raises:
            InputError: after all frames that can be decoded, if the data ends before the file's own end.
        """
        self.exhausted = False
        bgr, damage, index = BgrReader(), _Damage(), -1
        with open_container(self.location, self.name, self._timeout_s) as container:
            stream = video_stream(container, self.name)
            stream.thread_type = "AUTO"
            for index, decoded in enumerate(_decoded(container, stream, damage)):
                if self._closed:
                    return
                yield self._frame(bgr, decoded, index)
        self._check_end(damage, frames=index + 1)
        self.exhausted = True

    def _frame(self, bgr: BgrReader, decoded: av.VideoFrame, index: int) -> Frame:
        pts, time_base = decoded.pts, decoded.time_base or self.time_base
        if pts is None:  # a bare stream without a container has no timestamps
            pts = round(index / (self.rate or 25) / time_base)
        return Frame(bgr(decoded), index, float(pts * time_base), pts=pts, time_base=time_base)

    def _check_end(self, damage: _Damage, frames: int) -> None:
        if damage.skipped:
            self.notes.append(f"{self.name}: {damage.skipped} damaged packets were skipped")
        missing = missing_bytes(self.path) if self.path else 0
        if damage.end or missing:
            cause = damage.end or f"{missing} bytes are missing"
            raise InputError(f"{self.name} ends too early, after {frames} frames ({cause}); copy the file again")


class _Damage:
    """What could not be decoded on the way."""

    def __init__(self) -> None:
        self.skipped = 0
        self.end = ""


def _decoded(container: InputContainer, stream: VideoStream, damage: _Damage) -> Iterator[av.VideoFrame]:
    """Decode a stream to its end; a damaged packet is counted and skipped, as players do."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError) as error:
            damage.end = why(error)
            with suppress(av.FFmpegError):
                yield from stream.decode(None)
            return
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.FFmpegError:
            damage.skipped += 1
            continue
        yield from frames

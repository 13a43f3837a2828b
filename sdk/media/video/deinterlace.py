"""Deinterlacing with FFmpeg's filter bwdif: one frame for each interlaced frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise

import av
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext

from .damage import Mark, MarkedFrame

# AVFieldOrder: TT and BB store the fields one after the other, TB and BT interleaved, as the codes 9 and 14 of
# QuickTime and Matroska.
_FIELD_ORDERS = {2: "tff", 3: "bff", 4: "tff", 5: "bff"}
# Decoders that tell for each frame whether it is interlaced; of other codecs only the container knows.
_TELLING = frozenset(
    {"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4", "vc1", "wmv3", "prores", "dvvideo", "ffv1", "cavs"}
)
_MIN_WIDTH, _MIN_HEIGHT = 3, 4  # of bwdif


def container_field_order(context: VideoCodecContext) -> str | None:
    """Field order that only the container tells: "tff" or "bff"; None if progressive or told by each frame."""
    order = _FIELD_ORDERS.get(int(getattr(context, "field_order", 0)))  # PyAV before 18 does not have it
    return None if context.name in _TELLING else order


def deinterlaced(
    frames: Iterator[MarkedFrame], field_order: str | None, begin: Callable[[], None]
) -> Iterator[MarkedFrame]:
    """Deinterlace frames; progressive ones are passed on, before the first interlaced one without any work.

    Args:
        frames: decoded frames with their marks.
        field_order: order of all frames, see `container_field_order`; None: each frame tells.
        begin: called at the first interlaced frame.

    Yields:
        As many frames, in the same order and with the same timestamps. A deinterlaced frame has the marks of its
        neighbors too, because fields are interpolated in time.
    """
    bwdif: _Bwdif | None = None
    for frame, marks in frames:
        if bwdif is None:
            if not _is_interlaced(frame, field_order):
                yield frame, marks
                continue
            begin()
        if bwdif is None or not bwdif.fits(frame):
            if bwdif is not None:
                yield from bwdif.flush()
            bwdif = _Bwdif(frame, field_order)
        yield from bwdif.push(frame, marks)
    if bwdif is not None:
        yield from bwdif.flush()


def _is_interlaced(frame: av.VideoFrame, field_order: str | None) -> bool:
    interlaced = frame.interlaced_frame or field_order is not None
    return interlaced and frame.width >= _MIN_WIDTH and frame.height >= _MIN_HEIGHT


class _Bwdif:
    """Filter for frames of one size and format; it returns each frame when it has seen the next."""

    def __init__(self, frame: av.VideoFrame, field_order: str | None) -> None:
        self._shape = frame.width, frame.height, frame.format.name
        self._inside: deque[tuple[int | None, int, Fraction | None, tuple[Mark, ...]]] = deque()
        self._before: tuple[Mark, ...] = ()
        self._graph = Graph()
        source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 1000)
        )
        chain = [source]
        if field_order is not None:
            chain.append(self._graph.add("setfield", field_order))
        chain.append(self._graph.add("bwdif", "mode=send_frame:deint=interlaced"))
        chain.append(self._graph.add("buffersink"))
        for left, right in pairwise(chain):
            left.link_to(right)
        self._graph.configure()

    def fits(self, frame: av.VideoFrame) -> bool:
        return (frame.width, frame.height, frame.format.name) == self._shape

    def push(self, frame: av.VideoFrame, marks: tuple[Mark, ...]) -> Iterator[MarkedFrame]:
        self._inside.append((frame.pts, frame.duration, frame.time_base, marks))
        frame.pts = len(self._inside)  # bwdif needs some timestamp
        self._graph.vpush(frame)
        yield from self._pull()

    def flush(self) -> Iterator[MarkedFrame]:
        self._graph.vpush(None)
        yield from self._pull()

    def _pull(self) -> Iterator[MarkedFrame]:
        while self._inside:
            try:
                frame = self._graph.vpull()
            except (BlockingIOError, EOFError):  # it waits for the next frame, or has returned all
                return
            pts, duration, time_base, marks = self._inside.popleft()
            frame.pts, frame.duration = pts, duration
            if time_base is not None:
                frame.time_base = time_base
            after = self._inside[0][3] if self._inside else ()
            yield frame, self._before + marks + after
            self._before = marks

"""Begin to decode a video at a key frame, and still know the index of every frame."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from .....engines.errors import FacesrError, InputError
from ...reasons import error_reason
from ..deinterlace import container_field_order
from ..input_container import has_side_alpha, video_stream

_CONTAINERS = ("mov", "matroska")
"""Beginnings of FFmpeg's names of containers whose timestamps neither jump nor are guessed."""
_KEY_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg", "prores"})
"""Codecs whose key frames need nothing from the frames before, and neither do those that are shown later."""
_IDR = 5
"""Type of the H.264 unit of a picture after which nothing refers to what was before; others may refresh gradually."""


class SkipError(FacesrError):
    """The frames are not those that the packets let expect: decode from the start."""


@dataclass(frozen=True)
class Skip:
    """Where decoding begins.

    Args:
        packet: number of the packet of a key frame, in the order of decoding.
        index: index of that frame, in the order of presentation.
    """

    packet: int
    index: int


@dataclass(frozen=True)
class VideoIndex:
    """What the packets of a video tell without decoding.

    Args:
        frames: number of packets, which is that of the frames unless these are damaged, or fields.
        keys: key frames at which decoding may begin, by index; empty if it has to begin at the start.
    """

    frames: int
    keys: tuple[Skip, ...]

    def skip_to(self, first: int) -> Skip | None:
        """The last key frame up to a frame; None for the start."""
        number = bisect_right(self.keys, first, key=lambda key: key.index)
        return self.keys[number - 1] if number and self.keys[number - 1].index else None


def index_video(path: Path, advance: Callable[[], None] = lambda: None) -> VideoIndex:
    """Read the packets of a video file.

    Args:
        path: of the file.
        advance: called for every packet.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with av.open(str(path.absolute())) as container:
            stream = video_stream(container, str(path))
            exact = container.format.name.startswith(_CONTAINERS) and _is_exact(stream)
            stamps: list[int] = []
            keys: list[int] = []
            for packet in container.demux(stream):
                advance()
                if not packet.size:
                    continue
                exact = exact and packet.pts is not None and not packet.is_corrupt and not packet.is_discard
                if exact and packet.is_keyframe and _refreshes(packet, stream):
                    keys.append(len(stamps))
                stamps.append(packet.pts or 0)
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error_reason(error)}; copy the file again") from error
    return VideoIndex(len(stamps), _keys(stamps, keys) if exact else ())


def _is_exact(stream: VideoStream) -> bool:
    """Whether each frame can be told by its timestamp: progressive, and nothing but the decoder's output."""
    context = stream.codec_context
    return context.name in _KEY_CODECS and container_field_order(context) is None and not has_side_alpha(stream)


def _keys(stamps: Sequence[int], keys: Sequence[int]) -> tuple[Skip, ...]:
    shown = np.sort(np.asarray(stamps, np.int64))
    if len(shown) < 2 or (np.diff(shown) == 0).any():
        return ()
    return tuple(Skip(key, int(np.searchsorted(shown, stamps[key]))) for key in keys)


def _refreshes(packet: Packet[VideoStream], stream: VideoStream) -> bool:
    """Whether nothing after a key frame refers to what was before it."""
    if stream.codec_context.name != "h264":
        return True
    return any(unit & 31 == _IDR for unit in _unit_headers(bytes(packet), stream.codec_context.extradata))


def _unit_headers(data: bytes, extradata: bytes | None) -> list[int]:
    """First byte of each H.264 unit."""
    headers, at = [], 0
    if extradata and extradata[0] == 1 and len(extradata) > 4:  # a length before each unit
        length = (extradata[4] & 3) + 1
        while at + length < len(data):
            headers.append(data[at + length])
            at += length + int.from_bytes(data[at : at + length], "big")
        return headers
    while (at := data.find(b"\0\0\1", at)) >= 0 and at + 3 < len(data):
        headers.append(data[at + 3])
        at += 3
    return headers


class SkippedFrames:
    """Checks that the frames after a `Skip` have the timestamps of the packets that they should be decoded from.

    Args:
        skip: where decoding begins.
    """

    def __init__(self, skip: Skip) -> None:
        self._skip, self._next = skip, skip.index
        self._packets = 0
        self._shown: list[int] = []

    def is_decoded(self, packet: Packet[Stream]) -> bool:
        """Whether the next packet, in order and on the timeline, is to be decoded."""
        insort(self._shown, packet.pts or 0)
        self._packets += 1
        return self._packets > self._skip.packet

    def is_wanted(self, frame: av.VideoFrame) -> bool:
        """Whether a frame comes not before the key frame.

        Raises:
            SkipError: it is another one than expected, or interlaced.
        """
        if frame.pts is None or frame.interlaced_frame:
            raise SkipError("frames without timestamps, or interlaced ones")
        index = bisect_left(self._shown, frame.pts)
        if index < self._skip.index:
            return False
        if index != self._next or index >= len(self._shown) or self._shown[index] != frame.pts:
            raise SkipError(f"expected frame {self._next}, got frame {index}")
        self._next += 1
        return True

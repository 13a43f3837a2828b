"""Container formats of video files, with the codecs that they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import av


@dataclass(frozen=True)
class ContainerFormat:
    """Container format of a video file.

    Args:
        container: FFmpeg name of the container format.
        codecs: codecs that it holds and players support; the first is the default.
        options: FFmpeg options of the container.
        time_base: fixed time base of the format in seconds; None to use that of the source.
        max_side: maximum width and height in pixels.
        even_sides: whether width and height must be even.
    """

    container: str
    codecs: tuple[str, ...]
    options: dict[str, str] = field(default_factory=dict)
    time_base: Fraction | None = None
    max_side: int = 16_384
    even_sides: bool = True


# Keep negative timestamps (AAC priming): FFmpeg would shift all streams, including the video.
_COMMON = {"avoid_negative_ts": "disabled", "flush_packets": "1"}
# Fragments of 1 s while writing, so that a killed process leaves a playable file, and a regular index at the end.
# Before FFmpeg 8.1, writing that index with delay_moov, which exact start times require, loses frames; there the file
# stays fragmented.
_HYBRID = av.library_versions["libavformat"] >= (62, 12, 0)
_FRAGMENTS = "+delay_moov+hybrid_fragmented" if _HYBRID else "+delay_moov+frag_keyframe"
_MP4 = _COMMON | {"movflags": _FRAGMENTS, "frag_duration": "1000000"}
_GIF = {"flush_packets": "1"}
_MATROSKA = _COMMON | {"cluster_time_limit": "1000"}

CONTAINER_FORMATS = {
    ".mp4": ContainerFormat("mp4", ("h264", "hevc", "av1", "vp9"), _MP4),
    ".m4v": ContainerFormat("mp4", ("h264", "hevc", "av1", "vp9"), _MP4),
    ".mov": ContainerFormat("mov", ("h264", "hevc", "av1"), _MP4),
    ".mkv": ContainerFormat("matroska", ("h264", "hevc", "av1", "vp9"), _MATROSKA),
    ".avi": ContainerFormat("avi", ("h264",), _COMMON),
    ".webm": ContainerFormat("webm", ("vp9", "av1"), _MATROSKA, even_sides=False),
    ".gif": ContainerFormat("gif", ("gif",), _GIF, Fraction(1, 100), 65_535, even_sides=False),
}

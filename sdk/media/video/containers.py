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
        deep_codec: default codec of videos of more than 8 bits per sample; None: it holds 8 bits only.
        alpha_codec: default codec of videos with transparency; None: it holds none.
        audio_codec: FFmpeg encoder of audio whose codec it does not hold; None: it has no audio.
        subtitle_codec: text subtitles that it holds; None: it has no subtitles.
        copies: types of streams that it holds beside the video, if it holds their codec.
        chapters: whether it holds chapters and a time code.
        options: FFmpeg options of the container.
        time_base: fixed time base of the format in seconds; None to use that of the source.
        max_side: maximum width and height in pixels.
        even_sides: whether width and height must be even.
    """

    container: str
    codecs: tuple[str, ...]
    deep_codec: str | None = None
    alpha_codec: str | None = None
    audio_codec: str | None = None
    subtitle_codec: str | None = None
    copies: frozenset[str] = frozenset({"audio", "subtitle"})
    chapters: bool = True
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
# Start times are stored in units of the movie time scale, 1 ms by default.
_MP4 = _COMMON | {"movflags": _FRAGMENTS, "frag_duration": "1000000", "movie_timescale": "90000"}
_GIF = {"flush_packets": "1"}
_MATROSKA = _COMMON | {"cluster_time_limit": "1000"}


def _iso(container: str, *codecs: str, alpha_codec: str | None = None) -> ContainerFormat:
    # Not covers: FFmpeg writes an empty video track for each into fragments.
    copies = frozenset({"audio", "subtitle", "data"})
    return ContainerFormat(container, codecs, "hevc", alpha_codec, "aac", "mov_text", copies, options=_MP4)


CONTAINER_FORMATS = {
    ".mp4": _iso("mp4", "h264", "hevc", "av1", "vp9"),
    ".m4v": _iso("mp4", "h264", "hevc", "av1", "vp9"),
    ".mov": _iso("mov", "h264", "hevc", "av1", "prores", alpha_codec="prores"),
    ".mkv": ContainerFormat(
        "matroska",
        ("h264", "hevc", "av1", "vp9", "prores"),
        "hevc",
        "vp9",
        "aac",
        "subrip",
        frozenset({"audio", "subtitle", "attachment"}),
        options=_MATROSKA,
    ),
    ".avi": ContainerFormat(
        "avi", ("h264",), audio_codec="libmp3lame", copies=frozenset({"audio"}), chapters=False, options=_COMMON
    ),
    ".webm": ContainerFormat(
        "webm", ("vp9", "av1"), "av1", "vp9", "libopus", "webvtt", options=_MATROSKA, even_sides=False
    ),
    ".gif": ContainerFormat(
        "gif",
        ("gif",),
        alpha_codec="gif",
        copies=frozenset(),
        chapters=False,
        options=_GIF,
        time_base=Fraction(1, 100),
        max_side=65_535,
        even_sides=False,
    ),
}

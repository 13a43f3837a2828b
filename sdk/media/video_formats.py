"""How each kind of video file is written: container, codec and their settings."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import av


@dataclass(frozen=True)
class VideoFormat:
    """One way to write a video.

    Args:
        container: FFmpeg's name of the file format.
        codec: FFmpeg's name of the encoder.
        container_options, codec_options: passed to FFmpeg.
        pixel_format: what the encoder takes.
        tick: the only timestamps that the format has, in seconds; None where the source's own are kept.
        largest: longest side in pixels.
        even: whether both sides must be even.
    """

    container: str
    codec: str
    container_options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, str] = field(default_factory=dict)
    pixel_format: str = "yuv420p"
    tick: Fraction | None = None
    largest: int = 16_384
    even: bool = True


# Timestamps below zero (the priming of AAC) stay as they are: shifting every stream would move the picture too.
_KEEP = {"avoid_negative_ts": "disabled", "flush_packets": "1"}
# Fragments of a second while writing, so that even a killed run leaves a playable file; an ordinary index at the end.
# Before FFmpeg 8.1 that last step loses frames where the index waits for the first ones (delay_moov, which alone tells
# their times exactly), so there the file stays in fragments.
_INDEXED = av.library_versions["libavformat"] >= (62, 12, 0)
_FRAGMENTS = "+delay_moov+hybrid_fragmented" if _INDEXED else "+delay_moov+frag_keyframe"
_MP4 = _KEEP | {"movflags": _FRAGMENTS, "frag_duration": "1000000"}
_MATROSKA = _KEEP | {"cluster_time_limit": "1000"}
# Without B frames packets leave in the order of their frames, and every container keeps every timestamp.
_X264 = {"preset": "veryfast", "crf": "18", "bf": "0"}
_VP9 = {"crf": "24", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}

VIDEO_FORMATS = {
    ".mp4": VideoFormat("mp4", "libx264", _MP4, _X264),
    ".m4v": VideoFormat("mp4", "libx264", _MP4, _X264),
    ".mov": VideoFormat("mov", "libx264", _MP4, _X264),
    ".mkv": VideoFormat("matroska", "libx264", _MATROSKA, _X264),
    ".avi": VideoFormat("avi", "libx264", _KEEP, _X264),
    ".webm": VideoFormat("webm", "libvpx-vp9", _MATROSKA, _VP9, even=False),
    ".gif": VideoFormat(
        "gif", "gif", {"flush_packets": "1"}, pixel_format="pal8", tick=Fraction(1, 100), largest=65_535, even=False
    ),
}

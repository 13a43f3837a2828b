"""Text subtitles whose codec the output container does not hold are converted, with bold, italics and line breaks."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import cast

import av
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from av.subtitles.stream import SubtitleStream

TEXT_CODECS = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})
"""FFmpeg's names of subtitles that are text."""


class ConvertedSubtitles:
    """One stream of text subtitles in another codec.

    Args:
        template: input stream.
        encoder: FFmpeg name of the encoder.
    """

    def __init__(self, template: SubtitleStream, encoder: str) -> None:
        self._template, self._encoder = template, encoder

    def open(self, output: OutputContainer, picture: bytes = b"") -> SubtitleStream:
        """Add the stream to a container whose header is not written yet."""
        decoder = self._template.codec_context
        decoder.open(strict=False)
        self._stream = cast(SubtitleStream, output.add_stream(self._encoder))
        self._context = self._stream.codec_context
        self._context.subtitle_header = decoder.subtitle_header
        self._context.time_base = self._stream.time_base = Fraction(1, 1000)
        return self._stream

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[SubtitleStream]]:
        """Convert a packet; none for one without text."""
        try:
            subtitles = self._template.codec_context.decode2(packet)
        except av.FFmpegError:
            return
        if subtitles is None or len(subtitles) == 0:
            return
        converted = self._context.encode_subtitle(subtitles)
        converted.time_base = packet.time_base
        converted.pts, converted.dts, converted.duration = packet.pts, packet.pts, packet.duration
        yield converted

    def flush(self) -> Iterator[Packet[SubtitleStream]]:
        """Nothing is held back."""
        return iter(())

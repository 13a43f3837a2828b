"""Audio whose codec the output container does not hold is decoded and encoded again."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.audio.layout import AudioLayout
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.stream import Stream
from numpy.typing import NDArray

_BITS_PER_SECOND = {"aac": 96_000, "libopus": 64_000, "libmp3lame": 96_000}  # of each channel
_TOLERANCE_S = 0.04  # jitter of timestamps that is not taken for a gap
_FRAME = 1024  # of encoders that take any number of samples


class ConvertedAudio:
    """One audio stream, encoded anew; a gap in its timestamps becomes silence, what overlaps is left out.

    Args:
        template: input stream.
        encoder: FFmpeg name of the encoder.
    """

    def __init__(self, template: AudioStream, encoder: str) -> None:
        self._template, self._encoder = template, encoder

    def open(self, output: OutputContainer, picture: bytes = b"") -> AudioStream:
        """Add the stream to a container whose header is not written yet."""
        decoder = self._template.codec_context
        codec = av.Codec(self._encoder, "w")
        rates = codec.audio_rates or [decoder.sample_rate]
        self._rate = decoder.sample_rate if decoder.sample_rate in rates else 48_000
        self._layout = AudioLayout(_layout(self._encoder, decoder))
        self._stream = cast(AudioStream, output.add_stream(self._encoder, rate=self._rate))
        self._context = self._stream.codec_context
        self._context.layout, self._context.time_base = self._layout.name, Fraction(1, self._rate)
        self._context.bit_rate = _BITS_PER_SECOND[self._encoder] * self._layout.nb_channels
        self._format = self._context.format.name
        self._interleaved = (
            1 if self._format.endswith("p") else self._layout.nb_channels
        )  # values of one sample in a row
        self._resampler = AudioResampler(self._format, self._layout.name, self._rate)
        self._waiting: list[NDArray[Any]] = []  # (channels, samples), or (1, samples · channels) if interleaved
        self._count = 0  # samples that wait
        self._next: int | None = None  # position of the first sample that waits
        return self._stream

    def packets(self, packet: Packet[Stream]) -> Iterator[Packet[AudioStream]]:
        """Convert a packet."""
        try:
            frames = self._template.codec_context.decode(cast("Packet[AudioStream]", packet))
        except av.FFmpegError:  # the gap becomes silence
            return
        for frame in frames:
            yield from self._add(frame)

    def flush(self) -> Iterator[Packet[AudioStream]]:
        """Convert what the decoder and the encoder hold back."""
        for frame in self._template.codec_context.decode(None):
            yield from self._add(frame)
        for frame in self._resampler.resample(None):
            yield from self._append(frame.to_ndarray())
        yield from self._encode(self._count)
        yield from self._stream.encode(None)

    def _add(self, frame: av.AudioFrame) -> Iterator[Packet[AudioStream]]:
        start = None
        if frame.pts is not None and frame.time_base is not None:
            start = round(frame.pts * frame.time_base * self._rate)
        frame.pts = None  # the position is kept here
        for part in self._resampler.resample(frame):
            samples = part.to_ndarray()
            if start is not None:
                self._next = start if self._next is None else self._next
                gap, start = start - (self._next + self._count), None
                if gap > _TOLERANCE_S * self._rate:
                    yield from self._silence(gap, samples)
                elif gap < -_TOLERANCE_S * self._rate:
                    samples = samples[:, min(-gap * self._interleaved, samples.shape[1]) :]
            yield from self._append(samples)

    def _silence(self, count: int, like: NDArray[Any]) -> Iterator[Packet[AudioStream]]:
        for first in range(0, count, self._rate):
            shape = (like.shape[0], min(self._rate, count - first) * self._interleaved)
            yield from self._append(np.zeros(shape, like.dtype))

    def _append(self, samples: NDArray[Any]) -> Iterator[Packet[AudioStream]]:
        self._waiting.append(samples)
        self._count += samples.shape[1] // self._interleaved
        size = self._context.frame_size or _FRAME
        yield from self._encode(self._count // size * size)

    def _encode(self, count: int) -> Iterator[Packet[AudioStream]]:
        """Encode the first `count` samples that wait, in frames of the encoder's size."""
        if count == 0:
            return
        joined = np.concatenate(self._waiting, axis=1)
        size = self._context.frame_size or _FRAME
        for first in range(0, count, size):
            last = min(first + size, count)
            part = np.ascontiguousarray(joined[:, first * self._interleaved : last * self._interleaved])
            frame = av.AudioFrame.from_ndarray(part, self._format, self._layout.name)
            frame.sample_rate, frame.time_base = self._rate, Fraction(1, self._rate)
            frame.pts = (self._next or 0) + first
            yield from self._stream.encode(frame)
        self._waiting, self._count = [joined[:, count * self._interleaved :]], self._count - count
        self._next = (self._next or 0) + count


def _layout(encoder: str, decoder: AudioCodecContext) -> str:
    """Channel layout of the source if the encoder takes it, else stereo."""
    trial = av.CodecContext.create(encoder, "w")
    assert isinstance(trial, AudioCodecContext)
    try:
        trial.sample_rate, trial.layout = 48_000, decoder.layout.name
        trial.format, trial.time_base = cast(Any, av.Codec(encoder, "w").audio_formats)[0], Fraction(1, 48_000)
        trial.open()
    except (av.FFmpegError, ValueError):
        return "stereo"
    return decoder.layout.name

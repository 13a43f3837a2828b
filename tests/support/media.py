"""Small images and videos for the tests of media input and output."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source

WIDTH, HEIGHT = 64, 48
SHARED_VIDEO = Path(__file__).parents[2].parent / "shared" / "video"


def pattern(level: int = 120) -> np.ndarray:
    """(48, 64, 3) uint8 BGR: a horizontal ramp in blue, red in the upper left corner."""
    pixels = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    pixels[:, :, 0] = np.arange(WIDTH) * 2
    pixels[:12, :16] = (0, 0, 255)
    return pixels


def encoded(suffix: str, pixels: np.ndarray | None = None) -> bytes:
    return cv2.imencode(suffix, pattern() if pixels is None else pixels)[1].tobytes()


def make_image(path: Path) -> Path:
    path.write_bytes(encoded(path.suffix.lower()))
    return path


def make_video(
    path: Path, frames: int = 20, pts: list[int] | None = None, audio: tuple[str, ...] = (), codec: str = "libx264",
    pixel_format: str = "yuv420p", options: dict[str, str] | None = None, rotation: int | None = None,
) -> Path:  # fmt: skip
    """Write frames at 25 frames/s with a sine tone in each audio stream.

    Args:
        pts: timestamps in ms; default 0, 40, 80, …
        audio: encoder of each audio stream.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pixel_format
        time_base = Fraction(1, 25) if path.suffix == ".avi" else Fraction(1, 1000)
        video.codec_context.time_base = time_base
        if rotation is not None:
            video.set_display_rotation(rotation)
        tracks = [container.add_stream(encoder, rate=48_000) for encoder in audio]
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(pattern(index * 10 % 200 + 40), "bgr24")
            frame.pts, frame.time_base = pts[index] if pts else round(index / 25 / time_base), time_base
            container.mux(video.encode(frame))
            for number, track in enumerate(tracks):
                samples = np.arange(index * 1920, (index + 1) * 1920)
                tone = (np.sin(samples * (0.05 + 0.02 * number)) * 9000).astype(np.int16)[None]
                audio_frame = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
                audio_frame.sample_rate, audio_frame.pts = 48_000, index * 1920
                audio_frame.time_base = Fraction(1, 48_000)
                container.mux(track.encode(audio_frame))
        for stream in (video, *tracks):
            container.mux(stream.encode(None))
    return path


def convert(source_path: Path, output: Path, scale: int = 1, stop_after: int | None = None) -> list[str]:
    """Write the frames of a source, enlarged by pixel repetition; returns the notes of the sink.

    Args:
        stop_after: index of the frame at which KeyboardInterrupt is raised.
    """
    with open_source(source_path) as source, open_sink(output, source, outscale=scale) as sink:
        for frame in source:
            if frame.index == stop_after:
                raise KeyboardInterrupt
            sink.write(frame, np.repeat(np.repeat(frame.pixels, scale, 0), scale, 1))
    return sink.notes


def timestamps(path: Path) -> list[float]:
    with open_source(path) as source:
        return [frame.time_s for frame in source]


def audio_packets(path: Path, track: int = 0) -> list[tuple[float, bytes]]:
    """Time in s and data of each packet."""
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[track])
        return [(float(p.pts * p.time_base), bytes(p)) for p in packets if p.pts is not None and p.size]


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    """Message of an error, which must be one line with a reason or remedy."""
    text = str(error.value)
    assert "\n" not in text
    assert ";" in text or ":" in text
    return text

"""Pixel aspect ratio in every container."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.encoding.matroska_aspect import display_size, with_display_size
from support.media import timestamps

SAR = Fraction(32, 27)


def anamorphic(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 72, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = SAR
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((48, 72, 3), 80 * index, np.uint8), "bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("output", "codec"),
    [
        *[(name, None) for name in ("o.mp4", "o.mov", "o.mkv", "o.webm", "o.avi")],
        *[("o.mkv", codec) for codec in ("vp9", "av1", "hevc")],
        ("o.webm", "av1"),
    ],
)
@pytest.mark.parametrize("scale", [1, 3])
def test_pixel_aspect_is_kept(tmp_path: Path, output: str, codec: str | None, scale: int) -> None:
    options = EncodeOptions(codec=codec)
    with (
        open_source(anamorphic(tmp_path / "in.mp4")) as source,
        open_sink(tmp_path / output, source, outscale=scale, options=options) as sink,
    ):
        for frame in source:
            sink.write(frame, frame.pixels.repeat(scale, 0).repeat(scale, 1))
    assert sink.notes == []
    with av.open(str(tmp_path / output)) as container:
        assert container.streams.video[0].sample_aspect_ratio == SAR
        assert "title" not in container.streams.video[0].metadata
    assert len(timestamps(tmp_path / output)) == 3


def test_gif_shows_square_pixels_with_a_note(tmp_path: Path) -> None:
    with open_source(anamorphic(tmp_path / "in.mp4")) as source, open_sink(tmp_path / "o.gif", source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
    assert sink.notes == ["pixels of 32:27 shown square: .gif holds no other"]


@pytest.mark.parametrize(
    ("size_wh", "aspect", "expected"),
    [
        ((720, 480), Fraction(32, 27), (848, 477)),  # 16:9
        ((720, 576), Fraction(16, 15), (768, 576)),  # 4:3
        ((640, 480), Fraction(1001, 1000), (641, 480)),
        ((1440, 1080), Fraction(4, 3), (1920, 1080)),
    ],
)
def test_display_size_has_the_display_aspect_ratio(
    size_wh: tuple[int, int], aspect: Fraction, expected: tuple[int, int]
) -> None:
    assert display_size(size_wh, aspect) == expected


@pytest.mark.parametrize("data", [b"", b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67\x01", bytes(100)])
def test_other_data_is_left_alone(data: bytes) -> None:
    assert with_display_size(data, (16, 9)) is None

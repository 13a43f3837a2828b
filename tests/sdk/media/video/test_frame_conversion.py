"""What videos have beside 8 opaque bits of one size: depth, HDR, opacity, other resolutions, and what is left out."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.frame_conversion import FrameConverter
from facesr_edge.sdk.media.video.hdr import HdrMetadata
from facesr_edge.sdk.media.video.reader import VideoSource
from support.media import make_video

RED_BLUE = {1: (0.2126, 0.0722), 9: (0.2627, 0.0593), 5: (0.299, 0.114)}  # luma coefficients by FFmpeg's matrix
COLORS = [(940, 512, 512), (64, 512, 512), (500, 512, 512), (500, 600, 400), (300, 450, 700), (700, 420, 560)]


def reference(luma: int, blue: int, red: int, matrix: int) -> np.ndarray:
    """BGR, 0 to 1, of limited range 10-bit YUV."""
    red_weight, blue_weight = RED_BLUE[matrix]
    y, cb, cr = (luma - 64) / 876, (blue - 512) / 896, (red - 512) / 896
    r, b = y + 2 * (1 - red_weight) * cr, y + 2 * (1 - blue_weight) * cb
    g = (y - red_weight * r - blue_weight * b) / (1 - red_weight - blue_weight)
    return np.clip([b, g, r], 0, 1)


@pytest.mark.parametrize("matrix", RED_BLUE)
@pytest.mark.parametrize("color", COLORS)
def test_ten_bit_colors_are_exact(color: tuple[int, int, int], matrix: int) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p10le")
    for plane, value in zip(frame.planes, color, strict=True):
        plane.update(np.full(plane.buffer_size // 2, value, np.uint16).tobytes())
    frame.colorspace, frame.color_range = matrix, 1
    converted = FrameConverter((64, 48), deep=True)(frame)
    assert converted.deep is not None
    expected = reference(*color, matrix)
    np.testing.assert_allclose(converted.deep[20, 20], expected * 65_535, atol=60)  # 1/4 of an 8-bit level
    np.testing.assert_allclose(converted.pixels[20, 20], expected * 255, atol=0.75)
    np.testing.assert_array_equal(converted.pixels, np.rint(converted.deep / 257).astype(np.uint8))


def test_ten_bit_video_has_deep_pixels(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mkv", 3, codec="ffv1", pixel_format="yuv444p10le")
    with open_source(tmp_path / "v.mkv") as source:
        assert isinstance(source, VideoSource)
        frames = list(source)
    assert source.bit_depth == 10
    assert all(frame.deep is not None and frame.deep.shape == frame.pixels.shape for frame in frames)
    make_video(tmp_path / "v.mp4", 3)
    assert next(iter(open_source(tmp_path / "v.mp4"))).deep is None


@pytest.mark.skipif("libx265" not in av.codecs_available, reason="needs libx265")
def test_hdr10_metadata_is_read(tmp_path: Path) -> None:
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    colors = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    parameters = f"log-level=0:{colors}:master-display={display}:max-cll=1000,400"
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx265", rate=25, options={"x265-params": parameters})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = 9, 16, 9
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), 77, np.uint8), "bgr24")))
        container.mux(stream.encode(None))
    with open_source(tmp_path / "v.mp4") as source:
        assert isinstance(source, VideoSource)
        assert (source.primaries, source.transfer, source.matrix, source.bit_depth) == (9, 16, 9, 10)
        assert source.hdr == HdrMetadata(
            (
                (Fraction(34, 50), Fraction(16, 50)),
                (Fraction(1325, 5000), Fraction(3450, 5000)),
                (Fraction(75, 500), Fraction(3, 50)),
            ),
            (Fraction(15635, 50_000), Fraction(16450, 50_000)),
            (Fraction(1, 10_000), Fraction(1000)),
            1000,
            400,
        )


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "opaque"),
    [
        ("v.mov", "png", "rgba", 255),
        ("v.mov", "qtrle", "argb", 255),
        ("v.mov", "prores_ks", "yuva444p10le", 65_535),
        ("v.webm", "libvpx-vp9", "yuva420p", 255),
        ("v.mkv", "ffv1", "yuva444p10le", 65_535),
    ],
)
def test_opacity_is_read(tmp_path: Path, name: str, codec: str, pixel_format: str, opaque: int) -> None:
    pixels = np.full((48, 64, 4), (40, 90, 180, 255), np.uint8)
    pixels[:, 40:, 3] = 128
    pixels[:24, :32] = (255, 0, 255, 0)  # invisible magenta
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixel_format
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(pixels, "bgra").reformat(format=pixel_format)
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    frames = list(open_source(tmp_path / name))
    assert len(frames) == 3
    for frame in frames:
        assert frame.alpha is not None
        assert frame.alpha[40, 10] >= opaque * 0.99
        assert frame.alpha[10, 10] <= opaque * 0.02
        assert frame.alpha[40, 60] == pytest.approx(opaque / 2, rel=0.03)
        if codec in ("png", "qtrle"):
            np.testing.assert_array_equal(frame.pixels[5, 5], (40, 90, 180))


def test_opaque_frames_have_no_alpha(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mov", 3, codec="png", pixel_format="rgba")
    assert all(frame.alpha is None for frame in open_source(tmp_path / "v.mov"))


def test_frames_of_another_resolution_are_scaled_to_the_first(tmp_path: Path) -> None:
    make_video(tmp_path / "a.ts", 20)
    with av.open(str(tmp_path / "b.ts"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        for _ in range(20):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((80, 96, 3), 77, np.uint8), "bgr24")))
        container.mux(stream.encode(None))
    (tmp_path / "v.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    with open_source(tmp_path / "v.ts") as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(40))
    assert {frame.pixels.shape for frame in frames} == {(48, 64, 3)}
    assert frames[-1].pixels.mean() == pytest.approx(77, abs=3)
    assert sum("another resolution" in note for note in source.notes) == 1

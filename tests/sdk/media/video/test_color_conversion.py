"""Conversion between BGR and YUV: accuracy, equality with swscale, ownership of memory."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.color_conversion import BgrConverter, apply_display_matrix, display_matrix
from facesr_edge.sdk.media.video.encoding.yuv_conversion import YuvConverter, yuv420_from_bgr
from support.media import make_video

ACCURATE = 0x2 | 0x40000 | 0x2000  # swscale: bilinear, accurate rounding, full chroma interpolation


def picture(height: int = 128, width: int = 192) -> np.ndarray:
    """(H, W, 3) uint8 BGR: random colors that vary smoothly, with noise."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (8, 12, 3)).astype(np.float32), (width, height))
    return np.clip(smooth + rng.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def reference(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Y, Cb and Cr in floating point: BT.709, limited range, chroma as the mean of 2x2 pixels."""
    blue, green, red = (pixels[:, :, channel].astype(float) / 255 for channel in range(3))
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    halves = (
        128 + 224 * (blue - luma) / 1.8556,
        128 + 224 * (red - luma) / 1.5748,
    )
    height, width = luma.shape
    cb, cr = (half.reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for half in halves)
    return 16 + 219 * luma, cb, cr


@pytest.mark.parametrize(("height", "width"), [(128, 192), (66, 34), (2, 2), (130, 4)])
def test_yuv_is_unbiased_and_within_one_level(height: int, width: int) -> None:
    pixels = picture(height, width)
    planes = yuv420_from_bgr(pixels)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    for plane, expected in zip((planes[:height], *chroma), reference(pixels), strict=True):
        difference = plane - expected
        assert np.abs(difference).max() < 1.2
        if plane.size > 4000:
            assert abs(difference.mean()) < 0.1
            assert np.sqrt(np.square(difference).mean()) < 0.36


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_gray_has_neutral_chroma(level: int) -> None:
    planes = yuv420_from_bgr(np.full((64, 64, 3), level, np.uint8))
    assert np.abs(planes[:64] - (16 + 219 * level / 255)).max() <= 0.6
    assert set(np.unique(planes[64:])) == {128}


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255)])
def test_saturated_colors_are_not_clipped(color: tuple[int, int, int]) -> None:
    pixels = np.full((4, 4, 3), color, np.uint8)
    planes = yuv420_from_bgr(pixels)
    values = (planes[0, 0], *planes[4:].reshape(2, -1)[:, 0])
    np.testing.assert_allclose(values, [plane[0, 0] for plane in reference(pixels)], atol=0.8)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12"])
@pytest.mark.parametrize("size", [(64, 96), (63, 95)])
def test_round_trip_keeps_size_and_color(pixel_format: str, size: tuple[int, int]) -> None:
    pixels = np.full((*size, 3), (60, 120, 200), np.uint8)
    frame = YuvConverter(pixel_format)(pixels)
    assert (frame.height, frame.width, frame.format.name) == (*size, pixel_format)
    assert (frame.colorspace, frame.color_range) == (1, 1)
    assert np.abs(BgrConverter()(frame).astype(int) - pixels).max() <= 2


def test_view_with_a_row_stride_is_converted(tmp_path: Path) -> None:
    pixels = picture()
    np.testing.assert_array_equal(yuv420_from_bgr(pixels[:, 32:96]), yuv420_from_bgr(pixels[:, 32:96].copy()))


@pytest.mark.parametrize(
    "pixel_format",
    ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "nv12", "yuyv422", "gray", "gray10le", "bgr24", "rgba",
     "bgr8", "rgb565le", "gbrp"],
)  # fmt: skip
@pytest.mark.parametrize("colorspace", [1, 5])
def test_bgr_is_that_of_swscale_to_the_bit(pixel_format: str, colorspace: int) -> None:
    frame = VideoReformatter().reformat(av.VideoFrame.from_ndarray(picture(96, 130), "bgr24"), format=pixel_format)
    frame.colorspace = colorspace
    dst = 5 if colorspace == 1 else None
    expected = VideoReformatter().reformat(frame, format="bgr24", dst_colorspace=dst, interpolation=ACCURATE)
    np.testing.assert_array_equal(BgrConverter()(frame), expected.to_ndarray())


def test_frames_own_their_memory(tmp_path: Path) -> None:
    """A frame is unchanged after the next ones are decoded, and may be written to."""
    with open_source(make_video(tmp_path / "v.mp4", 12)) as source:
        frames = []
        copies = []
        for frame in source:
            frames.append(frame.pixels)
            copies.append(frame.pixels.copy())
    assert all(np.array_equal(*pair) for pair in zip(frames, copies, strict=True))
    assert all(pixels.flags.writeable for pixels in frames)
    assert not any(np.shares_memory(frames[0], other) for other in frames[1:])


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_frame_with_side_data_unknown_to_pyav_is_turned(tmp_path: Path, orientation: int) -> None:
    """JPEG frames have EXIF as side data, in FFmpeg 8 of a kind that PyAV does not know."""
    from PIL import Image

    exif, image = Image.Exif(), Image.new("RGB", (64, 32))
    image.paste((255, 255, 255), (0, 0, 16, 16))
    exif[274] = orientation
    image.save(tmp_path / "a.jpg", exif=exif)
    with av.open(str(tmp_path / "a.jpg"), format="mjpeg") as container:
        frame = next(container.decode(video=0))
    pixels = apply_display_matrix(frame.to_ndarray(format="bgr24"), display_matrix(frame))
    y, x = {1: (0, 0), 3: (-1, -1), 6: (0, -1), 8: (-1, 0)}[orientation]
    assert pixels[y, x].min() > 200
    (tmp_path / "a.jpg").rename(tmp_path / "a.mp4")
    with open_source(tmp_path / "a.mp4") as source:
        (read,) = source
    assert source.kind == "video"
    np.testing.assert_array_equal(read.pixels, pixels)

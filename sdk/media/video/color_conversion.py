"""Conversion of frames between BGR and the pixel formats of codecs."""

from __future__ import annotations

from typing import cast

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

BT709, LIMITED, UNSPECIFIED, _BT601 = 1, 1, 2, 5
_HD_LINES = 720
# swscale flags: bilinear, accurate rounding; and full chroma interpolation (decoding) or full chroma input (encoding).
# The default conversion darkens each channel by 1 to 1.5 levels and repeats chroma samples; these are unbiased.
_ACCURATE = 0x2 | 0x40000
_DECODE, _ENCODE = _ACCURATE | 0x2000, _ACCURATE | 0x4000


class BgrConverter:
    """Converts decoded frames to BGR with one swscale context for all frames.

    Args:
        exact: unbiased rounding and chroma interpolation; False is several times faster, for live streams.
    """

    def __init__(self, exact: bool = True) -> None:
        self._exact = exact
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Convert a frame of any pixel format: 8 to 16 bits, gray, palette or with alpha.

        Returns:
            (H, W, 3) uint8 BGR with the display matrix (rotation, mirroring) applied; owns its memory.
        """
        # Untagged video as in media players: BT.709 from 720 lines, BT.601 (swscale's default) below.
        if frame.colorspace == UNSPECIFIED and frame.height >= _HD_LINES:
            frame.colorspace = BT709
        return apply_display_matrix(self._bgr(frame), display_matrix(frame))

    def _bgr(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        # PyAV before 17 assumes BT.601 unless the destination differs from the source.
        dst = _BT601 if frame.colorspace == BT709 else None
        flags = _DECODE if self._exact else None
        # swscale has SIMD code for planar RGB with these flags and none for packed: 6.7 ms instead of 10.8 ms at 1080p,
        # and the planes are merged in 0.7 ms. The result is the same to the bit for every YUV and gray format.
        planar = self._exact and not frame.format.is_rgb
        converted = self._reformatter.reformat(
            frame, format="gbrp" if planar else "bgr24", dst_colorspace=dst, interpolation=flags
        )
        if not planar:
            return np.asarray(converted.to_ndarray(), dtype=np.uint8)
        green, blue, red = (_plane(converted, index) for index in range(3))
        return cast("NDArray[np.uint8]", cv2.merge([blue, green, red]))


def _plane(frame: av.VideoFrame, index: int) -> NDArray[np.uint8]:
    plane = frame.planes[index]
    samples: NDArray[np.uint8] = np.frombuffer(cast(bytes, plane), np.uint8)
    return samples.reshape(-1, plane.line_size)[: plane.height, : plane.width]


class YuvConverter:
    """Converts BGR composites to the input of an encoder: BT.709, limited range.

    Args:
        pixel_format: FFmpeg name of the output format.
    """

    def __init__(self, pixel_format: str) -> None:
        self._format = pixel_format
        self._reformatter = VideoReformatter()

    def __call__(self, pixels: NDArray[np.uint8]) -> av.VideoFrame:
        """Convert one composite.

        Args:
            pixels: (H, W, 3) uint8 BGR.
        """
        height, width = pixels.shape[:2]
        if self._format == "yuv420p" and height % 2 == 0 and width % 2 == 0:
            frame = av.VideoFrame.from_numpy_buffer(yuv420_from_bgr(pixels), "yuv420p")
        else:
            frame = self._reformatter.reformat(
                bgr_frame(pixels),
                format=self._format,
                dst_colorspace=BT709,
                dst_color_range=LIMITED,
                interpolation=_ENCODE,
            )
        frame.colorspace, frame.color_range = BT709, LIMITED
        return frame


def bgr_frame(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    """FFmpeg frame on the memory of (H, W, 3) uint8 BGR pixels, without a copy."""
    return av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pixels), "bgr24")


_RED, _BLUE = 0.2126, 0.0722  # luma coefficients of BT.709
_GREEN = 1 - _RED - _BLUE
_LUMA, _CHROMA = 219 / 255, 112 / 255  # limited range: Y 16 to 235, Cb and Cr 16 to 240
# Chroma is the mean of four samples, which INTER_AREA rounds half up: +1/8 of a level on average.
_CHROMA_ZERO = 128 - 1 / 8
_YUV_FROM_BGR = np.array(
    [
        [_LUMA * _BLUE, _LUMA * _GREEN, _LUMA * _RED, 16],
        [_CHROMA, -_CHROMA * _GREEN / (1 - _BLUE), -_CHROMA * _RED / (1 - _BLUE), _CHROMA_ZERO],
        [-_CHROMA * _BLUE / (1 - _RED), -_CHROMA * _GREEN / (1 - _RED), _CHROMA, _CHROMA_ZERO],
    ]
)
_STRIP = 64  # rows converted at a time, so that the intermediate result stays in the cache


def yuv420_from_bgr(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert BGR to planar YUV 4:2:0, BT.709, limited range; each chroma sample is the mean of 2x2 pixels.

    At 3840x2160 it takes 15 ms; swscale with accurate flags takes 26 ms, and 34 ms with the copy into a frame. RMS
    error against floating point: luma 0.29 (swscale 0.29), chroma 0.32 levels (swscale 0.61, with a wider filter).

    Args:
        pixels: (H, W, 3) uint8 with even H and W.

    Returns:
        (H·3/2, W) uint8: the planes Y, Cb and Cr one after another, as FFmpeg's yuv420p.
    """
    height, width = pixels.shape[:2]
    planes = np.empty((height * 3 // 2, width), np.uint8)
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    for top in range(0, height, _STRIP):
        yuv = cv2.transform(pixels[top : top + _STRIP], _YUV_FROM_BGR)  # (rows, W, 3)
        half = cv2.resize(yuv, (width // 2, yuv.shape[0] // 2), interpolation=cv2.INTER_AREA)
        cv2.extractChannel(yuv, 0, planes[top : min(top + _STRIP, height)])
        rows = slice(top // 2, top // 2 + half.shape[0])
        cv2.mixChannels([half], [chroma[0, rows], chroma[1, rows]], [1, 0, 2, 1])
    return planes


def display_matrix(frame: av.VideoFrame) -> NDArray[np.int32] | None:
    """FFmpeg's display matrix of a frame, (3, 3) int32; None if it has none."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return None if data is None else np.frombuffer(cast(bytes, data), np.int32).reshape(3, 3)


def apply_display_matrix(pixels: NDArray[np.uint8], matrix: NDArray[np.int32] | None) -> NDArray[np.uint8]:
    """Rotate and mirror pixels by a display matrix, rounded to multiples of 90 degrees.

    Args:
        pixels: (H, W, 3) uint8.
        matrix: (3, 3) int32; maps a point (x, y) to (a·x + c·y, b·x + d·y).

    Returns:
        (H, W, 3) or (W, H, 3) uint8.
    """
    if matrix is None:
        return pixels
    (a, b), (c, d) = matrix[0, :2], matrix[1, :2]
    x_sign, y_sign = a, d
    if abs(int(b)) > abs(int(a)):
        pixels = pixels.transpose(1, 0, 2)
        x_sign, y_sign = c, b
    return np.ascontiguousarray(pixels[:: -1 if y_sign < 0 else 1, :: -1 if x_sign < 0 else 1])

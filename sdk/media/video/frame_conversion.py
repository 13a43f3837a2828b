"""Conversion of decoded frames to arrays: pixels, and what a source has beside 8 opaque bits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from ..fork import keep_in_child
from ..images.transparency import fill_hidden
from .color_conversion import BgrConverter, apply_display_matrix, display_matrix, planes, tag_matrix

_MAX_16 = 65_535
_YUV_WHITE = 65_283  # of swscale's conversion from limited or full range YUV to 16 bits
_SCALING = 0x4 | 0x40000  # swscale flags: bicubic, accurate rounding


@dataclass(frozen=True)
class Converted:
    """Arrays of a frame, see `Frame`."""

    pixels: NDArray[np.uint8]
    deep: NDArray[np.uint16] | None = None
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None


class FrameConverter:
    """Converts decoded frames of any pixel format to BGR of one size.

    Args:
        size_wh: width and height of the first frame, before rotation; others are scaled to it.
        deep: fill `Frame.deep`.
    """

    def __init__(self, size_wh: tuple[int, int], deep: bool) -> None:
        self._size_wh, self._deep = size_wh, deep
        self._bgr, self._planar, self._scaler = BgrConverter(), VideoReformatter(), VideoReformatter()
        keep_in_child(self)

    def __call__(self, frame: av.VideoFrame) -> Converted:
        """Convert a frame; the display matrix (rotation, mirroring) is applied."""
        if (frame.width, frame.height) != self._size_wh:
            frame = self._scaled(frame)
        has_alpha = _has_alpha(frame.format.name)
        if not self._deep and not has_alpha:
            return Converted(self._bgr(frame))
        tag_matrix(frame)
        name = ("gbrap" if has_alpha else "gbrp") + ("16le" if self._deep else "")
        green, blue, red, *alpha = planes(self._planar, frame, name, np.dtype(np.uint16 if self._deep else np.uint8))
        bgr: NDArray[Any] = np.asarray(cv2.merge([blue, green, red]))
        matrix = display_matrix(frame)
        opacity = _opacity(alpha[0], frame) if alpha else None
        if self._deep:
            _stretch(bgr, _white(frame))
        if opacity is not None:
            fill_hidden(bgr, opacity)
            opacity = apply_display_matrix(opacity, matrix)
        bgr = apply_display_matrix(bgr, matrix)
        if self._deep:
            rounded = cv2.convertScaleAbs(bgr, alpha=1 / 257)
            return Converted(cast("NDArray[np.uint8]", rounded), bgr, opacity)
        return Converted(bgr, None, opacity)

    def _scaled(self, frame: av.VideoFrame) -> av.VideoFrame:
        tag_matrix(frame, explicit=True)
        return self._scaler.reformat(frame, *self._size_wh, interpolation=_SCALING)


def bit_depth(frame: av.VideoFrame) -> int:
    """Bits per sample of a decoded frame."""
    return max((component.bits for component in frame.format.components), default=8)


@cache
def _has_alpha(pixel_format: str) -> bool:
    components = av.VideoFormat(pixel_format).components
    return pixel_format == "pal8" or any(component.is_alpha for component in components)


def _opacity(plane: NDArray[np.generic], frame: av.VideoFrame) -> NDArray[np.uint8] | NDArray[np.uint16] | None:
    """Alpha that owns its memory; None if the frame is opaque."""
    alpha = plane.copy()
    if alpha.dtype == np.uint16:
        _stretch(alpha, _last_code(frame))
    return None if alpha.min() == np.iinfo(alpha.dtype).max else alpha


def _white(frame: av.VideoFrame) -> int:
    """What swscale makes of white in 16 bits."""
    is_gray = len(frame.format.components) < 3
    return _last_code(frame) if frame.format.is_rgb or is_gray else _YUV_WHITE


def _last_code(frame: av.VideoFrame) -> int:
    """Largest sample, shifted to the upper end of 16 bits."""
    bits = min(16, bit_depth(frame))
    return ((1 << bits) - 1) << (16 - bits)


def _stretch(samples: NDArray[Any], white: int) -> None:
    """Map 0 to `white` to the full range, in place."""
    if white < _MAX_16:
        flat = samples.reshape(samples.shape[0], -1)
        cv2.multiply(flat, cast(Any, _MAX_16 / white), dst=flat)

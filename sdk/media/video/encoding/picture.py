"""What is encoded of a frame: the composite with the depth and opacity that the encoder stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ....pipeline.frame import Frame
from ...bit_depth import deep_composite, resize_cubic
from .encoders import Encoder
from .pixel_format import has_alpha, sample_bits
from .yuv_conversion import Pixels


@dataclass(frozen=True, eq=False)
class Picture:
    """Input of an encoder.

    Args:
        pixels: (H, W, 3) BGR: uint8, or uint16 for more than 8 bits.
        alpha: (H, W) opacity of the same dtype; None if opaque.
    """

    pixels: Pixels
    alpha: Pixels | None = None


def is_transparent(frame: Frame) -> bool:
    """Whether any pixel of a frame is not opaque."""
    return frame.alpha is not None and bool(frame.alpha.min() < np.iinfo(frame.alpha.dtype).max)


def picture(frame: Frame, composite: NDArray[np.uint8], encoder: Encoder) -> Picture:
    """Prepare a composite for an encoder.

    Args:
        frame: input frame, with its opacity and its 16-bit pixels if it has any.
        composite: (H, W, 3) uint8 BGR, a multiple of the frame's size.
        encoder: with its pixel format.

    Returns:
        The composite itself for opaque 8-bit video. What the encoder cannot show transparent is composed over black.
    """
    deep = sample_bits(encoder.pixel_format) > 8
    if frame.alpha is None and not deep:
        return Picture(composite)
    pixels: Pixels = deep_composite(frame, composite) if deep else composite
    if frame.alpha is None:
        return Picture(pixels)
    alpha = _enlarged(frame.alpha, pixels)
    return Picture(pixels, alpha) if has_alpha(encoder.pixel_format) else Picture(_over_black(pixels, alpha))


def _enlarged(alpha: Pixels, pixels: Pixels) -> Pixels:
    """Opacity in the size and the dtype of the pixels."""
    if alpha.dtype != pixels.dtype:
        alpha = alpha.astype(np.uint16) * 257 if alpha.dtype == np.uint8 else (alpha >> 8).astype(np.uint8)
    return resize_cubic(alpha, (pixels.shape[1], pixels.shape[0]))


def _over_black(pixels: Pixels, alpha: Pixels) -> Pixels:
    scale = np.float32(1 / np.iinfo(alpha.dtype).max)
    return cast(Pixels, np.rint(pixels * (alpha * scale)[:, :, None]).astype(pixels.dtype))


def padded(picture: Picture, pad: tuple[int, int]) -> Picture:
    """Repeat the last rows and columns, `pad` of each."""
    if not any(pad):
        return picture
    rows_columns = ((0, pad[0]), (0, pad[1]))
    pixels = cast(Pixels, np.pad(picture.pixels, (*rows_columns, (0, 0)), mode="edge"))
    if picture.alpha is None:
        return Picture(pixels)
    return Picture(pixels, cast(Pixels, np.pad(picture.alpha, rows_columns, mode="edge")))

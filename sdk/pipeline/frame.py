"""A frame: the pixels of an image or a video at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError, UnknownNameError, UsageError

Color = Literal["bgr", "rgb"]
"""Order of the channels of an array."""


@dataclass(frozen=True)
class ImageMetadata:
    """Metadata blocks of an image file, as stored; b"" where there is none.

    Args:
        icc: ICC color profile of the pixels.
        exif: EXIF, without the prefix "Exif\\0\\0".
        xmp: XMP packet, UTF-8.
        dpi: horizontal and vertical resolution in dots per inch; None if unknown.
    """

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Frame:
    """An image, or one frame of a video.

    Args:
        pixels: (H, W, 3) uint8 BGR.
        index: position in its source, from 0.
        time_s: presentation time in seconds; 0 for an image.
        name: file name of an image, which outputs in a folder reuse; "" in a video.
        pts: presentation timestamp of the video, in units of `time_base`.
        time_base: seconds per unit of `pts`.
        duration: how long the frame is shown, in units of `time_base`; None if unknown.
        alpha: (H, W) opacity, uint8 or uint16; None if opaque.
        deep: (H, W, 3) uint16 BGR, 0 to 65,535, if the source has more than 8 bits per sample: `pixels` has the upper
            8 bits; else None.
        metadata: color profile and tags of an image.
        damaged: the decoder concealed damage in this frame, or in one that it was predicted from.
        arrival_s: when a frame of a live source was decoded, in seconds of `time.monotonic`; else None.
        clock_s: when the camera took the frame by its own clock, in seconds since 1970 (UTC); None if it does not tell.
        upscaled: the composite of this frame holds faces that a network made: sinks mark their files.

    `alpha`, `deep`, `duration` and `metadata` pass the networks by: sinks write them with the composite.

    Raises:
        InputError: pixels of another shape or dtype.
    """

    pixels: NDArray[np.uint8]
    index: int = 0
    time_s: float = 0.0
    name: str = ""
    pts: int | None = None
    time_base: Fraction | None = None
    duration: int | None = None
    alpha: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    deep: NDArray[np.uint16] | None = None
    metadata: ImageMetadata | None = None
    damaged: bool = False
    arrival_s: float | None = None
    clock_s: float | None = None
    upscaled: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.pixels, np.ndarray):
            raise InputError(f"expected a frame of (H, W, 3) uint8 BGR, got {type(self.pixels).__name__}; use bgr_from")
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] != 3 or 0 in shape:
            raise InputError(
                f"expected a frame of (H, W, 3) uint8 BGR, got {shape} {self.pixels.dtype}; convert it with bgr_from"
            )


def frame_from(image: Any, index: int = 0, *, color: Color = "bgr", bits: int | None = None) -> Frame:
    """Make a frame of an image; a `Frame` stays as it is.

    Args:
        image: a `Frame`, or an array.
        index: of the frame, for an array.
        color, bits: of an array, see `bgr_from`.

    Raises:
        UsageError: color or bits for a `Frame`.
        Others: see `bgr_from`.
    """
    if not isinstance(image, Frame):
        return Frame(bgr_from(image, color=color, bits=bits), index)
    check_is_bgr("a Frame", color, bits)
    return image


def check_is_bgr(what: str, color: Color, bits: int | None) -> None:
    """Raise a UsageError if another layout is given for a frame that is uint8 BGR by its kind."""
    if color != "bgr" or bits not in (None, 8):
        raise UsageError(f"{what} is uint8 BGR, but color is {color!r} and bits is {bits!r}; leave both out")


def bgr_from(pixels: NDArray[Any], *, color: Color = "bgr", bits: int | None = None) -> NDArray[np.uint8]:
    """Convert an image to (H, W, 3) uint8 BGR, without a copy if it has this layout.

    Args:
        pixels: (H, W) or (H, W, 1) grey, (H, W, 3) BGR, or (H, W, 4) BGRA (alpha is dropped), uint8; or uint16, of
            which the upper eight of its bits are kept.
        color: "rgb" if the channels are RGB or RGBA.
        bits: of uint16 values, 8 to 16, e.g. 12 for values of 0 to 4095; None for 16. Values that fill the upper bits,
            as in P010 and in PNG files, have 16.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: another shape or dtype, no pixels, or a value of more bits.
        UsageError: another color, or bits that do not suit the dtype.
    """
    if color not in get_args(Color):
        raise UnknownNameError("color", str(color), get_args(Color))
    pixels = _eight_bits(_image(pixels), bits)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, 3, axis=2)
    if color == "rgb":
        code = cv2.COLOR_RGB2BGR if pixels.shape[2] == 3 else cv2.COLOR_RGBA2BGR
        return np.asarray(cv2.cvtColor(pixels, code), np.uint8)
    return pixels[:, :, :3]


def _image(pixels: Any) -> NDArray[Any]:
    """An array of the shape of an image."""
    if hasattr(pixels, "getbands"):  # its channels would be taken for BGR
        raise InputError("expected an array, got a Pillow image; give np.asarray(image.convert('RGB')) and color='rgb'")
    try:
        image = np.asarray(pixels)
    except ValueError as error:  # nested lists of different lengths
        raise InputError("expected an image of (H, W, 3) uint8 BGR, got rows of different lengths") from error
    if image.ndim == 0:
        raise InputError(f"expected an image of (H, W, 3) uint8 BGR, got {type(pixels).__name__}; read it first")
    if image.size == 0 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise InputError(f"expected an image of (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), got {image.shape}")
    return image


def _eight_bits(pixels: NDArray[Any], bits: int | None) -> NDArray[np.uint8]:
    """The upper eight bits of each value."""
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"expected uint8 pixels, 0 to 255, got {pixels.dtype}; convert them first")
    if bits is None:
        bits = 8 * pixels.dtype.itemsize
    if bits not in range(8, 8 * pixels.dtype.itemsize + 1):
        raise UsageError(f"bits is {bits!r}, expected 8 for uint8 pixels, or 8 to 16 for uint16, got {pixels.dtype}")
    if pixels.dtype == np.uint8:
        return pixels
    if bits < 16 and (largest := int(pixels.max())) >> bits:
        raise InputError(
            f"expected values of {bits} bits, 0 to {2**bits - 1}, got {largest}; give bits={largest.bit_length()}"
        )
    return (pixels >> (bits - 8)).astype(np.uint8)

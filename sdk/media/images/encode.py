"""Encoding of images: what a format can store of a frame and its composite, the rest with a note."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ....engines.errors import OutputError
from ....engines.files import write_atomic
from ...pipeline.frame import Frame, ImageMetadata
from ...provenance.iptc import is_packet, marked
from ..bit_depth import deep_composite, resize_cubic
from ..encode_options import EncodeOptions
from ..reasons import write_error
from .color_profiles import bgr_to_srgb, profile_name
from .embed import MAX_JPEG_XMP, jpeg_xl_container, with_metadata
from .exif import has_resolution, resized_exif, resized_xmp, resolution_exif
from .formats import ImageFormat, image_format
from .opencv import encode_opencv
from .pillow import encode_pillow
from .transparency import over_white

if TYPE_CHECKING:
    from ...provenance.seal import Seal

Note = Callable[[str], None]
# Level 1 with run-length matching and, in OpenCV from 4.12, each row as the difference to the row above. At 3840x2160
# (three pictures): 260 ms and 5.1 MB; OpenCV's default, the difference to the left, 300 ms and 6.0 MB; level 1 with all
# options of zlib 480 ms and 5.6 MB, level 3 800 ms and 5.1 MB, level 6 2270 ms and 4.6 MB.
_PNG_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _PNG_FAST = [
        *(cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
        *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    ]
_SUBSAMPLING = {
    "444": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "422": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "420": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}
_OPENCV = frozenset(("JPEG", "PNG", "WebP", "BMP", "TIFF"))


@dataclass(frozen=True, eq=False)
class StoredImage:
    """What a format stores of a composite.

    Args:
        pixels: (H, W, 3) BGR or (H, W, 4) BGRA, uint8 or uint16.
        metadata: for these pixels.
        marked: it has the mark of upscaled faces.
    """

    pixels: NDArray[Any]
    metadata: ImageMetadata
    marked: bool = False

    @property
    def alpha(self) -> bool:
        """Whether the pixels have opacity."""
        return int(self.pixels.shape[2]) == 4

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return int(self.pixels.shape[1]), int(self.pixels.shape[0])


def stored_image(
    frame: Frame, composite: NDArray[np.uint8], target: ImageFormat, options: EncodeOptions, note: Note
) -> StoredImage:
    """Convert a composite to what a format can store.

    Args:
        frame: input frame, for its opacity, depth and metadata.
        composite: (k·H, k·W, 3) uint8 BGR.
        target: format of the file.
        options: whether metadata is removed.
        note: called with each loss.
    """
    metadata = frame.metadata or ImageMetadata()
    pixels: NDArray[Any] = composite
    if frame.deep is not None and target.deep:
        pixels = deep_composite(frame, composite)
    elif frame.deep is not None:
        note(f"16 bits per sample reduced to 8: {target.name} stores 8")
    if metadata.icc and not target.icc:
        pixels = _in_srgb(composite, metadata.icc, target, note)
        metadata = replace(metadata, icc=b"")
    if frame.alpha is not None:
        pixels = _with_alpha(pixels, frame.alpha, target, note)
    size_wh = (composite.shape[1], composite.shape[0])
    stored = _stored_metadata(metadata, size_wh, target, options, note)
    if not frame.upscaled or options.no_provenance:
        return StoredImage(pixels, stored)
    return StoredImage(pixels, with_mark(stored, target, note), marked=target.xmp)


def with_mark(metadata: ImageMetadata, target: ImageFormat, note: Note) -> ImageMetadata:
    """Metadata with the mark of upscaled faces, see `marked`; of a format without XMP a note says that it has none.

    Args:
        metadata: that the format can store.
        target: format of the file.
        note: called if there is no mark, or if XMP had to give way to it.
    """
    if not target.xmp:
        note(f"the mark of upscaled faces dropped: {target.name} files have no XMP; use .png or .jpg")
        return metadata
    if not is_packet(metadata.xmp):
        note("XMP dropped: it is damaged or too large")
        metadata = replace(metadata, xmp=b"")
    with_packet = marked(metadata)
    if target.name == "JPEG" and len(with_packet.xmp) > MAX_JPEG_XMP:
        note(f"XMP dropped: a JPEG holds up to {MAX_JPEG_XMP:,} bytes of it, with the mark {len(with_packet.xmp):,}")
        return marked(replace(metadata, xmp=b""))
    return with_packet


def _in_srgb(composite: NDArray[np.uint8], icc: bytes, target: ImageFormat, note: Note) -> NDArray[np.uint8]:
    converted = bgr_to_srgb(composite, icc)
    if converted is None:
        note(f"ICC profile dropped: {target.name} files have none here")
        return composite
    if (converted != composite).any():
        note(f"colors converted to sRGB from {profile_name(icc)}: {target.name} files have no ICC profile here")
    return converted


def _with_alpha(pixels: NDArray[Any], alpha: NDArray[Any], target: ImageFormat, note: Note) -> NDArray[Any]:
    opacity = resize_cubic(alpha, (pixels.shape[1], pixels.shape[0]))
    if not target.alpha:
        note(f"transparency dropped: composited over white, as {target.name} has none")
        return over_white(pixels, opacity)
    if opacity.dtype != pixels.dtype:
        opacity = (opacity >> 8).astype(np.uint8) if pixels.dtype == np.uint8 else opacity.astype(np.uint16) * 257
    return cv2.merge([pixels, opacity])


def _stored_metadata(
    metadata: ImageMetadata, size_wh: tuple[int, int], target: ImageFormat, options: EncodeOptions, note: Note
) -> ImageMetadata:
    if options.strip_metadata:
        return ImageMetadata(icc=metadata.icc, dpi=metadata.dpi if target.dpi else None)
    exif = resized_exif(metadata.exif, size_wh) if metadata.exif else b""
    if metadata.exif and not exif:
        note("EXIF dropped: it is damaged")
    xmp = resized_xmp(metadata.xmp, size_wh)
    for name, block, kept in (("EXIF", exif, target.exif), ("XMP", xmp, target.xmp)):
        if block and not kept:
            note(f"{name} dropped: {target.name} files have none")
    if metadata.dpi and not target.dpi and not has_resolution(exif):
        if exif:
            note(f"resolution in dpi dropped: {target.name} files have it in EXIF only")
        exif = exif or resolution_exif(metadata.dpi)
    return ImageMetadata(
        icc=metadata.icc,
        exif=exif if target.exif else b"",
        xmp=xmp if target.xmp else b"",
        dpi=metadata.dpi if target.dpi else None,
    )


def encode_pixels(image: StoredImage, target: ImageFormat, options: EncodeOptions) -> bytes | None:
    """Encode pixels with OpenCV, without metadata; None if the format cannot store them."""
    return encode_opencv(target.suffixes[0], image.pixels, _parameters(target.name, options))


def encode(image: StoredImage, target: ImageFormat, options: EncodeOptions, note: Note) -> bytes | None:
    """Encode an image with its metadata.

    Returns:
        The file; None if the format cannot store these pixels.

    Raises:
        OutputError: the encoder failed; one line without the file name.
        MissingDependencyError: a package that this format needs is not installed.
    """
    if target.name not in _OPENCV:
        file = encode_pillow(image.pixels, image.metadata, target.name, options)
        return jpeg_xl_container(file) if target.name == "JPEG XL" else file
    data = encode_pixels(image, target, options)
    if data is None:
        return None
    return with_metadata(data, target.name, image.size_wh, image.metadata, note, alpha=image.alpha)


def _parameters(name: str, options: EncodeOptions) -> list[int]:
    """OpenCV's encoding parameters."""
    if name == "PNG":
        return _PNG_FAST if options.compression is None else [cv2.IMWRITE_PNG_COMPRESSION, options.compression]
    parameters = []
    if name in ("JPEG", "WebP") and options.quality is not None:
        parameters += [cv2.IMWRITE_WEBP_QUALITY if name == "WebP" else cv2.IMWRITE_JPEG_QUALITY, options.quality]
    if name == "JPEG" and options.subsampling is not None:
        parameters += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, _SUBSAMPLING[options.subsampling]]
    return parameters


def write_frame(
    path: Path,
    frame: Frame,
    composite: NDArray[np.uint8],
    options: EncodeOptions,
    note: Note,
    seal: Seal | None = None,
) -> None:
    """Write the composite of a frame as an image, atomically.

    Args:
        path: destination; the suffix selects the format.
        frame: input frame, for its opacity, depth and metadata.
        composite: (k·H, k·W, 3) uint8 BGR.
        options: of the encoder.
        note: called with each loss.
        seal: signs the file; None to write it unsigned.

    Raises:
        OutputError: the format does not support this size, or the file cannot be signed or written; `path` is
            unchanged.
    """
    target = image_format(path)
    if target is None:
        raise OutputError(f"{path}: {path.suffix} is not a known image format")
    image = stored_image(frame, composite, target, options, note)
    try:
        data = encode(image, target, options, note) if max(image.size_wh) <= target.max_side else None
    except OutputError as error:
        raise OutputError(f"{path}: {error}") from error
    if data is None:
        raise OutputError(
            f"{path}: {path.suffix} cannot store {image.size_wh[0]}x{image.size_wh[1]} pixels; "
            "use .png or .tif, or a smaller outscale"
        )
    if seal is not None:
        data = seal.sign_bytes(data, path, frame.name)
    try:
        write_atomic(path, data)
    except OSError as error:
        raise OutputError(write_error(path, error)) from error

"""Pictures of faces as files, in memory, marked as what they are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import OutputError
from ...media.encode_options import EncodeOptions
from ...media.images.encode import StoredImage, encode
from ...media.images.formats import IMAGE_FORMATS
from ...pipeline.frame import ImageMetadata
from ...provenance.iptc import marked

MAX_ICC = 64 * 1024
"""Bytes of a color profile that each picture of a face may have; larger ones, which are those of printers, would make
the answer many times as large as the request."""


class FileFormat(NamedTuple):
    """A format of the pictures.

    Attributes:
        name: key of `IMAGE_FORMATS`.
        media_type: of its files.
    """

    name: str
    media_type: str


FILE_FORMATS = {
    "png": FileFormat("PNG", "image/png"),
    "jpeg": FileFormat("JPEG", "image/jpeg"),
    "webp": FileFormat("WebP", "image/webp"),
}
"""Option -> format."""


class FaceMetadata(NamedTuple):
    """Metadata for the pictures of faces.

    Attributes:
        estimate: for the network's pixels.
        original: for the camera's pixels.
        notes: what is left out of the picture's metadata and changes how its colors look.
    """

    estimate: ImageMetadata
    original: ImageMetadata
    notes: tuple[str, ...] = ()


def face_metadata(metadata: ImageMetadata) -> FaceMetadata:
    """The color profile of a picture, without which the colors would be wrong, and nothing else of its metadata.

    The network's pixels get the mark of upscaled faces.
    """
    if len(metadata.icc) <= MAX_ICC:
        kept = ImageMetadata(icc=metadata.icc)
        return FaceMetadata(marked(kept), kept)
    note = f"ICC profile dropped: it has {len(metadata.icc):,} bytes, pictures of faces get up to {MAX_ICC:,}"
    return FaceMetadata(marked(), ImageMetadata(), (note,))


def picture_file(pixels: NDArray[np.uint8], metadata: ImageMetadata, name: str, quality: int | None) -> bytes:
    """Encode a picture.

    Args:
        pixels: (H, W, 3) uint8 BGR.
        metadata: to be stored.
        name: of `IMAGE_FORMATS`.
        quality: 1 to 100; None for the format's default.

    Raises:
        OutputError: the encoder failed.
    """
    image = StoredImage(pixels, metadata)
    content = encode(image, IMAGE_FORMATS[name], EncodeOptions(quality=quality), lambda note: None)
    if content is None:
        raise OutputError(f"{name} cannot store a face of {image.size_wh[0]}x{image.size_wh[1]} pixels")
    return content

"""Image formats: suffixes, and what each can store."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

PAGE_S = Fraction(1)
"""How long a page of a TIFF is shown in an animation or video, in seconds."""


@dataclass(frozen=True)
class ImageFormat:
    """An image format, and what its files can store.

    Args:
        name: as in messages.
        suffixes: of its files, in lower case.
        max_side: maximum width and height in pixels.
        alpha: opacity.
        deep: more than 8 bits per sample.
        icc: ICC profile.
        exif: EXIF.
        xmp: XMP.
        dpi: resolution outside of EXIF.
        frames: animation or pages that this package writes.
        options: names of its `EncodeOptions`, besides strip_metadata.
        package: optional package that reads and writes it, "" if none is needed.
    """

    name: str
    suffixes: tuple[str, ...]
    max_side: int
    alpha: bool = True
    deep: bool = False
    icc: bool = True
    exif: bool = True
    xmp: bool = True
    dpi: bool = False
    frames: bool = False
    options: tuple[str, ...] = ()
    package: str = ""


IMAGE_FORMATS = {
    entry.name: entry
    for entry in (
        ImageFormat(
            "JPEG", (".jpg", ".jpeg"), 65_500, alpha=False, dpi=True, options=("quality", "subsampling")
        ),  # 65,500 is libjpeg's limit; the format ends at 65,535
        ImageFormat("PNG", (".png", ".apng"), 1_000_000, deep=True, dpi=True, frames=True, options=("compression",)),
        ImageFormat("WebP", (".webp",), 16_383, frames=True, options=("quality",)),
        ImageFormat("BMP", (".bmp",), 65_535, alpha=False, icc=False, exif=False, xmp=False, dpi=True),
        ImageFormat("TIFF", (".tif", ".tiff"), 1_000_000, deep=True, dpi=True, frames=True),
        ImageFormat("AVIF", (".avif",), 65_536, options=("quality", "subsampling")),
        ImageFormat("HEIC", (".heic", ".heif"), 16_384, deep=True, options=("quality",), package="pillow-heif"),
        ImageFormat("JPEG XL", (".jxl",), 1_000_000, icc=False, options=("quality",), package="pillow-jxl-plugin"),
    )
}
IMAGE_SUFFIXES = frozenset(suffix for entry in IMAGE_FORMATS.values() for suffix in entry.suffixes)


def image_format(path: Path) -> ImageFormat | None:
    """Format that the suffix of a path selects; None if it is not that of an image."""
    suffix = path.suffix.lower()
    return next((entry for entry in IMAGE_FORMATS.values() if suffix in entry.suffixes), None)

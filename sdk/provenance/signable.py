"""Formats of files that hold a C2PA manifest, by name and by content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from ...engines.errors import UsageError
from ..media.images.formats import IMAGE_FORMATS
from ..media.images.header import image_header

MEDIA_TYPES = {
    ".png": "image/png",
    ".apng": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".jxl": "image/jxl",
    ".gif": "image/gif",
    ".mp4": "video/mp4",
    ".m4v": "video/x-m4v",
    ".mov": "video/quicktime",
    ".avi": "video/x-msvideo",
}
"""Suffix → media type, of the formats that C2PA can sign and this package writes."""


def media_type(name: str) -> str | None:
    """Media type of a file by its name; None if C2PA cannot sign it."""
    return MEDIA_TYPES.get(PurePath(name).suffix.lower())


_HEAD = 1 << 16
_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
"""With which a file of MP4 or QuickTime begins."""


@dataclass(frozen=True)
class Content:
    """Format of a file by its first bytes.

    Args:
        name: for messages; of an image a key of `IMAGE_FORMATS`.
        media_type: None if C2PA has no form for it.
    """

    name: str
    media_type: str | None

    @property
    def is_image(self) -> bool:
        """Whether `ImageFile` reads it."""
        return self.name in IMAGE_FORMATS


def content_of(file: Path) -> Content | None:
    """Format of a file, whatever its name; None if it is not known.

    Raises:
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        head = stream.read(_HEAD)
    if header := image_header(head):
        return Content(header.format, MEDIA_TYPES.get(IMAGE_FORMATS[header.format].suffixes[0]))
    if head[4:8] in _ISO_BOXES:
        is_mp4 = head[4:8] == b"ftyp" and head[8:12] != b"qt  "
        return Content("MP4", "video/mp4") if is_mp4 else Content("QuickTime", "video/quicktime")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Content("AVI", MEDIA_TYPES[".avi"])
    if head.startswith(b"GIF8"):
        return Content("GIF", MEDIA_TYPES[".gif"])
    return Content("Matroska", None) if head.startswith(b"\x1a\x45\xdf\xa3") else None


def utf8(name: str) -> str:
    """A file name that a manifest can hold: bytes that are not UTF-8 become question marks."""
    return name.encode("utf-8", "replace").decode()


def check_signable(name: str) -> None:
    """Check that an output can be signed.

    Raises:
        UsageError: its format holds no manifest.
    """
    if media_type(name) is None:
        what = PurePath(name).suffix or "standard output"
        raise UsageError(f"{name} cannot be signed: C2PA has no form for {what}; use {', '.join(sorted(MEDIA_TYPES))}")

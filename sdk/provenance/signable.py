"""Formats of files that hold a C2PA manifest."""

from __future__ import annotations

from pathlib import PurePath

from ...engines.errors import UsageError

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


def check_signable(name: str) -> None:
    """Check that an output can be signed.

    Raises:
        UsageError: its format holds no manifest.
    """
    if media_type(name) is None:
        what = PurePath(name).suffix or "standard output"
        raise UsageError(f"{name} cannot be signed: C2PA has no form for {what}; use {', '.join(sorted(MEDIA_TYPES))}")

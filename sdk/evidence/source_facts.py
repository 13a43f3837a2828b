"""Facts of the source of a card: the hash of its file, and what the file states about its camera."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import av
from PIL import Image
from PIL.ExifTags import IFD, Base

from ..pipeline.frame import ImageMetadata
from .card import CardSource, SourceKind

_CAMERA = {"camera, maker (EXIF)": Base.Make, "camera, model (EXIF)": Base.Model, "software (EXIF)": Base.Software}
_TAGS = {
    "com.apple.quicktime.make": "camera, maker (container)",
    "com.apple.quicktime.model": "camera, model (container)",
    "com.android.version": "Android (container)",
    "com.apple.quicktime.creationdate": "recorded (container)",
    "creation_time": "created (container)",
    "date": "date (container)",
    "encoder": "written by (container)",
}
MAX_DETAIL = 200
"""Characters of a detail; more are cut."""


@dataclass(frozen=True)
class FileStamp:
    """Size and time of the last change of a file, to see later whether it has changed.

    Args:
        size_bytes: of the file.
        modified_ns: Unix time of the last change, nanoseconds.
    """

    size_bytes: int
    modified_ns: int

    @staticmethod
    def of(path: Path) -> FileStamp | None:
        """That of a file now; None if there is no such regular file."""
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        return FileStamp(status.st_size, status.st_mtime_ns) if path.is_file() else None


def file_source(
    path: Path, name: str, kind: SourceKind, before: FileStamp | None, metadata: ImageMetadata | None = None
) -> CardSource:
    """Facts of a file; it is read once for its hash.

    Args:
        path: of the file.
        name: to be shown.
        kind: of the source.
        before: of the file when its first frame was read.
        metadata: of a picture.
    """
    details = details_of_video(path) if kind == "video" else details_of(metadata or ImageMetadata())
    source = CardSource(name, kind, details=details)
    stamp = FileStamp.of(path)
    if stamp is None or before is None:
        return replace(source, note="not a regular file, or gone since it was read: there is no hash")
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
            after = os.fstat(file.fileno())
    except OSError as error:
        return replace(source, note=f"cannot be read again for its hash: {error.strerror}")
    changed = FileStamp(after.st_size, after.st_mtime_ns) != before
    return replace(
        source,
        sha256=digest.hexdigest(),
        size_bytes=after.st_size,
        modified_s=after.st_mtime,
        note="the file has changed since it was read; the hash is that of the changed file" * changed,
    )


def details_of(metadata: ImageMetadata) -> Mapping[str, str]:
    """What the EXIF of a picture states about its camera and the capture time; unverified, any text."""
    exif = Image.Exif()
    found: dict[str, str] = {}
    with suppress(Exception):  # a damaged block is no reason to lose the card; Pillow raises many kinds of errors
        exif.load(b"Exif\0\0" + metadata.exif if metadata.exif else b"")
        photo = exif.get_ifd(IFD.Exif)
        values = {name: exif.get(tag) for name, tag in _CAMERA.items()}
        if taken := photo.get(Base.DateTimeOriginal):
            zone = photo.get(Base.OffsetTimeOriginal)
            values["capture time (EXIF)"] = f"{taken}, {f'UTC{zone}' if zone else 'no time zone given'}"
        found = {name: _text(value) for name, value in values.items() if value}
    return {name: text for name, text in found.items() if text}


def details_of_video(path: Path) -> Mapping[str, str]:
    """What the container of a video states about its camera and the time of recording; unverified, any text."""
    tags: dict[str, str] = {}
    with suppress(av.FFmpegError, OSError, ValueError), av.open(str(path.absolute())) as container:
        tags = {key.lower(): value for key, value in container.metadata.items()}
    return {name: _text(tags[key]) for key, name in _TAGS.items() if tags.get(key)}


def _text(value: object) -> str:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    text = " ".join(text.replace("\0", " ").split())
    return text if len(text) <= MAX_DETAIL else f"{text[:MAX_DETAIL]} …"

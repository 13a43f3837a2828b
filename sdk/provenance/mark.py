"""The mark of a finished file, read back."""

from __future__ import annotations

from pathlib import Path

import av

from ...engines.errors import FacesrError
from ..media.images.image_file import ImageFile
from .check_result import CheckResult
from .iptc import source_type
from .signable import content_of
from .video_mark import STATEMENTS, TAG, read_xmp


def mark_of(file: Path) -> CheckResult:
    """IPTC's digital source type that the XMP or the tags of a file name, or the statement in its tags."""
    try:
        term, tags = _term(file)
    except (FacesrError, av.FFmpegError, OSError, ValueError):
        return CheckResult("unchecked", "mark", "its metadata cannot be read")
    if not term and any(statement in text for statement in STATEMENTS for text in tags):
        return CheckResult(
            "note", "mark", "the statement on upscaled faces in its tags; no digital source type of IPTC"
        )
    if not term:
        return CheckResult(
            "note", "mark", "no digital source type of IPTC: the file is not marked as holding network pixels"
        )
    return CheckResult("note", "mark", f"digital source type {term}")


def _term(file: Path) -> tuple[str, list[str]]:
    """The term, "" for none, and the texts of the tags."""
    if (content := content_of(file)) and content.is_image:
        return source_type(ImageFile(file).metadata.xmp), []
    with av.open(str(file.absolute())) as container:
        tags = {name.lower(): str(value) for name, value in container.metadata.items()}
    return source_type(read_xmp(file)) or tags.get(TAG, ""), list(tags.values())

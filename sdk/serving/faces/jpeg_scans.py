"""Number of scans of a JPEG: each passes over all pixels, so that a small file can take minutes."""

from __future__ import annotations

import re

MAX_SCANS = 40
"""More than encoders write: 10 are usual in progressive files."""
MAX_SEGMENTS = 10_000
"""Also more than encoders write: of profiles and other metadata, 64 kB each."""
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_START, _END, _SCAN, _TEMPORARY = 0xD8, 0xD9, 0xDA, 0x01


def has_too_many_scans(data: bytes) -> bool:
    """Whether a file is a JPEG with more than `MAX_SCANS` scans, or more than `MAX_SEGMENTS` segments.

    Reads markers as decoders do: bytes between segments are skipped.

    Args:
        data: the file, of any format.
    """
    if not data.startswith(b"\xff\xd8"):
        return False
    scans, segments, at = 0, 0, 2
    while scans <= MAX_SCANS and segments <= MAX_SEGMENTS and (found := _MARKER.search(data, at)):
        marker, at, segments = found[1][0], found.end(), segments + 1
        if marker == _END:
            break
        if marker in (_START, _TEMPORARY):  # without a length
            continue
        scans += marker == _SCAN
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
    return scans > MAX_SCANS or segments > MAX_SEGMENTS

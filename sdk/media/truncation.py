"""How many bytes a video file lacks of what its own headers promise.

A file that was copied halfway decodes without an error up to its end, so nobody would learn that half of it is missing.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_SEGMENT = b"\x18\x53\x80\x67"  # Matroska's outermost element; what follows is its size


def missing_bytes(path: Path) -> int:
    """Compare a file's length with the length that its container declares.

    Args:
        path: an MP4, MOV, Matroska, WebM, AVI or GIF file; of another nothing is known.

    Returns:
        Bytes that should be there and are not; 0 where the file is whole, or nothing is declared.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return max(0, _boxes_end(file, size) - size)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return max(0, _segment_end(head, size) - size)
        if head[:4] == b"RIFF":
            return max(0, 8 + int.from_bytes(head[4:8], "little") - size)
        if head[:3] == b"GIF":
            file.seek(-1, os.SEEK_END)
            return 0 if file.read(1) == b";" else 1
    return 0


def _boxes_end(file: BinaryIO, size: int) -> int:
    """Walk the outermost boxes of an MP4 file; where the last one says it ends."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        box = file.read(16)
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:16], "big")
        if length < 8:  # 0 stands for "to the end of the file"
            return size
        at += length
    return max(at, size)


def _segment_end(head: bytes, size: int) -> int:
    """Where the segment of a Matroska file says it ends."""
    at = head.find(_SEGMENT) + len(_SEGMENT)
    if at < len(_SEGMENT) or at >= len(head) or head[at] == 0:
        return size
    width = 9 - head[at].bit_length()
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    if value == (1 << 7 * width) - 1:  # all ones: written live, length unknown
        return size
    return at + width + value

"""Length that the container of a video declares."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

_SEGMENT = b"\x18\x53\x80\x67"  # ID of Matroska's Segment element; its size follows
MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")


def missing_bytes(path: Path) -> int:
    """Difference between the length that the container declares and the file size.

    Args:
        path: MP4, MOV, Matroska, WebM, AVI or GIF file.

    Returns:
        Missing bytes; 0 if the file is complete, declares no length or is of another format.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[:3] == b"GIF":
            file.seek(-1, os.SEEK_END)
            return 0 if file.read(1) == b";" else 1
        return max(0, _declared_length(head, file, size) - size)


def missing_of_pipe(head: bytes, size: int) -> int:
    """The same for a pipe that has been read to its end.

    Args:
        head: its first bytes.
        size: number of bytes that it had.
    """
    return max(0, _declared_length(head, BytesIO(head), size) - size)


def has_index(path: Path) -> bool:
    """Whether an MP4 or MOV file has an index; also for files of other formats."""
    with path.open("rb") as file:
        head = file.read(8)
        return head[4:] not in MP4_BOXES or any(name == b"moov" for name, _, _ in _mp4_boxes(file))


def begins_with_index(head: bytes) -> bool:
    """Whether the index of an MP4 or MOV file precedes its frames; also for other formats.

    Args:
        head: first bytes of the file.
    """
    if head[4:8] not in MP4_BOXES:
        return True
    names = [name for name, _, _ in _mp4_boxes(BytesIO(head))]
    return b"mdat" not in names or (b"moov" in names and names.index(b"moov") < names.index(b"mdat"))


def _declared_length(head: bytes, file: BinaryIO, size: int) -> int:
    if head[4:8] in MP4_BOXES:
        return max((size if length == 0 else offset + length for _, offset, length in _mp4_boxes(file)), default=size)
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _matroska_length(head[:64], size)
    if head[:4] == b"RIFF":
        return 8 + int.from_bytes(head[4:8], "little")
    return size


MAX_OFFSET = 2**62
"""A damaged length may point further than a file can be sought."""


def _mp4_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Name, offset and length in bytes of the top-level boxes; a length of 0 means to the end of the file."""
    offset = 0
    while True:
        file.seek(offset)
        box = file.read(16)
        if len(box) < 8:
            return
        length = int.from_bytes(box[:4], "big")
        if length == 1:
            length = int.from_bytes(box[8:16], "big")
        yield box[4:8], offset, length if length >= 8 else 0
        offset += length
        if length < 8 or offset > MAX_OFFSET:
            return


def _matroska_length(head: bytes, size: int) -> int:
    """End of the Segment element of a Matroska file, in bytes."""
    offset = head.find(_SEGMENT) + len(_SEGMENT)
    if offset < len(_SEGMENT) or offset >= len(head) or head[offset] == 0:
        return size
    width = 9 - head[offset].bit_length()
    value = int.from_bytes(head[offset : offset + width], "big") & ((1 << 7 * width) - 1)
    if value == (1 << 7 * width) - 1:  # all ones: unknown length, as in live recordings
        return size
    return offset + width + value

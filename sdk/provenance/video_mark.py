"""The mark of videos with upscaled faces: a tag that players show, and XMP in files of the MP4 family and in GIF.

Source: XMP Specification Part 3, "Storage in Files": a box "uuid" of MP4, an application extension of GIF.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from .iptc import SYSTEM, marked
from .statement import DIGITAL_SOURCE_TYPE

TAG = "digital_source_type"
VIDEO_STATEMENT = (
    f"{SYSTEM}: where faces of this video were enlarged, a neural network estimated their detail: it agrees with the "
    "camera's pixels, but need not be true. Do not identify anybody by it."
)
"""The header of a video is written before it is known whether there are faces: it holds for any number."""
LIVE_STATEMENT = "faces may be enlarged by a neural network: estimates, do not identify anybody by them"
"""For fields of few bytes."""
STATEMENTS = (VIDEO_STATEMENT, LIVE_STATEMENT)
_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_TEXT_TAGS = {
    "mp4": ("comment", "description", "synopsis"),
    "mov": ("comment",),
    "matroska": ("COMMENT", "DESCRIPTION", "SYNOPSIS"),
    "webm": ("COMMENT", "DESCRIPTION", "SYNOPSIS"),
    "avi": ("comment", "encoded_by"),
}
"""FFmpeg's name of a format → tags that it writes; the first that the source does not have gets the statement."""
_MATROSKA = ("matroska", "webm")
_ISO = ("mp4", "mov")
_GIF_HEAD = b"\x21\xff\x0bXMP DataXMP"
_GIF_TAIL = bytes((1, *range(255, -1, -1), 0))
"""Values that lead a reader of GIF blocks to the end of the packet, wherever it is in it."""
_MAX_XMP = 1 << 24
_MAX_HEADER = 1 << 22


def mark_tags(container: str, tags: Mapping[str, str]) -> dict[str, str]:
    """Tags to add to a video.

    Args:
        container: FFmpeg's name of the format.
        tags: that it gets otherwise; they stay.
    """
    taken = {name.lower() for name in tags}
    if container == "mpegts":  # 255 bytes for both, with the other fields
        return {"service_provider": SYSTEM, "service_name": LIVE_STATEMENT}
    if container in ("rtsp", "rtp"):  # the name and the description of the session
        return {"title": SYSTEM, "comment": VIDEO_STATEMENT}
    free = next((name for name in _TEXT_TAGS.get(container, ()) if name.lower() not in taken), None)
    added = {free: VIDEO_STATEMENT} if free else {}
    return added | ({TAG.upper(): DIGITAL_SOURCE_TYPE} if container in _MATROSKA else {})


def mark_end(container: str) -> bytes:
    """What is appended to a finished file of MP4 or MOV: a box with XMP; b"" for others."""
    if container not in _ISO:
        return b""
    xmp = marked().xmp
    return struct.pack(">I4s", 8 + len(_UUID) + len(xmp), b"uuid") + _UUID + xmp


def mark_file(file: BinaryIO, container: str, upscaled: bool) -> None:
    """Complete the mark of a finished video: XMP where it has a place, and no term of IPTC where there are no faces.

    Args:
        file: open for reading and writing.
        container: FFmpeg's name of the format.
        upscaled: a frame has upscaled faces.
    """
    if not upscaled:
        if container in _MATROSKA:
            _blank(file, DIGITAL_SOURCE_TYPE.encode())
    elif container == "gif":
        file.seek(-1, 2)
        if file.read(1) == b";":  # the trailer
            file.seek(-1, 2)
            file.write(_GIF_HEAD + marked().xmp + _GIF_TAIL + b";")
    elif end := mark_end(container):
        file.seek(0, 2)
        file.write(end)


def _blank(file: BinaryIO, value: bytes) -> None:
    """Empty a text in the header of a Matroska file: its texts may end with zeros."""
    file.seek(0)
    if (at := file.read(_MAX_HEADER).find(value)) >= 0:
        file.seek(at)
        file.write(bytes(len(value)))


def read_xmp(path: Path) -> bytes:
    """XMP of a video; b"" if it has none."""
    with path.open("rb") as file:
        if file.read(3) == b"GIF":
            data = path.read_bytes()
            start = data.rfind(_GIF_HEAD)
            end = data.find(_GIF_TAIL, start)
            return data[start + len(_GIF_HEAD) : end] if 0 <= start < end else b""
        size = file.seek(0, 2)
        at = 0
        while at + 24 <= size:
            file.seek(at)
            length, kind, long_length, uuid = struct.unpack(">I4s8s8s", file.read(24))
            head = 8
            if length == 1:
                length, head = struct.unpack(">Q", long_length)[0], 16
            if length < 8:
                break
            if kind == b"uuid" and head == 8 and long_length + uuid == _UUID and length <= _MAX_XMP:
                return file.read(length - 24)
            at += length
    return b""

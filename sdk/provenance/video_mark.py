"""The mark of videos with upscaled faces: a tag that players show, and XMP in files of the MP4 family and in GIF.

Source: XMP Specification Part 3, "Storage in Files": a box "uuid" of MP4, an application extension of GIF.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from .iptc import SYSTEM, is_of_network, marked, source_type
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
_MAX_XMP, _MAX_BOXES = 1 << 24, 20_000
_SEGMENT, _TAGS, _TAG, _SIMPLE_TAG = b"\x18\x53\x80\x67", b"\x12\x54\xc3\x67", b"\x73\x73", b"\x67\xc8"
_TAG_NAME, _TAG_STRING, _CRC = b"\x45\xa3", b"\x44\x87", b"\xbf"
"""Elements of Matroska."""


def mark_tags(container: str, tags: Mapping[str, str], term: str = "") -> dict[str, str]:
    """Tags to add to a video.

    Args:
        container: FFmpeg's name of the format.
        tags: that it gets otherwise; they stay, but for a camera's term.
        term: of the source, see `source_term`.
    """
    taken = {name.lower() for name in tags}
    if container == "mpegts":  # 255 bytes for both, with the other fields
        return {"service_provider": SYSTEM, "service_name": LIVE_STATEMENT}
    if container in ("rtsp", "rtp"):  # the name and the description of the session
        return {"title": SYSTEM, "comment": VIDEO_STATEMENT}
    free = next((name for name in _TEXT_TAGS.get(container, ()) if name.lower() not in taken), None)
    added = {free: VIDEO_STATEMENT} if free else {}
    if container not in _MATROSKA:
        return added
    name = next((name for name in tags if name.lower() == TAG), TAG.upper())
    return added | {name: term if is_of_network(term) else DIGITAL_SOURCE_TYPE}


def source_term(path: Path | None, tags: Mapping[str, str]) -> str:
    """IPTC's term of a video that is read: of its XMP, else of its tags; "" if it has none.

    Args:
        path: of the video; None if it is no file.
        tags: of the video.
    """
    term = ""
    with suppress(OSError, ValueError):  # the tags remain
        term = source_type(read_xmp(path)) if path is not None and path.is_file() else ""
    return term or next((value for name, value in tags.items() if name.lower() == TAG), "")


def mark_end(container: str, term: str = "") -> bytes:
    """What is appended to a finished file of MP4 or MOV: a box with XMP; b"" for others.

    Args:
        container: FFmpeg's name of the format.
        term: of the source, see `source_term`.
    """
    if container not in _ISO:
        return b""
    xmp = _packet(term)
    return struct.pack(">I4s", 8 + len(_UUID) + len(xmp), b"uuid") + _UUID + xmp


def _packet(term: str) -> bytes:
    """XMP of the mark; the term of a wholly synthetic source stays."""
    xmp = marked().xmp
    return xmp.replace(DIGITAL_SOURCE_TYPE.encode(), term.encode()) if is_of_network(term) else xmp


def mark_file(file: BinaryIO, container: str, upscaled: bool, term: str = "") -> None:
    """Complete the mark of a finished video: XMP where it has a place, and no term of IPTC where there are no faces.

    A source that has a term of networks is one of a network, whether further faces were upscaled or not.

    Args:
        file: open for reading and writing.
        container: FFmpeg's name of the format.
        upscaled: a frame has upscaled faces.
        term: of the source, see `source_term`.
    """
    if not upscaled and not is_of_network(term):
        if container in _MATROSKA:
            _set_term(file, term)
    elif container == "gif":
        file.seek(-1, 2)
        if file.read(1) == b";":  # the trailer
            file.seek(-1, 2)
            file.write(_GIF_HEAD + _packet(term) + _GIF_TAIL + b";")
    elif end := mark_end(container, term):
        file.seek(0, 2)
        file.write(end)


def _set_term(file: BinaryIO, term: str) -> None:
    """Replace the term in the tag of a Matroska file by that of its source; a text may end with zeros."""
    size = file.seek(0, 2)
    for kind, begin, end in _elements(file, 0, size):
        if kind != _SEGMENT:
            continue
        for name, tags, tags_end in _elements(file, begin, min(end, size)):
            if name == _TAGS and (found := _term_at(file, tags, min(tags_end, size))):
                first, after, master, master_end = found
                value = term.encode()
                file.seek(first)
                file.write(value.ljust(after - first, b"\0") if len(value) <= after - first else bytes(after - first))
                _correct_checksum(file, master, master_end)
                return


def _term_at(file: BinaryIO, begin: int, end: int) -> tuple[int, int, int, int] | None:
    """Begin and end of the text of the tag with the term, and of the content of all tags."""
    for tag, tag_at, tag_end in _elements(file, begin, end):
        for simple, at, simple_end in _elements(file, tag_at, tag_end) if tag == _TAG else ():
            if simple != _SIMPLE_TAG:
                continue
            parts = {kind: (first, after) for kind, first, after in _elements(file, at, simple_end)}
            if _TAG_NAME not in parts or _TAG_STRING not in parts:
                continue
            first, after = parts[_TAG_NAME]
            file.seek(first)
            if file.read(min(after - first, 64)).rstrip(b"\0").lower() == TAG.encode():
                return (*parts[_TAG_STRING], begin, end)
    return None


def _correct_checksum(file: BinaryIO, begin: int, end: int) -> None:
    """Correct the CRC-32 element with which the content of an element may begin."""
    file.seek(begin)
    content = file.read(end - begin)
    if content[:2] == _CRC + b"\x84":
        file.seek(begin + 2)
        file.write(zlib.crc32(content[6:]).to_bytes(4, "little"))


def _elements(file: BinaryIO, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Identifier, and begin and end of the content, of the elements of Matroska between two positions."""
    while at < end:
        file.seek(at)
        head = file.read(12)
        if len(head) < 2 or not head[0]:
            return
        width = 9 - head[0].bit_length()
        if width >= len(head) or not head[width]:
            return
        size_width = 9 - head[width].bit_length()
        size = int.from_bytes(head[width : width + size_width], "big") & ((1 << 7 * size_width) - 1)
        unknown = size == (1 << 7 * size_width) - 1
        begin = at + width + size_width
        at = end if unknown else begin + size
        if at > end:
            return
        yield head[:width], begin, at


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
        for _ in range(_MAX_BOXES):
            if at + 24 > size:
                break
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

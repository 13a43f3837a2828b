"""Pixel aspect ratio in Matroska and WebM.

FFmpeg writes it from a field of the stream that PyAV does not set; H.264 and H.265 store it in the stream, VP9 and AV1
do not. Therefore space is reserved in the title of the video track, and the elements DisplayWidth and DisplayHeight
take its place in the finished file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

RESERVE = " " * 24
"""Appended to the title of the video track to make room for the elements."""
_SEGMENT, _TRACKS, _ENTRY, _NAME, _VIDEO = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\x53\x6e", b"\xe0"
_DISPLAY_WIDTH, _DISPLAY_HEIGHT, _DISPLAY_UNIT, _VOID = b"\x54\xb0", b"\x54\xba", b"\x54\xb2", b"\xec"
_CRC = b"\xbf\x84"
_SEARCHED = 1 << 16  # bytes of the header


def display_size(size_wh: tuple[int, int], pixel_aspect: Fraction) -> tuple[int, int]:
    """Size in square pixels, close to that of the video and with exactly its display aspect ratio if there is one."""
    width, height = size_wh
    shape = Fraction(width, height) * pixel_aspect
    if shape.denominator <= height // 4:
        scale = max(1, round(height / shape.denominator))
        return shape.numerator * scale, shape.denominator * scale
    return round(width * pixel_aspect), height


def set_display_size(path: Path, size_wh: tuple[int, int]) -> bool:
    """Write the display size into the track whose title ends with `RESERVE`; the file keeps its length.

    Args:
        path: finished Matroska or WebM file.
        size_wh: in square pixels, see `display_size`.

    Returns:
        Whether there was such a track.
    """
    with path.open("r+b") as file:
        head = file.read(_SEARCHED)
        changed = with_display_size(head, size_wh)
        if changed is not None:
            file.seek(0)
            file.write(changed)
    return changed is not None


def with_display_size(head: bytes, size_wh: tuple[int, int]) -> bytes | None:
    """The same for the first bytes of a file; None if there is no such track."""
    segment = head.find(_SEGMENT)
    if segment < 0:
        return None
    content = next(_elements(head, segment))[2]
    tracks = next((element for element in _elements(head, content) if element[0] == _TRACKS), None)
    if tracks is None or tracks[3] > len(head):
        return None
    for identifier, first, content, end in _elements(head, tracks[2], tracks[3]):
        if identifier == _ENTRY and RESERVE.encode() in head[content:end]:
            entry = _entry(head[content:end], size_wh)
            padding = (end - first) - len(_element(_ENTRY, entry, 8))
            changed = head[:first] + _element(_ENTRY, entry + _void(padding), 8) + head[end:]
            return _with_checksum(changed, tracks[2], tracks[3])
    return None


def _with_checksum(data: bytes, first: int, last: int) -> bytes:
    """Correct the CRC-32 element with which the content of a master element may begin."""
    if data[first : first + 2] != _CRC:
        return data
    checksum = zlib.crc32(data[first + 6 : last]).to_bytes(4, "little")
    return data[: first + 2] + checksum + data[first + 6 :]


def _entry(body: bytes, size_wh: tuple[int, int]) -> bytes:
    """Content of a track entry with its title shortened and its video element extended."""
    parts = []
    for identifier, first, content, end in _elements(body, 0):
        if identifier == _NAME:
            title = body[content:end].removesuffix(RESERVE.encode())
            parts += [_element(_NAME, title)] if title else []
        elif identifier == _VIDEO:
            sides = (side.to_bytes(4, "big") for side in size_wh)
            added = [_element(name, side) for name, side in zip((_DISPLAY_WIDTH, _DISPLAY_HEIGHT), sides, strict=True)]
            kept = [body[f:e] for name, f, _, e in _elements(body, content, end) if name != _DISPLAY_UNIT]
            parts.append(_element(_VIDEO, b"".join(kept + added)))
        else:
            parts.append(body[first:end])
    return b"".join(parts)


def _elements(data: bytes, offset: int, stop: int | None = None) -> Iterator[tuple[bytes, int, int, int]]:
    """Identifier, position, position of the content, and end of each element."""
    while offset < (len(data) if stop is None else stop):
        width = 9 - data[offset].bit_length()
        size_at = offset + width
        size_width = 9 - data[size_at].bit_length()
        content = size_at + size_width
        size = int.from_bytes(data[size_at:content], "big") & ((1 << 7 * size_width) - 1)
        yield data[offset:size_at], offset, content, content + size
        offset = content + size


def _element(identifier: bytes, content: bytes, size_width: int = 2) -> bytes:
    size = (len(content) | 1 << 7 * size_width).to_bytes(size_width, "big")
    return identifier + size + content


def _void(length: int) -> bytes:
    """An element of `length` bytes without content, 0 or at least 2."""
    if length < 2:
        return b""
    return _VOID + (length - 2 | 0x80).to_bytes(1, "big") + bytes(length - 2)

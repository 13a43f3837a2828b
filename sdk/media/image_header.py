"""A picture file's own word on its size, read before anything is decoded."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class PictureHeader:
    """What the first bytes of a picture file promise.

    Args:
        format: "JPEG", "PNG", "WebP", "BMP" or "TIFF".
        size_wh: width and height in pixels as stored; (0, 0) where the header is cut off.
        intact: whether the file goes on to its end, and, for PNG, whether its checksums hold.
    """

    format: str
    size_wh: tuple[int, int]
    intact: bool


def picture_header(data: bytes) -> PictureHeader | None:
    """Recognise a picture file by its content.

    Args:
        data: the whole file.

    Returns:
        The header, or None where this is no JPEG, PNG, WebP, BMP or TIFF.
    """
    for magic, name, parse in _FORMATS:
        if data.startswith(magic) and (name != "WebP" or data[8:12] == b"WEBP"):
            try:
                size_wh, intact = parse(data)
            except (struct.error, IndexError):
                size_wh, intact = (0, 0), False
            return PictureHeader(name, size_wh, intact)
    return None


def _jpeg(data: bytes) -> tuple[tuple[int, int], bool]:
    size_wh, at = (0, 0), 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
            size_wh = (width, height)
        if marker == 0xDA:
            # A thumbnail's end marker lies inside a segment; after the first scan only the picture's own can come.
            return size_wh, data.find(b"\xff\xd9", at) > 0
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
    return size_wh, False


def _png(data: bytes) -> tuple[tuple[int, int], bool]:
    width, height = struct.unpack_from(">II", data, 16)
    at = 8
    while at < len(data):
        length = int(struct.unpack_from(">I", data, at)[0])
        body = data[at + 4 : at + 8 + length]
        if zlib.crc32(body) != struct.unpack_from(">I", data, at + 8 + length)[0]:
            break
        if body[:4] == b"IEND":
            return (width, height), True
        at += 12 + length
    return (width, height), False


def _webp(data: bytes) -> tuple[tuple[int, int], bool]:
    intact = len(data) >= 8 + int(struct.unpack_from("<I", data, 4)[0])
    if data[12:16] == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif data[12:16] == b"VP8L":
        bits = int(struct.unpack_from("<I", data, 21)[0])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return (width, height), intact


def _bmp(data: bytes) -> tuple[tuple[int, int], bool]:
    width, height = struct.unpack_from("<ii", data, 18)
    return (abs(width), abs(height)), len(data) >= int(struct.unpack_from("<I", data, 2)[0])


def _tiff(data: bytes) -> tuple[tuple[int, int], bool]:
    order = "<" if data[:2] == b"II" else ">"
    at = int(struct.unpack_from(order + "I", data, 4)[0])
    sides = {256: 0, 257: 0}
    for entry in range(struct.unpack_from(order + "H", data, at)[0]):
        tag, kind = struct.unpack_from(order + "HH", data, at + 2 + 12 * entry)
        if tag in sides:
            sides[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 10 + 12 * entry)[0]
    return (sides[256], sides[257]), True


_FORMATS = (
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"RIFF", "WebP", _webp),
    (b"BM", "BMP", _bmp),
    (b"II*\0", "TIFF", _tiff),
    (b"MM\0*", "TIFF", _tiff),
)

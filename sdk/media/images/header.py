"""Image header parsing: format, size and completeness, without decoding."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageHeader:
    """Format, size and completeness of an image file.

    Args:
        format: "JPEG", "PNG", "WebP", "BMP" or "TIFF".
        size_wh: width and height in pixels as stored, before EXIF rotation; (0, 0) if the header is truncated.
        complete: whether the file reaches its end marker or declared length; for PNG also whether all checksums match.
    """

    format: str
    size_wh: tuple[int, int]
    complete: bool


def image_header(data: bytes) -> ImageHeader | None:
    """Identify an image file by its content.

    Args:
        data: the whole file, or its first bytes if only the format is of interest.

    Returns:
        The header, or None if the data is not JPEG, PNG, WebP, BMP or TIFF.
    """
    for magic, name, parse in _FORMATS:
        if data.startswith(magic) and (name != "WebP" or data[8:12] == b"WEBP"):
            try:
                size_wh, complete = parse(data)
            except (struct.error, IndexError):
                size_wh, complete = (0, 0), False
            return ImageHeader(name, size_wh, complete)
    return None


def _jpeg(data: bytes) -> tuple[tuple[int, int], bool]:
    size_wh, offset = (0, 0), 2
    while data[offset] == 0xFF:
        marker = data[offset + 1]
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, offset + 5)
            size_wh = (width, height)
        if marker == 0xDA:
            # The end marker of an EXIF thumbnail lies inside a segment before the scan, so it is not found here.
            return size_wh, data.find(b"\xff\xd9", offset) > 0
        offset += 2 + int(struct.unpack_from(">H", data, offset + 2)[0])
    return size_wh, False


def _png(data: bytes) -> tuple[tuple[int, int], bool]:
    width, height = struct.unpack_from(">II", data, 16)
    offset = 8
    while offset < len(data):
        length = int(struct.unpack_from(">I", data, offset)[0])
        chunk = data[offset + 4 : offset + 8 + length]
        if zlib.crc32(chunk) != struct.unpack_from(">I", data, offset + 8 + length)[0]:
            break
        if chunk[:4] == b"IEND":
            return (width, height), True
        offset += 12 + length
    return (width, height), False


def _webp(data: bytes) -> tuple[tuple[int, int], bool]:
    complete = len(data) >= 8 + int(struct.unpack_from("<I", data, 4)[0])
    if data[12:16] == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif data[12:16] == b"VP8L":
        bits = int(struct.unpack_from("<I", data, 21)[0])
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return (width, height), complete


def _bmp(data: bytes) -> tuple[tuple[int, int], bool]:
    width, height = struct.unpack_from("<ii", data, 18)
    return (abs(width), abs(height)), len(data) >= int(struct.unpack_from("<I", data, 2)[0])


def _tiff(data: bytes) -> tuple[tuple[int, int], bool]:
    order = "<" if data[:2] == b"II" else ">"
    offset = int(struct.unpack_from(order + "I", data, 4)[0])
    sides = {256: 0, 257: 0}  # tags ImageWidth, ImageLength
    for entry in range(struct.unpack_from(order + "H", data, offset)[0]):
        tag, value_type = struct.unpack_from(order + "HH", data, offset + 2 + 12 * entry)
        if tag in sides:
            code = "H" if value_type == 3 else "I"
            sides[tag] = struct.unpack_from(order + code, data, offset + 10 + 12 * entry)[0]
    return (sides[256], sides[257]), True


_FORMATS = (
    (b"\xff\xd8\xff", "JPEG", _jpeg),
    (b"\x89PNG\r\n\x1a\n", "PNG", _png),
    (b"RIFF", "WebP", _webp),
    (b"BM", "BMP", _bmp),
    (b"II*\0", "TIFF", _tiff),
    (b"MM\0*", "TIFF", _tiff),
)

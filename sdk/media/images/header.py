"""Image header parsing: format, size, layout and completeness, without decoding."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageHeader:
    """Format, size and layout of an image file.

    Args:
        format: key of `IMAGE_FORMATS`.
        size_wh: width and height in pixels as stored, before EXIF rotation; (0, 0) if the header is truncated, or
            unknown before decoding.
        complete: whether the file reaches its end marker or declared length; for PNG also whether all checksums match.
        alpha: whether the pixels may have opacity.
        bits: per sample.
        animated: whether the file has several frames; TIFF, AVIF and HEIC may have several all the same.
        progressive: JPEG in more than one scan.
    """

    format: str
    size_wh: tuple[int, int]
    complete: bool
    alpha: bool = False
    bits: int = 8
    animated: bool = False
    progressive: bool = False


def image_header(data: bytes) -> ImageHeader | None:
    """Identify an image file by its content.

    Args:
        data: the whole file, or its first bytes if only the format is of interest.

    Returns:
        The header, or None if the data is not of a format in `IMAGE_FORMATS`.
    """
    for name, magic, parse in _FORMATS:
        if magic.match(data):
            try:
                return parse(data)
            except (struct.error, IndexError, ValueError):
                return ImageHeader(name, (0, 0), complete=False)
    return None


_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


def jpeg_end(data: bytes) -> int:
    """Position of the end marker of a JPEG's image, or -1 without one.

    The end marker of an EXIF thumbnail lies inside of a segment, and is not found.
    """
    return next((at for marker, at in jpeg_segments(data) if marker == 0xD9), -1)


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Markers of a JPEG with their positions, up to the end marker (0xD9) or the end of the data."""
    at = 2
    while at >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if data[at] == 0xFF and marker == 0xFF:  # fill byte
            at += 1
            continue
        yield marker, at
        if marker == 0xD9 or data[at] != 0xFF or at + 4 > len(data):
            return
        at += 2 + int(struct.unpack_from(">H", data, at + 2)[0])
        if marker == 0xDA:  # compressed data until the next marker
            found = _JPEG_MARKER.search(data, at)
            at = found.start() if found else -1


def png_chunks(data: bytes, *, check: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """Types and contents of a PNG's chunks, those of the pixels without their contents.

    Args:
        data: the whole file.
        check: stop at the first chunk with a wrong checksum; at a truncated one in any case.
    """
    view, at = memoryview(data), 8
    while at + 12 <= len(data):
        length = int(struct.unpack_from(">I", data, at)[0])
        end = at + 12 + length
        if end > len(data):
            return
        if check and zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            return
        kind = data[at + 4 : at + 8]
        yield kind, data[at + 8 : end - 4] if kind not in (b"IDAT", b"fdAT") else b""
        at = end


def _jpeg(data: bytes) -> ImageHeader:
    size_wh, scans, complete, sequential = (0, 0), 0, False, True
    for marker, at in jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and not scans:
            height, width = struct.unpack_from(">HH", data, at + 5)
            size_wh, sequential = (width, height), marker in (0xC0, 0xC1)
        scans += marker == 0xDA
        complete = marker == 0xD9 and scans > 0
    return ImageHeader("JPEG", size_wh, complete, progressive=scans > 1 or not sequential)


def _png(data: bytes) -> ImageHeader:
    width, height, bits, color = struct.unpack_from(">IIBB", data, 16)
    kinds = set()
    for kind, _ in png_chunks(data, check=True):
        kinds.add(kind)
        if kind == b"IEND":
            break
    alpha = color in (4, 6) or b"tRNS" in kinds
    return ImageHeader("PNG", (width, height), b"IEND" in kinds, alpha, bits, b"acTL" in kinds)


def _webp(data: bytes) -> ImageHeader:
    complete = len(data) >= 8 + int(struct.unpack_from("<I", data, 4)[0])
    if data[12:16] == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return ImageHeader("WebP", (width, height), complete, bool(data[20] & 16), animated=bool(data[20] & 2))
    if data[12:16] == b"VP8L":
        packed = int(struct.unpack_from("<I", data, 21)[0])
        size_wh = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        return ImageHeader("WebP", size_wh, complete, alpha=bool(packed >> 28 & 1))
    width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return ImageHeader("WebP", (width, height), complete)


def _bmp(data: bytes) -> ImageHeader:
    width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    complete = len(data) >= int(struct.unpack_from("<I", data, 2)[0])
    return ImageHeader("BMP", (abs(width), abs(height)), complete, alpha=bits == 32 and compression in (3, 6))


def tiff_pages(data: bytes) -> list[int]:
    """Positions of the directories of a TIFF's pages, without reduced copies and masks of other pages."""
    order = "<" if data[:2] == b"II" else ">"
    pages: list[int] = []
    seen: set[int] = set()
    at = int(struct.unpack_from(order + "I", data, 4)[0])
    while at and at not in seen and len(seen) < _MAX_PAGES:
        seen.add(at)
        try:
            if not tiff_tags(data, at).get(254, 0) & 0b101:  # NewSubfileType
                pages.append(at)
            entries = int(struct.unpack_from(order + "H", data, at)[0])
            at = int(struct.unpack_from(order + "I", data, at + 2 + 12 * entries)[0])
        except struct.error:  # truncated: the pages before are intact
            break
    return pages


def tiff_tags(data: bytes, directory: int) -> dict[int, int]:
    """First value of each tag of type BYTE, SHORT or LONG in a directory of a TIFF."""
    order = "<" if data[:2] == b"II" else ">"
    tags = {}
    for index in range(struct.unpack_from(order + "H", data, directory)[0]):
        entry = directory + 2 + 12 * index
        tag, value_type, count = struct.unpack_from(order + "HHI", data, entry)
        if value_type in _TIFF_TYPES:
            code, size = _TIFF_TYPES[value_type]
            at = entry + 8 if count * size <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
            if at + size <= len(data):
                tags[tag] = int(struct.unpack_from(order + code, data, at)[0])
    return tags


_MAX_PAGES = 100_000
_TIFF_TYPES = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4)}


def _tiff(data: bytes) -> ImageHeader:
    order = "<" if data[:2] == b"II" else ">"
    tags = tiff_tags(data, int(struct.unpack_from(order + "I", data, 4)[0]))
    size_wh = (tags.get(256, 0), tags.get(257, 0))
    return ImageHeader("TIFF", size_wh, complete=all(size_wh), alpha=338 in tags, bits=tags.get(258, 1))


def _heif(name: str, data: bytes) -> ImageHeader:
    """AVIF and HEIC: the largest of the image sizes in the metadata box, and the depth of the first codec."""
    found = list(re.finditer(b"ispe", data[:65_536])) or re.finditer(b"ispe", data)
    sizes = [struct.unpack_from(">II", data, match.end() + 4) for match in found]
    bits, av1, hevc = 8, data.find(b"av1C", 0, 65_536), data.find(b"hvcC", 0, 65_536)
    if av1 >= 0:
        bits = 12 if data[av1 + 6] & 0x20 else 10 if data[av1 + 6] & 0x40 else 8
    elif hevc >= 0:
        bits = 8 + (data[hevc + 21] & 7)
    animated = data[8:12] in (b"avis", b"msf1", b"hevc")
    return ImageHeader(name, max(sizes, default=(0, 0), key=lambda wh: wh[0] * wh[1]), True, True, bits, animated)


def _avif(data: bytes) -> ImageHeader:
    return _heif("AVIF", data)


def _heic(data: bytes) -> ImageHeader:
    return _heif("HEIC", data)


def _jpeg_xl(data: bytes) -> ImageHeader:
    at = 0 if data[:2] == b"\xff\x0a" else max(data.find(b"jxlc"), data.find(b"jxlp"))
    if at and data[at : at + 4] == b"jxlp":
        at += 4
    at = data.index(b"\xff\x0a", at, at + 8 if at else 2)
    bits = _Bits(data[at + 2 : at + 34])
    size_wh = _jpeg_xl_size(bits)
    depth, animated = _jpeg_xl_depth(bits)
    return ImageHeader("JPEG XL", size_wh, True, alpha=True, bits=depth, animated=animated)


def jpeg_xl_xmp(data: bytes) -> bytes:
    """XMP of a JPEG XL, of its box "xml "; b"" if it has none, or a compressed one."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            length, head = int(struct.unpack_from(">Q", data, at + 8)[0]), 16
        end = at + length if length else len(data)
        if end < at + head or end > len(data):
            break
        if kind == b"xml ":
            return data[at + head : end]
        at = end
    return b""


class _Bits:
    """Reads bits, the least significant first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")

    def take(self, count: int) -> int:
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value

    def choose(self, *fields: int) -> int:
        """Unsigned integer of one of four widths, chosen by 2 bits."""
        return self.take(fields[self.take(2)])


_RATIOS = ((1, 1), (6, 5), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


def _jpeg_xl_size(bits: _Bits) -> tuple[int, int]:
    """SizeHeader of ISO/IEC 18181-1."""
    small = bits.take(1)
    height = 8 * (bits.take(5) + 1) if small else bits.choose(9, 13, 18, 30) + 1
    ratio = bits.take(3)
    if ratio:
        across, down = _RATIOS[ratio - 1]
        return height * across // down, height
    return 8 * (bits.take(5) + 1) if small else bits.choose(9, 13, 18, 30) + 1, height


def _jpeg_xl_depth(bits: _Bits) -> tuple[int, bool]:
    """Bits per sample, and whether there is an animation, of ImageMetadata in ISO/IEC 18181-1."""
    if bits.take(1):  # all default
        return 8, False
    animated = False
    if bits.take(1):  # extra fields
        bits.take(3)
        if bits.take(1):
            _jpeg_xl_size(bits)
        if bits.take(1):  # preview, whose size has a layout of its own: the depth is not read
            return 8, False
        animated = bool(bits.take(1))
        if animated:
            return 8, True
    floating = bits.take(1)
    selector = bits.take(2)
    if floating:
        return (32, 16, 24)[selector] if selector < 3 else 1 + bits.take(6), animated
    return (8, 10, 12)[selector] if selector < 3 else 1 + bits.take(6), animated


_FORMATS = (
    ("JPEG", re.compile(rb"\xff\xd8\xff"), _jpeg),
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    ("WebP", re.compile(rb"RIFF.{4}WEBP", re.DOTALL), _webp),
    ("BMP", re.compile(rb"BM"), _bmp),
    ("TIFF", re.compile(rb"II\*\0|MM\0\*"), _tiff),
    ("AVIF", re.compile(rb".{4}ftyp(avif|avis|mif1.{0,80}avif)", re.DOTALL), _avif),
    ("HEIC", re.compile(rb".{4}ftyp(heic|heix|hevc|hevx|heim|heis|mif1|msf1)", re.DOTALL), _heic),
    ("JPEG XL", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", re.DOTALL), _jpeg_xl),
)

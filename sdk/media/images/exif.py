"""EXIF blocks: orientation, and changes in place that keep all other offsets, so that maker notes stay readable."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_WIDTHS, _HEIGHTS = (0x0100, 0xA002), (0x0101, 0xA003)  # ImageWidth, PixelXDimension; ImageLength, PixelYDimension
_THUMBNAIL_OFFSET, _THUMBNAIL_LENGTH = 0x0201, 0x0202
_X_RESOLUTION, _RESOLUTION_UNIT, _INCH = 0x011A, 0x0128, 2
_SHORT, _LONG, _RATIONAL = 3, 4, 5


class _Tiff:
    """Entries of the directories of a TIFF block, as positions in its bytes."""

    def __init__(self, exif: bytes) -> None:
        self.data = bytearray(exif)
        self._order = {b"II": "<", b"MM": ">"}.get(exif[:2], "")

    def directory(self, number: int) -> int:
        """Position of directory 0 (image) or 1 (thumbnail); 0 if there is none."""
        at = self._long(4)
        return at if number == 0 or not at else self._long(self._next(at))

    def entries(self, at: int) -> Iterator[tuple[int, int]]:
        """Tag and position of the entries of the directory at `at`."""
        for index in range(self._short(at)):
            entry = at + 2 + 12 * index
            yield self._short(entry), entry

    def value(self, entry: int) -> int:
        """Value of an entry of one SHORT or LONG."""
        return self._short(entry + 8) if self._short(entry + 2) == _SHORT else self._long(entry + 8)

    def put(self, entry: int, value: int) -> None:
        """Replace the value of an entry; one that does not fit SHORT makes it LONG."""
        if self._short(entry + 2) == _SHORT and value < 1 << 16:
            struct.pack_into(self._order + "HH", self.data, entry + 8, value, 0)
        else:
            struct.pack_into(self._order + "HIi", self.data, entry + 2, _LONG, 1, value)

    def drop_thumbnail(self) -> None:
        """Remove the second directory, and the bytes of its thumbnail."""
        thumbnail = self.directory(1)
        if not thumbnail:
            return
        places = {tag: self.value(entry) for tag, entry in self.entries(thumbnail)}
        start, length = places.get(_THUMBNAIL_OFFSET, 0), places.get(_THUMBNAIL_LENGTH, 0)
        if 0 < start < start + length <= len(self.data):
            self.data[start : start + length] = bytes(length)
            if start + length == len(self.data):
                del self.data[start:]
        struct.pack_into(self._order + "I", self.data, self._next(self.directory(0)), 0)

    def _next(self, at: int) -> int:
        return at + 2 + 12 * self._short(at)

    def _short(self, at: int) -> int:
        return int(struct.unpack_from(self._order + "H", self.data, at)[0])

    def _long(self, at: int) -> int:
        return int(struct.unpack_from(self._order + "I", self.data, at)[0])


def orientation(exif: bytes) -> int:
    """EXIF orientation, 1 to 8; 1 if it is missing or invalid."""
    if not exif:
        return 1
    tiff = _Tiff(exif)
    try:
        values = [tiff.value(entry) for tag, entry in tiff.entries(tiff.directory(0)) if tag == _ORIENTATION]
    except (struct.error, IndexError):
        return 1
    return values[0] if values and 1 <= values[0] <= 8 else 1


def has_resolution(exif: bytes) -> bool:
    """Whether the block has a resolution."""
    if not exif:
        return False
    tiff = _Tiff(exif)
    try:
        return any(tag == _X_RESOLUTION for tag, _ in tiff.entries(tiff.directory(0)))
    except (struct.error, IndexError):
        return False


def resolution_exif(dpi: tuple[float, float]) -> bytes:
    """A block with a resolution in dots per inch only."""
    entries = ((_X_RESOLUTION, _RATIONAL, 50), (_X_RESOLUTION + 1, _RATIONAL, 58), (_RESOLUTION_UNIT, _SHORT, _INCH))
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    values = b"".join(struct.pack("<II", round(value * 1000), 1000) for value in dpi)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + values


def upright_exif(exif: bytes) -> bytes:
    """The block for pixels that have been turned upright: orientation 1."""
    if orientation(exif) == 1:
        return exif
    tiff = _Tiff(exif)
    for tag, entry in tiff.entries(tiff.directory(0)):
        if tag == _ORIENTATION:
            tiff.put(entry, 1)
    return bytes(tiff.data)


def resized_exif(exif: bytes, size_wh: tuple[int, int]) -> bytes:
    """The block for pixels of another size: sizes updated, thumbnail removed; b"" if it cannot be parsed."""
    tiff = _Tiff(exif)
    try:
        entries = list(tiff.entries(tiff.directory(0)))
        for _, sub in [entry for entry in entries if entry[0] == _EXIF_IFD]:
            entries += tiff.entries(tiff.value(sub))
        for tag, entry in entries:
            if tag in _WIDTHS or tag in _HEIGHTS:
                tiff.put(entry, size_wh[tag in _HEIGHTS])
        tiff.drop_thumbnail()
    except (struct.error, IndexError):
        return b""
    return bytes(tiff.data)


def upright_xmp(xmp: bytes) -> bytes:
    """An XMP packet for pixels that have been turned upright."""
    return _with_property(xmp, b"tiff:Orientation", 1)


def resized_xmp(xmp: bytes, size_wh: tuple[int, int]) -> bytes:
    """An XMP packet for pixels of another size."""
    for name, value in zip((b"Width", b"X", b"Length", b"Y"), (*size_wh[:1] * 2, *size_wh[1:] * 2), strict=True):
        xmp = _with_property(xmp, b"exif:Pixel%sDimension" % name if len(name) == 1 else b"tiff:Image" + name, value)
    return xmp


def _with_property(xmp: bytes, name: bytes, value: int) -> bytes:
    """Replace the value of a numeric property, an attribute or an element, where it occurs."""
    return re.sub(rb"(%s\s*(?:=\s*[\"']|>)\s*)\d+" % name, rb"\g<1>%d" % value, xmp)

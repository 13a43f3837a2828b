"""Where the parts of a file lie: segments, chunks, boxes, elements, fields, and the length field of each."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAX_PARTS = 400


@dataclass(frozen=True)
class Length:
    """A length field.

    Args:
        at, width: its bytes.
        kind: ">" or "<" for an integer of that byte order, "vint" of EBML, "varint" of protobuf.
        bias: length of the part minus the value of the field.
    """

    at: int
    width: int
    kind: str
    bias: int

    def write(self, data: bytearray, value: int) -> None:
        """Overwrite the field; a value that it cannot hold is cut."""
        if self.kind == "vint":
            value = (value & ((1 << 7 * self.width) - 1)) | 1 << 7 * self.width
            field = value.to_bytes(self.width, "big")
        elif self.kind == "varint":  # longer than necessary is valid
            more = [0x80] * (self.width - 1) + [0]
            field = bytes(value >> 7 * n & 0x7F | more[n] for n in range(self.width))
        else:
            value &= (1 << 8 * self.width) - 1
            field = value.to_bytes(self.width, "big" if self.kind == ">" else "little")
        data[self.at : self.at + self.width] = field


@dataclass(frozen=True)
class Part:
    """A part of a file from `start` to `end`; `payload` is where its content begins."""

    start: int
    payload: int
    end: int
    length: Length | None = None


def _jpeg(data: bytes) -> Iterator[Part]:
    offset = 2
    while offset + 4 <= len(data) and data[offset] == 0xFF:
        marker, size = data[offset + 1], int.from_bytes(data[offset + 2 : offset + 4], "big")
        yield Part(offset, offset + 4, offset + 2 + size, Length(offset + 2, 2, ">", 2))
        if marker == 0xDA:
            yield Part(offset + 2 + size, offset + 2 + size, len(data))
            return
        offset += 2 + size


def _png(data: bytes) -> Iterator[Part]:
    offset = 8
    while offset + 12 <= len(data):
        size = int.from_bytes(data[offset : offset + 4], "big")
        yield Part(offset, offset + 8, offset + 12 + size, Length(offset, 4, ">", 12))
        offset += 12 + size


def _riff(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Part]:
    end = len(data) if end is None else end
    while start + 8 <= end:
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        stop = min(start + 8 + size, end)
        yield Part(start, start + 8, stop, Length(start + 4, 4, "<", 8))
        if data[start : start + 4] in (b"RIFF", b"LIST"):
            yield from _riff(data, start + 12, stop)
        start += 8 + size + size % 2


_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex", b"dinf", b"udta", b"iprp"}
_FULL_BOXES = {b"meta": 4, b"ipco": 0, b"iinf": 6, b"stsd": 8, b"dref": 8, b"iref": 4, b"avc1": 78, b"hvc1": 78}


def _bmff(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Part]:
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, kind = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8]
        stop = min(start + size, end) if size >= 8 else end
        yield Part(start, start + 8, stop, Length(start, 4, ">", 0))
        if kind in _BOXES or kind in _FULL_BOXES:
            yield from _bmff(data, start + 8 + _FULL_BOXES.get(kind, 0), stop)
        start = stop


_MASTERS = {0x1A45DFA3, 0x18538067, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x1F43B675, 0xA0, 0x1C53BB6B}
_MASTERS |= {0xBB, 0x1254C367, 0x7373, 0x67C8, 0x1043A770, 0x45B9, 0xB6, 0x1941A469, 0x61A7, 0x4DBB}


def _ebml(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Part]:
    end = len(data) if end is None else end
    while start + 2 <= end and data[start]:
        width = 9 - data[start].bit_length()
        at = start + width
        if at >= end or not data[at]:
            return
        size_width = 9 - data[at].bit_length()
        size = int.from_bytes(data[at : at + size_width], "big") & ((1 << 7 * size_width) - 1)
        payload = at + size_width
        stop = end if size == (1 << 7 * size_width) - 1 else min(payload + size, end)
        yield Part(start, payload, stop, Length(at, size_width, "vint", payload - start))
        if int.from_bytes(data[start:at], "big") in _MASTERS:
            yield from _ebml(data, payload, stop)
        start = stop


def _tiff(data: bytes) -> Iterator[Part]:
    order = "<" if data[:2] == b"II" else ">"
    (offset,) = struct.unpack_from(order + "I", data, 4)
    while 8 <= offset < len(data) - 2:
        (count,) = struct.unpack_from(order + "H", data, offset)
        for entry in range(count):
            start = offset + 2 + 12 * entry
            yield Part(start, start, start + 12)
        following = struct.unpack_from(order + "I", data, offset + 2 + 12 * count)[0]
        if following <= offset:
            return
        offset = following


def _protobuf(data: bytes, start: int = 0, end: int | None = None, depth: int = 0) -> Iterator[Part]:
    end = len(data) if end is None else end
    while start < end:
        key, at = _varint(data, start)
        if key & 7 == 2:
            size, payload = _varint(data, at)
            stop = payload + size
            if stop > end:
                return
            yield Part(start, payload, stop, Length(at, payload - at, "varint", payload - start))
            if depth < 5 and size > 2:
                yield from _protobuf(data, payload, stop, depth + 1)
            start = stop
            continue
        size = {0: _varint(data, at)[1] - at, 1: 8, 5: 4}.get(key & 7)
        if size is None or at + size > end:
            return
        yield Part(start, at, at + size)
        start = at + size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data) and shift < 64:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not data[at - 1] & 0x80:
            break
    return value, at


def _transport_stream(data: bytes) -> Iterator[Part]:
    for start in range(0, len(data) - 187, 188):
        yield Part(start, start + 4, start + 188)


def _gif(data: bytes) -> Iterator[Part]:
    yield Part(6, 6, 13)
    start = 13
    while (start := data.find(b"\x21", start)) >= 0 and start + 3 < len(data):
        yield Part(start, start + 3, min(start + 3 + data[start + 2], len(data)), Length(start + 2, 1, "<", 3))
        start += 3


FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Iterator[Part]]], ...] = (
    (lambda data: data[:3] == b"\xff\xd8\xff", _jpeg),
    (lambda data: data[:8] == b"\x89PNG\r\n\x1a\n", _png),
    (lambda data: data[:4] == b"RIFF", _riff),
    (lambda data: data[4:8] in (b"ftyp", b"JXL ", b"moov", b"wide"), _bmff),
    (lambda data: data[:4] == b"\x1a\x45\xdf\xa3", _ebml),
    (lambda data: data[:4] in (b"II*\0", b"MM\0*"), _tiff),
    (lambda data: data[:3] == b"GIF", _gif),
    (lambda data: data[:1] == b"\x47" and data[188:189] == b"\x47", _transport_stream),
    (lambda data: data[:1] == b"\x08" and data[2:3] in b"\x12\x1a\x3a", _protobuf),
)


def parts_of(data: bytes) -> list[Part]:
    """The parts of a file of a known format, nested ones too; empty for other files."""
    for matches, parse in FORMATS:
        if matches(data):
            found: list[Part] = []
            try:
                for part in parse(data):
                    if part.start <= part.payload <= part.end <= len(data):
                        found.append(part)
            except (struct.error, IndexError):
                pass
            return found if len(found) <= MAX_PARTS else found[:: len(found) // MAX_PARTS + 1]
    return []


def with_checksums(data: bytes) -> bytes:
    """A PNG file with the checksum of every chunk corrected; other files unchanged."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    fixed = bytearray(data)
    for part in _png(data):
        if part.end <= len(data):
            fixed[part.end - 4 : part.end] = struct.pack(">I", zlib.crc32(data[part.start + 4 : part.end - 4]))
    return bytes(fixed)

"""Lost frames of H.264, from the numbers of the frames that arrive.

FFmpeg conceals a frame that never arrived by a copy of the one before, and marks none that are predicted from it.
Source: ITU-T H.264, 7.3.2.1 (sequence parameter set), 7.3.3 (slice header), 7.4.3 (gaps in frame_num).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SLICE, _IDR_SLICE, _SPS = 1, 5, 7
_START = re.compile(b"\x00\x00\x01")
_HEAD = 256  # bytes that hold a sequence parameter set or the start of a slice header
_WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})  # profiles


@dataclass(frozen=True)
class _Numbering:
    """How a stream numbers its frames.

    Args:
        bits: of a number.
        planes_apart: slices have the number of a color plane.
        may_skip: numbers may be left out on purpose.
    """

    bits: int
    planes_apart: bool
    may_skip: bool


class H264FrameNumbers:
    """Counts the reference frames that are missing before each packet.

    Args:
        extradata: of the stream; b"" if there is none.
    """

    def __init__(self, extradata: bytes) -> None:
        self._numbering: _Numbering | None = None
        self._last: int | None = None  # number of the last reference frame
        # avcC has a length before each unit, in 1, 2 or 4 bytes; else start codes separate them.
        self._length_bytes = (extradata[4] & 3) + 1 if extradata[:1] == b"\x01" and len(extradata) > 8 else 0
        if self._length_bytes:
            self._note_sps(extradata[8:])
        else:
            self.missing(extradata)

    def missing(self, packet: bytes) -> int:
        """Number of reference frames that are missing between the packet before and this one."""
        for unit in self._units(packet):
            kind = unit[0] & 31
            if kind == _SPS:
                self._note_sps(unit)
            elif kind in (_SLICE, _IDR_SLICE):
                return self._missing(unit)
        return 0

    def _missing(self, unit: bytes) -> int:
        if (numbering := self._numbering) is None:
            return 0
        try:
            bits = _Bits(unit[1:_HEAD])
            for _ in range(3):  # first macroblock, type, picture parameter set
                bits.exp_golomb()
            bits.read(2 if numbering.planes_apart else 0)
            number = bits.read(numbering.bits)
        except IndexError:  # a damaged unit, which the decoder reports
            return 0
        last, is_reference = self._last, unit[0] >> 5 & 3 > 0
        if unit[0] & 31 == _IDR_SLICE:
            last = number
        count = 0 if last is None or numbering.may_skip else _gap(last, number, 1 << numbering.bits)
        if is_reference or count:
            self._last = number
        return count

    def _note_sps(self, unit: bytes) -> None:
        try:
            self._numbering = _numbering(_Bits(unit[1:_HEAD]))
        except IndexError:
            return

    def _units(self, packet: bytes) -> Iterator[bytes]:
        """The first bytes of each unit."""
        if not self._length_bytes:
            for start_code in _START.finditer(packet):
                if head := packet[start_code.end() : start_code.end() + _HEAD]:
                    yield head
            return
        offset = 0
        while offset + self._length_bytes < len(packet):
            start = offset + self._length_bytes
            yield packet[start : start + _HEAD]
            offset = start + int.from_bytes(packet[offset:start], "big")


def _gap(last: int, number: int, numbers: int) -> int:
    """Frames missing between two numbers; a jump back is a start from 0 whose first frame, an IDR, is lost."""
    missing = max(0, (number - last) % numbers - 1)
    return 1 if missing > numbers // 2 else missing


class _Bits:
    """Reads bits; IndexError at the end."""

    def __init__(self, data: bytes) -> None:
        data = data.replace(b"\x00\x00\x03", b"\x00\x00")  # emulation prevention
        self._value, self._left = int.from_bytes(data, "big"), len(data) * 8

    def read(self, count: int) -> int:
        if count > self._left:
            raise IndexError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def exp_golomb(self) -> int:
        zeros = 0
        while not self.read(1):
            zeros += 1
        return (1 << zeros) - 1 + self.read(zeros)

    def skip_scaling_list(self, size: int) -> None:
        last = following = 8
        for _ in range(size):
            if following:
                code = self.exp_golomb()
                following = (last + (code + 1 >> 1) * (1 if code & 1 else -1)) % 256
            last = following or last


def _numbering(bits: _Bits) -> _Numbering:
    """Read a sequence parameter set up to what numbers the frames."""
    profile = bits.read(8)
    bits.read(16)
    bits.exp_golomb()
    planes_apart = False
    if profile in _WITH_CHROMA:
        chroma = bits.exp_golomb()
        planes_apart = bool(bits.read(1)) if chroma == 3 else False
        bits.exp_golomb()
        bits.exp_golomb()
        bits.read(1)
        if bits.read(1):
            for index in range(12 if chroma == 3 else 8):
                if bits.read(1):
                    bits.skip_scaling_list(16 if index < 6 else 64)
    number_bits = bits.exp_golomb() + 4
    order = bits.exp_golomb()
    if order == 0:
        bits.exp_golomb()
    elif order == 1:
        bits.read(1)
        for _ in range(2):
            bits.exp_golomb()
        for _ in range(bits.exp_golomb()):
            bits.exp_golomb()
    bits.exp_golomb()  # reference frames
    return _Numbering(number_bits, planes_apart, bool(bits.read(1)))

"""Pictures that carry numbers: made by the program of the RTSP server, which has no numpy, and read by tests."""

from __future__ import annotations

from functools import lru_cache

BITS, BLOCK = 32, 8
"""A number is a row of 32 squares of 8 px, white for 1, the highest bit first."""
_LOOP = 16 * 97  # rows after which the background repeats


@lru_cache(4)
def _background(width: int, height: int) -> bytes:
    """Rows of squares of 16 px, each of a level that looks random."""
    rows = []
    for row in range(0, height + _LOOP, 16):
        levels = ((column * 7919 + row // 16 * 104729) % 97 + 60 for column in range(width // 16 + 1))
        rows.append(b"".join(bytes([level]) * 16 for level in levels)[:width] * 16)
    return b"".join(rows)


def _number(value: int, width: int) -> bytes:
    bits = b"".join((b"\xeb" if value >> (BITS - 1 - bit) & 1 else b"\x10") * BLOCK for bit in range(BITS))
    return (bits + b"\x10" * (width - len(bits))) * BLOCK


def luma(size_wh: tuple[int, int], shown: int, numbers: tuple[int, ...]) -> bytes:
    """Rows of a picture, video range: numbers above a background that has scrolled by `shown` steps of 2 px."""
    width, height = size_wh
    head = b"".join(_number(number, width) for number in numbers)
    first = shown * 2 % _LOOP * width
    return head + _background(width, height)[first + len(head) : first + width * height]

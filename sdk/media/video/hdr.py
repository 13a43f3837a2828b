"""Static metadata of HDR video: mastering display (SMPTE ST 2086) and content light level (CTA-861.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import av

_RATIONALS = 10  # red x, y, green x, y, blue x, y, white x, y, minimum and maximum luminance
_MASTERING = struct.Struct(f"={2 * _RATIONALS}i2i")  # FFmpeg's AVMasteringDisplayMetadata
_LIGHT_LEVEL = struct.Struct("=2I")  # FFmpeg's AVContentLightMetadata


@dataclass(frozen=True)
class HdrMetadata:
    """Static HDR metadata; None where the file has none.

    Args:
        primaries: CIE 1931 x and y of red, green and blue of the mastering display.
        white_point: its x and y.
        luminance: its minimum and maximum luminance in cd/m².
        max_cll: maximum content light level in cd/m².
        max_fall: maximum frame-average light level in cd/m².
    """

    primaries: tuple[tuple[Fraction, Fraction], ...] | None = None
    white_point: tuple[Fraction, Fraction] | None = None
    luminance: tuple[Fraction, Fraction] | None = None
    max_cll: int | None = None
    max_fall: int | None = None


def hdr_metadata(frame: av.VideoFrame) -> HdrMetadata | None:
    """Static HDR metadata of a decoded frame; None if it has none."""
    mastering = side_data(frame, "MASTERING_DISPLAY_METADATA")
    light = side_data(frame, "CONTENT_LIGHT_LEVEL")
    primaries = white_point = luminance = None
    if len(mastering) >= _MASTERING.size:
        *numbers, has_primaries, has_luminance = _MASTERING.unpack_from(mastering)
        values = [Fraction(n, d) if d else Fraction(0) for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
        points = list(zip(values[0:8:2], values[1:8:2], strict=True))
        primaries, white_point = (tuple(points[:3]), points[3]) if has_primaries else (None, None)
        luminance = (values[8], values[9]) if has_luminance else None
    max_cll, max_fall = _LIGHT_LEVEL.unpack_from(light) if len(light) >= _LIGHT_LEVEL.size else (None, None)
    if primaries is None and luminance is None and max_cll is None:
        return None
    return HdrMetadata(primaries, white_point, luminance, max_cll, max_fall)


def side_data(frame: av.VideoFrame, name: str) -> bytes:
    """FFmpeg's side data of a frame by the name of its type; b"" if there is none."""
    try:
        data = frame.side_data.get(name)
    except ValueError:  # side data of another kind, which this release of PyAV does not know
        return b""
    return b"" if data is None else bytes(cast(bytes, data))

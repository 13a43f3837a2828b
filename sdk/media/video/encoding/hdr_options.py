"""Options of encoders that write HDR metadata into the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from ..hdr import HdrMetadata


@dataclass(frozen=True)
class _Syntax:
    """How an encoder takes HDR metadata.

    Args:
        option: FFmpeg option that passes parameters to the encoder.
        mastering: parameter of the mastering display.
        light: parameter of the content light level.
        point: text of a chromaticity coordinate.
        luminance: text of a luminance in cd/m².
        fixed: further parameters.
    """

    option: str
    mastering: str
    light: str
    point: Callable[[Fraction], str]
    luminance: Callable[[Fraction], str]
    fixed: str = ""


def _steps(per_unit: int) -> Callable[[Fraction], str]:
    return lambda value: str(round(value * per_unit))


def _decimals(digits: int) -> Callable[[Fraction], str]:
    return lambda value: f"{float(value):.{digits}f}"


_SYNTAX = {
    "libx265": _Syntax("x265-params", "master-display", "max-cll", _steps(50_000), _steps(10_000), "hdr10=1"),
    "libx264": _Syntax("x264-params", "mastering-display", "cll", _steps(50_000), _steps(10_000)),
    "libsvtav1": _Syntax("svtav1-params", "mastering-display", "content-light", _decimals(6), _decimals(4)),
}


def stores_hdr(encoder: str) -> bool:
    """Whether an encoder, given by its FFmpeg name, writes HDR metadata."""
    return encoder in _SYNTAX


def hdr_options(encoder: str, hdr: HdrMetadata | None, settings: dict[str, str]) -> dict[str, str]:
    """Add HDR metadata to the options of an encoder.

    Args:
        encoder: FFmpeg name.
        hdr: to be written; None for none.
        settings: FFmpeg options of the encoder.

    Returns:
        The options, with the metadata if the encoder takes it.
    """
    syntax = _SYNTAX.get(encoder)
    if syntax is None or hdr is None:
        return settings
    given = [settings.get(syntax.option, ""), syntax.fixed]
    if hdr.primaries and hdr.white_point and hdr.luminance:
        red, green, blue = hdr.primaries
        points = zip(("G", "B", "R", "WP"), (green, blue, red, hdr.white_point), strict=True)
        text = "".join(f"{name}({syntax.point(x)},{syntax.point(y)})" for name, (x, y) in points)
        low, high = hdr.luminance
        given.append(f"{syntax.mastering}={text}L({syntax.luminance(high)},{syntax.luminance(low)})")
    if hdr.max_cll is not None:
        given.append(f"{syntax.light}={hdr.max_cll},{hdr.max_fall or 0}")
    return {**settings, syntax.option: ":".join(filter(None, given))}

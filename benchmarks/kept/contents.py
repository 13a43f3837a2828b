"""What a picture or video holds, as readers other than this package see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]


@dataclass(frozen=True)
class Sound:
    """A sound stream.

    Args:
        codec: FFmpeg name.
        packets: contents of its packets.
        start_ms: time of its first packet.
        heard_ms: start and end of the samples that are heard: encoders add some at the start, which decoders leave out.
        language: three letters; "" if unknown.
        default: whether players choose it.
    """

    codec: str
    packets: tuple[bytes, ...]
    start_ms: float
    heard_ms: tuple[float, float]
    language: str
    default: bool


@dataclass(frozen=True)
class Subtitles:
    """A subtitle stream.

    Args:
        codec: FFmpeg name.
        lines: start in ms and text without markup, of each line; of bitmaps, the bytes.
        language: three letters; "" if unknown.
    """

    codec: str
    lines: tuple[tuple[float, str], ...]
    language: str


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Args:
        frames: (H, W, 3) float32 BGR, 0 to 255 with fractions, upright.
        alpha: (H, W) float32 opacity of each frame, 0 to 255; empty if opaque.
        bits: per sample, as stored.
        times_ms: start of each frame, relative to the first.
        start_ms: of the first frame.
        container_start_ms: of the first packet of all streams.
        duration_ms: from the start of the first frame to the end of the last one; None if not stored.
        loop: repetitions of an animation, 0 for endless; None if not stored.
        icc, xmp: as stored.
        exif: tag -> value, of all directories.
        dpi: dots per inch.
        hdr: transfer, primaries, mastering display and content light level.
        aspect: width over height of a pixel, upright.
        turned: whether an orientation is stored that readers apply.
        interlaced: whether frames are marked as interlaced or combed.
        comb: how much neighboring rows differ more than next but one rows, in levels.
        damaged: packets that cannot be decoded, or frames with damage.
        sounds, subtitles: streams.
        chapters: start in ms and title.
        tags: lower-case name -> value.
        attachments: name -> bytes.
    """

    frames: tuple[Pixels, ...] = ()
    alpha: tuple[Pixels, ...] = ()
    bits: int = 8
    times_ms: tuple[float, ...] = (0.0,)
    start_ms: float = 0.0
    container_start_ms: float = 0.0
    duration_ms: float | None = None
    loop: int | None = None
    icc: bytes = b""
    xmp: bytes = b""
    exif: dict[str, str] = field(default_factory=dict)
    dpi: float | None = None
    hdr: dict[str, str] = field(default_factory=dict)
    aspect: Fraction = Fraction(1)
    turned: bool = False
    interlaced: bool = False
    comb: float = 0.0
    damaged: int = 0
    sounds: tuple[Sound, ...] = ()
    subtitles: tuple[Subtitles, ...] = ()
    chapters: tuple[tuple[int, str], ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    attachments: dict[str, bytes] = field(default_factory=dict)

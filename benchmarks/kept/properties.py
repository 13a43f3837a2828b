"""Properties of pictures and videos, and how each is compared before and after a run."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np

from .contents import Contents, Pixels, Sound
from .read_video import comb

Outcome = Literal["kept", "changed", "lost"]
Comparison = tuple[Outcome, str] | None
"""Outcome and measured value; None if the input does not have the property."""

MAX_LEVELS = 3.0
"""Mean difference to bicubic enlargement that lossy codecs may make, in levels of 8 bits."""
MAX_COLOR_ERROR = 1.5
"""Difference of the mean of each channel, in levels of 8 bits."""
OPAQUE = 250
"""Opacity from which colors are compared: others are blended where the output is opaque."""
MAX_PALETTE_LEVELS = 6.0
"""The same for GIF, which has 256 colors."""
MAX_SOUND_OFFSET_MS = 5.0
MAX_GRID_OFFSET_MS = 25.0
"""The same for AVI, which has no timestamps: AAC starts with 21 ms that are not heard elsewhere."""
MAX_CUT_MS = 30.0
"""Sound that may be missing at the end: a packet."""
TOLERANCE_MS = {".gif": 5.0, ".avi": 20.0}
"""Rounding of timestamps: of hundredths of a second, and half a frame at 25 frames/s."""
_LOSSLESS = frozenset({".png", ".tif"})


@dataclass(frozen=True)
class Property:
    """A property of files.

    Args:
        name: heading of its table.
        words: regular expression of the words by which a note names it.
        compare: input, output and suffix of the output -> outcome.
    """

    name: str
    words: str
    compare: Callable[[Contents, Contents, str], Comparison]


def enlarged(pixels: Pixels, size_wh: tuple[int, int]) -> Pixels:
    """Bicubic enlargement, in levels of 8 bits with fractions."""
    result = cv2.resize(pixels, size_wh, interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(result, 0, 255), np.float32)


def matches(before: Contents, after: Contents) -> list[int]:
    """Index of the input frame that each output frame shows: the most similar one where it is opaque."""
    if not before.frames:
        return []
    size_wh = before.frames[0].shape[1::-1]
    sources = [_reduced(source, size_wh) for source in before.frames]
    opaque = tuple(np.asarray(alpha > OPAQUE, np.float32) for alpha in before.alpha)
    visible = opaque or (np.ones(size_wh[::-1], np.float32),) * len(sources)
    found = []
    for result in after.frames:
        small = _reduced(result, size_wh)
        errors = [_weighted(np.abs(small - source), alpha) for source, alpha in zip(sources, visible, strict=True)]
        found.append(int(np.argmin(errors)))
    return found


def _weighted(error: Pixels, alpha: Pixels) -> float:
    return float((error.mean(axis=2) * alpha).sum() / max(1.0, float(alpha.sum())))


def _reduced(pixels: Pixels, size_wh: tuple[int, ...]) -> Pixels:
    if pixels.shape[1::-1] == size_wh:
        return pixels
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA), np.float32)


def _shift_ms(before: Contents, after: Contents) -> float:
    """How much later the frames are in the output."""
    if not after.times_ms:
        return 0.0
    firsts: dict[int, float] = {}
    for index, time in zip(matches(before, after), after.times_ms, strict=False):
        firsts.setdefault(index, time + after.start_ms - before.times_ms[index] - before.start_ms)
    if len(firsts) > 1:  # a container without a start time repeats the first frame
        del firsts[min(firsts)]
    return float(np.median(list(firsts.values())))


def _pixels(before: Contents, after: Contents, suffix: str) -> Comparison:
    if before.interlaced or before.damaged:
        return None  # judged by other properties
    errors, shifts = [], []
    for index, result in zip(matches(before, after), after.frames, strict=True):
        size_wh = (result.shape[1], result.shape[0])
        difference = result - enlarged(before.frames[index], size_wh)
        if before.alpha:  # colors are defined where something is visible
            visible = cv2.erode(enlarged(before.alpha[index], size_wh), np.ones((5, 5))) > OPAQUE
            difference = difference[visible]
        errors.append(float(np.abs(difference).mean()))
        shifts.append(float(np.abs(difference.reshape(-1, 3).mean(axis=0)).max()))
    if not errors:
        return "lost", "no frame"
    kept = max(errors) <= (MAX_PALETTE_LEVELS if suffix == ".gif" else MAX_LEVELS) and max(shifts) <= MAX_COLOR_ERROR
    return "kept" if kept else "changed", f"{max(errors):.1f}"


def _frames(before: Contents, after: Contents, suffix: str) -> Comparison:
    if len(before.frames) < 2:
        return None
    shown = len(set(matches(before, after)))
    repeated = len(after.frames) - shown
    count = f"{shown} of {len(before.frames)}" + (f", {repeated} repeated" if repeated else "")
    return "kept" if shown == len(before.frames) else "lost", count


def _alpha(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.alpha:
        return None
    if not after.alpha:
        return "lost", ""
    error = 0.0
    for source, result in zip(before.alpha, after.alpha, strict=False):
        expected = enlarged(source, (result.shape[1], result.shape[0]))
        error = max(error, float(np.abs(result - expected).mean()))
    binary = all(bool(np.isin(plane, (0, 255)).all()) for plane in before.alpha)
    return "kept" if error <= (6 if binary else 2) else "changed", f"{error:.1f}"


def _bits(before: Contents, after: Contents, suffix: str) -> Comparison:
    if before.bits <= 8:
        return None
    value = f"{before.bits} → {after.bits}"
    if after.bits <= 8:
        return "lost", value
    if suffix in _LOSSLESS and len(before.frames) == 1:  # of videos, the two conversions of YUV differ
        result = after.frames[0]
        error = np.abs(result - enlarged(before.frames[0], (result.shape[1], result.shape[0])))
        if before.alpha:
            error = error[enlarged(before.alpha[0], error.shape[1::-1]) > 250]
        if float(error.mean()) > 0.1:
            return "changed", f"{value}, but off by {float(error.mean()):.2f} levels"
    return "kept" if after.bits >= min(before.bits, 10) else "changed", value


def _profile(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.icc:
        return None
    if not after.icc:  # pixels without a profile are sRGB
        return ("kept", "") if _primaries(before.icc) == _SRGB else ("lost", "")
    same = before.icc == after.icc or _primaries(before.icc) == _primaries(after.icc)
    return "kept" if same else "changed", ""


_SRGB = {b"rXYZ": (0.44, 0.22, 0.01), b"gXYZ": (0.39, 0.72, 0.1), b"bXYZ": (0.14, 0.06, 0.71)}


def _primaries(profile: bytes) -> dict[bytes, tuple[float, ...]]:
    """Primaries of a matrix profile, rounded to the precision of writers that build it anew."""
    (count,) = struct.unpack_from(">I", profile, 128)
    found = {}
    for entry in range(132, 132 + 12 * count, 12):
        name, offset = struct.unpack_from(">4sI", profile, entry)
        if name in _SRGB:
            found[name] = tuple(round(v / 65536, 2) for v in struct.unpack_from(">3i", profile, offset + 8))
    return found


def _exif(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.exif:
        return None
    missing = [tag for tag, value in before.exif.items() if after.exif.get(tag) != value]
    if not missing:
        return "kept", f"{len(before.exif)} tags"
    return "lost" if len(missing) == len(before.exif) else "changed", f"without {', '.join(missing)}"


def _xmp(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.xmp:
        return None
    return ("kept", "") if after.xmp == before.xmp else ("lost", "") if not after.xmp else ("changed", "")


def _dpi(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.dpi:
        return None
    if not after.dpi:
        return "lost", ""
    return "kept" if abs(after.dpi / before.dpi - 1) < 0.02 else "changed", f"{after.dpi:.0f}"


def _hdr(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.hdr:
        return None
    missing = [name for name, value in before.hdr.items() if after.hdr.get(name) != value]
    if not missing:
        return "kept", ", ".join(before.hdr)
    return "lost" if len(missing) == len(before.hdr) else "changed", f"without {', '.join(missing)}"


def _aspect(before: Contents, after: Contents, suffix: str) -> Comparison:
    if before.aspect == 1:
        return None
    kept = abs(after.aspect / before.aspect - 1) < 0.01
    return "kept" if kept else "lost", f"{after.aspect.limit_denominator(99)}".replace("/", ":")


def _upright(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.turned:
        return None
    if not after.frames:
        return "lost", ""
    source, result = before.frames[0], after.frames[0]
    if (source.shape[0] > source.shape[1]) != (result.shape[0] > result.shape[1]):
        return "lost", ""
    small = _reduced(result, source.shape[1::-1])
    wrong = (source[::-1, ::-1], source[::-1], source[:, ::-1])
    alpha = before.alpha[0] if before.alpha else np.ones(source.shape[:2], np.float32)
    error = _weighted(np.abs(small - source), alpha)
    return "kept" if all(error < _weighted(np.abs(small - other), alpha) / 2 for other in wrong) else "lost", ""


def _times(before: Contents, after: Contents, suffix: str) -> Comparison:
    if min(len(before.frames), len(after.frames)) < 2 or before.times_ms[1] == 1:  # pages have no times
        return None
    if len(after.times_ms) < len(after.frames) or after.times_ms[1] == 1:
        return "lost", "no times"
    if after.start_ms > max(0.0, before.start_ms - max(0.0, before.container_start_ms)) + 1000:
        return "changed", f"starts at {after.start_ms / 1000:.0f} s"
    shift = _shift_ms(before, after)
    errors: dict[int, float] = {}
    for index, time in zip(matches(before, after), after.times_ms, strict=True):
        error = abs(time + after.start_ms - before.times_ms[index] - before.start_ms - shift)
        errors[index] = min(error, errors.get(index, error))
    error = max(errors.values())
    return "kept" if error <= TOLERANCE_MS.get(suffix, 0.6) else "changed", f"{error:.1f} ms"


def _duration(before: Contents, after: Contents, suffix: str) -> Comparison:
    if before.duration_ms is None or min(len(before.frames), len(after.frames)) < 2:
        return None
    if after.duration_ms is None:
        return "lost", ""
    ends = [contents.start_ms + (contents.duration_ms or 0) for contents in (before, after)]
    error = ends[1] - ends[0] - _shift_ms(before, after)
    return "kept" if abs(error) <= TOLERANCE_MS.get(suffix, 1.1) else "changed", f"{error:+.0f} ms"


def _loop(before: Contents, after: Contents, suffix: str) -> Comparison:
    if before.loop is None or len(after.frames) < 2:
        return None
    if after.loop is None:
        return "lost", ""
    return "kept" if after.loop == before.loop else "changed", f"{before.loop} → {after.loop}"


def _sound(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.sounds:
        return None
    value = f"{len(after.sounds)} of {len(before.sounds)}"
    if len(after.sounds) < len(before.sounds):
        return "lost", value
    pairs = list(zip(before.sounds, after.sounds, strict=False))
    shift = _shift_ms(before, after)
    offset = max(abs(_delay_ms(b, a) - shift) for b, a in pairs)
    shorter = max(b.heard_ms[1] - a.heard_ms[1] + shift for b, a in pairs)
    if offset > (MAX_GRID_OFFSET_MS if suffix == ".avi" else MAX_SOUND_OFFSET_MS):
        return "changed", f"{value}, {offset:.0f} ms off"
    if shorter > MAX_CUT_MS:
        return "changed", f"{value}, {shorter:.0f} ms shorter"
    converted = [f"{b.codec} to {a.codec}" for b, a in pairs if b.codec != a.codec]
    if converted:
        return "changed", f"{value}, {', '.join(converted)}"
    missing = sum(len(b.packets) - len(a.packets) for b, a in pairs)
    same = all(b"".join(b.packets) == b"".join(a.packets) for b, a in pairs)
    return "kept" if same else "changed", value if same else f"{value}, {missing} packets missing or other bytes"


def _delay_ms(before: Sound, after: Sound) -> float:
    """How much later a sound starts; encoders differ in what they add before the first sample."""
    if before.codec == after.codec:
        return after.start_ms - before.start_ms
    return after.heard_ms[0] - before.heard_ms[0]


def _flags(before: Contents, after: Contents, suffix: str) -> Comparison:
    marked = [(s.language, s.default) for s in before.sounds] if len(before.sounds) > 1 else []
    languages = [s.language for s in before.subtitles]
    if not marked and not any(languages):
        return None
    if len(after.sounds) < len(marked) or len(after.subtitles) < len(languages):
        return None  # the loss of the stream is judged elsewhere
    same = [(s.language, s.default) for s in after.sounds][: len(marked)] == marked
    return "kept" if same and [s.language for s in after.subtitles][: len(languages)] == languages else "lost", ""


def _subtitles(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.subtitles:
        return None
    value = f"{len(after.subtitles)} of {len(before.subtitles)}"
    if len(after.subtitles) < len(before.subtitles):
        return "lost", value
    shift = _shift_ms(before, after)
    for b, a in zip(before.subtitles, after.subtitles, strict=False):
        texts = [text for _, text in b.lines] == [text for _, text in a.lines]
        times = all(abs(y - x - shift) <= 2 for (x, _), (y, _) in zip(b.lines, a.lines, strict=False))
        if not texts or not times:
            return "changed", f"{value}, other {'times' if texts else 'text'}"
        if b.codec == "ass" != a.codec:
            return "changed", f"{value}, {b.codec} to {a.codec}"
    return "kept", value


def _chapters(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.chapters:
        return None
    same = len(before.chapters) == len(after.chapters) and all(
        title == other and abs(start - moved) <= 1
        for (start, title), (moved, other) in zip(before.chapters, after.chapters, strict=True)
    )
    return "kept" if same else "lost", f"{len(after.chapters)} of {len(before.chapters)}"


def _tags(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.tags:
        return None
    missing = [name for name, value in before.tags.items() if after.tags.get(name) != value]
    if not missing:
        return "kept", str(len(before.tags))
    return "lost" if len(missing) == len(before.tags) else "changed", f"without {', '.join(missing)}"


def _attachments(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.attachments:
        return None
    return "kept" if after.attachments == before.attachments else "lost", f"{len(after.attachments)}"


def _interlacing(before: Contents, after: Contents, suffix: str) -> Comparison:
    if not before.interlaced:
        return None
    height, width = before.frames[0].shape[:2]
    rows = [cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA) for frame in after.frames]
    left = max(comb(np.asarray(frame, np.float32)) for frame in rows)
    if after.interlaced:
        return "kept", ""
    value = f"comb {before.comb:.1f} → {left:.1f} levels"
    return "changed" if left < 0.4 * before.comb else "lost", value


def _size_changes(before: Contents, after: Contents, suffix: str) -> Comparison:
    changes = sum(one.shape != next_one.shape for one, next_one in pairwise(before.frames))
    return ("changed", "scaled") if changes else None


def _damage(before: Contents, after: Contents, suffix: str) -> Comparison:
    return ("changed", f"{before.damaged} packets") if before.damaged else None


PROPERTIES = (
    Property("pixels", r"pixel|color|palette", _pixels),
    Property("frames", r"frame|page|image", _frames),
    Property("alpha", r"alpha|transparen|opa", _alpha),
    Property("bit depth", r"\bbits?\b", _bits),
    Property("color profile", r"ICC|profile", _profile),
    Property("EXIF", r"EXIF", _exif),
    Property("XMP", r"XMP", _xmp),
    Property("resolution", r"dpi|dots per inch|resolution", _dpi),
    Property("rotation", r"rotat|orientation|turned", _upright),
    Property("HDR", r"HDR|HLG|mastering|light level|transfer|PQ", _hdr),
    Property("pixel aspect ratio", r"aspect|square", _aspect),
    Property("timestamps", r"time|rate|duration|separate files", _times),
    Property("duration", r"time|duration|last frame|rate|separate files", _duration),
    Property("repetitions", r"loop|repe|separate files", _loop),
    Property("sound", r"audio|sound", _sound),
    Property("languages and flags", r"language|default|flag|disposition", _flags),
    Property("subtitles", r"subtitle", _subtitles),
    Property("chapters", r"chapter", _chapters),
    Property("tags", r"\btags?\b|metadata|\btext\b", _tags),
    Property("attachments", r"attach", _attachments),
    Property("interlacing", r"interlac", _interlacing),
    Property("change of size", r"size|scaled|resolution", _size_changes),
    Property("damage", r"damag", _damage),
)

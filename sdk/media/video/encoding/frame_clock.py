"""Timestamps of encoded frames: exact where the container stores them, on a grid where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class _Limits:
    """Limits of a container, in units of its time base.

    Args:
        min_step: between two frames.
        max_gap: between two frames.
        tolerance: delay beyond which a frame is left out; None: every frame is stored.
    """

    min_step: int = 1
    max_gap: int = 1 << 30
    tolerance: Fraction | None = None


# Browsers show GIF delays of 0 and 10 ms as 100 ms. FFmpeg leaves out at most 65,536 frames of an AVI file.
_LIMITS = {"gif": _Limits(2, 65_535, Fraction(2)), "avi": _Limits(1, 60_000, Fraction(1, 2))}


class FrameClock:
    """Gives each frame its timestamp in the file.

    Args:
        time_base: unit of the timestamps in seconds.
        container: FFmpeg name of the container format.

    Attributes:
        dropped: frames that the container could not place within half a frame (AVI) or 20 ms (GIF) of their time.
    """

    def __init__(self, time_base: Fraction, container: str) -> None:
        self.time_base = time_base
        self.dropped = 0
        self._limits = _LIMITS.get(container, _Limits())
        self._from_zero = container == "avi"  # which has no start time
        self._last: int | None = None

    @property
    def last_s(self) -> Fraction:
        """Timestamp of the last frame in seconds; 0 before the first."""
        return (self._last or 0) * self.time_base

    def place(self, time_s: Fraction) -> list[int]:
        """Place the next frame.

        Args:
            time_s: presentation time in seconds.

        Returns:
            Its timestamps, in units of the time base. None: the frame is left out, because those before it take its
            place. Several: the frame before it is repeated at all but the last one, as the container limits the gap
            between two frames. The first frame of an AVI file is shown from 0 on.
        """
        exact = time_s / self.time_base
        stamp = round(exact)
        if self._last is None:
            first = 0 if self._from_zero else stamp
            stamps = self._steps(first, stamp) if stamp > first else [first]
        else:
            stamp = max(stamp, self._last + self._limits.min_step)
            if self._limits.tolerance is not None and stamp - exact > self._limits.tolerance:
                self.dropped += 1
                return []
            stamps = self._steps(self._last, stamp)[1:]
        self._last = stamps[-1]
        return stamps

    def go_on(self, stamp: int) -> None:
        """Go on after a frame with this timestamp."""
        self._last = stamp

    def fill(self, end_s: Fraction) -> list[int]:
        """Timestamps at which the last frame is repeated, so that it is shown until `end_s` in seconds."""
        if self._last is None or self._limits.tolerance is None:
            return []
        last = round(end_s / self.time_base) - self._limits.min_step
        needed = last > self._last if self._from_zero else last - self._last > self._limits.max_gap
        return self._steps(self._last, last)[1:] if needed else []

    def _steps(self, first: int, last: int) -> list[int]:
        """`first`, `last`, and as many between them as the longest gap requires."""
        return [*range(first, last, self._limits.max_gap), last]

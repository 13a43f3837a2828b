"""Presentation times of decoded frames."""

from __future__ import annotations

from fractions import Fraction

import av

_DEFAULT_RATE = 25


class FrameTimes:
    """Gives each frame a presentation time that is later than that of the frame before, and the last one a duration.

    Raw streams have no timestamps: their frames are placed on the grid of the frame rate.

    Args:
        rate: frames/s; None if unknown.
        time_base: seconds per unit.
    """

    def __init__(self, rate: Fraction | None, time_base: Fraction) -> None:
        self._period = Fraction(1) / Fraction(rate or _DEFAULT_RATE) / time_base
        self._last: Fraction | None = None
        self._moved = 0

    def duration(self, frame: av.VideoFrame) -> int:
        """How long a frame is shown if it is the last one."""
        return frame.duration or max(1, round(self._period))

    def notes(self) -> list[str]:
        """One line if timestamps were changed."""
        line = f"timestamps of {self._moved} frames repeat or go back: moved behind the frame before"
        return [line] if self._moved else []

    def next(self, frame: av.VideoFrame) -> int:
        """Presentation time of the next frame."""
        if frame.pts is None:
            pts = Fraction(0) if self._last is None else self._last + self._period
        else:
            pts = Fraction(frame.pts)
        if self._last is not None and round(pts) <= round(self._last):
            pts = Fraction(round(self._last) + 1)
            self._moved += 1
        self._last = pts
        return round(pts)

"""Timestamps of frames on the grids of AVI and GIF."""

from __future__ import annotations

import itertools
from fractions import Fraction

import pytest
from facesr_edge.sdk.media.video.encoding.frame_clock import FrameClock


def placed(container: str, rate: int, times_s: list[float]) -> list[list[int]]:
    clock = FrameClock(Fraction(1, rate), container)
    return [clock.place(Fraction(time).limit_denominator(10_000)) for time in times_s]


@pytest.mark.parametrize(
    ("container", "rate", "times_s", "stamps"),
    [
        ("mp4", 1000, [0.0, 0.0333, 0.0666], [[0], [33], [67]]),
        ("matroska", 1000, [0.5, 0.5001, 0.5002], [[500], [501], [502]]),  # never twice the same time
        ("avi", 25, [0.0, 0.04, 0.2, 0.24], [[0], [1], [5], [6]]),  # FFmpeg leaves out the slots between
        ("avi", 25, [0.4, 0.44], [[0, 10], [11]]),  # AVI has no start time: shown from 0 on
        ("avi", 25, [0.0, 0.04, 0.05, 0.12], [[0], [1], [], [3]]),
        ("gif", 100, [0.0, 0.0167, 0.0333, 0.05], [[0], [2], [4], [6]]),
    ],
)
def test_frames_are_placed(container: str, rate: int, times_s: list[float], stamps: list[list[int]]) -> None:
    assert placed(container, rate, times_s) == stamps


@pytest.mark.parametrize(("container", "rate", "tolerance_s"), [("avi", 25, 0.02), ("gif", 100, 0.02)])
def test_drift_does_not_accumulate(container: str, rate: int, tolerance_s: float) -> None:
    """60 frames/s for 60 s: what is left out is counted, the rest is near its time."""
    clock = FrameClock(Fraction(1, rate), container)
    times = [Fraction(index, 60) for index in range(3600)]
    stamps = [clock.place(time) for time in times]
    errors = [abs(stamp[-1] * clock.time_base - time) for stamp, time in zip(stamps, times, strict=True) if stamp]
    assert float(max(errors)) <= tolerance_s
    assert clock.dropped == sum(not stamp for stamp in stamps) > 0


@pytest.mark.parametrize(("container", "rate", "longest"), [("avi", 25, 60_000), ("gif", 100, 65_535)])
def test_long_gap_is_bridged_by_few_repeated_frames(container: str, rate: int, longest: int) -> None:
    clock = FrameClock(Fraction(1, rate), container)
    clock.place(Fraction(0))
    stamps = [0, *clock.place(Fraction(10 * 3600))]
    gaps = [after - before for before, after in itertools.pairwise(stamps)]
    assert sum(gaps) == 36_000 * rate
    assert max(gaps) <= longest
    assert len(gaps) < 60


def test_last_frame_of_avi_is_shown_until_its_end() -> None:
    clock = FrameClock(Fraction(1, 20), "avi")
    clock.place(Fraction(0))
    assert clock.fill(Fraction(1)) == [19]
    assert FrameClock(Fraction(1, 20), "mp4").fill(Fraction(1)) == []

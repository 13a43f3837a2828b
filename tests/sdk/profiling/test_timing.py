"""Stage timings."""

import time

import pytest
from facesr_edge.sdk.profiling.timing import Span, Stopwatch, milliseconds


def test_total_is_the_sum_of_the_stages_without_their_parts():
    spans = [Span("detect", 0, 5_000_000), Span("detect.network", 0, 4_000_000), Span("decode", 0, 2_000_000)]
    spans.append(Span("detect", 9, 1_000_000))
    ms = milliseconds(spans)
    assert ms == {"decode": 2.0, "detect": 6.0, "detect.network": 4.0, "total": 8.0}
    assert list(ms) == ["decode", "detect", "detect.network", "total"]


def test_waiting_for_a_camera_is_not_in_the_total():
    ms = milliseconds([Span("detect", 0, 5_000_000), Span("decode", 0, 1_000_000), Span("wait", 0, 40_000_000)])
    assert ms == {"wait": 40.0, "decode": 1.0, "detect": 5.0, "total": 6.0}
    assert list(ms) == ["wait", "decode", "detect", "total"]


def test_stage_that_raises_is_timed():
    watch = Stopwatch()
    with pytest.raises(KeyError), watch.stage("crop"):
        time.sleep(0.002)
        raise KeyError
    assert watch.spans[0].name == "crop" and watch.spans[0].duration_ns >= 2_000_000

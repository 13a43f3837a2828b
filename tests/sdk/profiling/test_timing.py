"""What a stage cost."""

import time

import pytest
from facesr_edge.sdk.profiling.timing import Span, Stopwatch, milliseconds


def test_stages_add_up_and_parts_do_not_count_twice():
    spans = [Span("detect", 0, 5_000_000), Span("detect.network", 0, 4_000_000), Span("decode", 0, 2_000_000)]
    spans.append(Span("detect", 9, 1_000_000))
    ms = milliseconds(spans)
    assert ms == {"decode": 2.0, "detect": 6.0, "detect.network": 4.0, "total": 8.0}
    assert list(ms) == ["decode", "detect", "detect.network", "total"]


def test_a_stage_that_raises_is_timed_all_the_same():
    watch = Stopwatch()
    with pytest.raises(KeyError), watch.stage("crop"):
        time.sleep(0.002)
        raise KeyError
    assert watch.spans[0].name == "crop" and watch.spans[0].duration_ns >= 2_000_000

"""Accounts of a run: latencies, faces by treatment and reason, turns."""

import numpy as np
import pytest
from facesr_edge.sdk.live.monitoring.latency import BOUNDS_S, MAX_RECENT, LatencyRecord
from facesr_edge.sdk.live.monitoring.monitor import MAX_REASONS, Monitor, reason_kind
from facesr_edge.sdk.live.observer import Cycle
from support.live_runs import make_face, make_result


@pytest.fixture
def monitor():
    return Monitor(clock=lambda: 100.0)


def test_percentiles_are_those_of_the_last_minute():
    record = LatencyRecord()
    record.add(9.0, now_s=0.0)
    latencies = np.linspace(0.01, 0.2, 50)
    for n, latency in enumerate(latencies):
        record.add(float(latency), now_s=30.0 + n / 10)
    latency = record.at(now_s=61.0)
    assert latency.percentiles(50, 99) == pytest.approx(np.percentile(latencies, (50, 99)))
    assert latency.count == 51 and latency.sum_s == pytest.approx(latencies.sum() + 9)  # since the start
    assert record.at(now_s=1000.0).percentiles(50) == [None]


def test_latencies_are_counted_in_the_bucket_whose_bound_they_do_not_exceed():
    record = LatencyRecord()
    for latency in (-3600.0, BOUNDS_S[0], BOUNDS_S[0] + 1e-6, 60.0):  # the first is of a camera whose clock is ahead
        record.add(latency, now_s=0.0)
    latency = record.at(now_s=0.0)
    assert latency.counts == (2, 1, *[0] * (len(BOUNDS_S) - 2), 1)
    assert latency.sum_s == pytest.approx(60.01, abs=1e-3) and min(latency.recent_s) == -3600


def test_the_memory_of_latencies_does_not_grow():
    record = LatencyRecord()
    for n in range(2 * MAX_RECENT):
        record.add(0.1, now_s=n / 1000)
    assert len(record.at(now_s=8.0).recent_s) == MAX_RECENT and record.at(now_s=8.0).count == 2 * MAX_RECENT


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("new track", "new track"),
        ("over budget: 3.1 ms left, 5.0 ms needed", "over budget"),
        ("over budget (changed by 3.2 gray levels): 1.0 ms left", "over budget"),
        ("grown by 30%", "grown"),
        ("refreshed after 1.0 s", "refreshed"),
        ("not found at its last place", "not found at its last place"),
        ("", ""),
    ],
)
def test_a_kind_of_reason_has_no_figures(reason, kind):
    assert reason_kind(reason) == kind


def test_faces_are_counted_by_treatment_and_kind_of_reason(monitor):
    faces = [make_face(1), make_face(2, "reused", "changed by 1.2 gray levels"), make_face(3, verdict="too small")]
    monitor.done(make_result(faces=faces, skipped=[(4, "too large")], ended=(7, 8)))
    monitor.done(make_result(faces=[make_face(2, "reused", "changed by 0.4 gray levels")]))
    camera = monitor.figures().cameras["a"]
    expected = {("network", "new track"): 2, ("reused", "changed"): 2, ("skipped", "too large"): 1}
    assert camera.faces == expected and camera.verdicts == {"ok": 3, "too small": 1}
    assert (camera.results, camera.tracks, camera.ended_tracks) == (2, 1, 2)


def test_the_number_of_kinds_of_reasons_is_bounded(monitor):
    for n in range(100):
        monitor.done(make_result(faces=[make_face(1, reason=chr(0x4E00 + n))]))
    faces = monitor.figures().cameras["a"].faces
    assert len(faces) == MAX_REASONS + 1 and sum(faces.values()) == 100
    assert faces["network", "other"] == 100 - MAX_REASONS


def test_queue_compute_and_age_are_kept_apart(monitor):
    monitor.done(make_result(queue_ms=4, compute_ms=40, clock_ms=250))
    monitor.done(make_result(camera="b", queue_ms=1, compute_ms=30))
    first, second = (monitor.figures().cameras[name] for name in "ab")
    medians = [first.queue, first.compute, first.age, first.camera_clock, first.stages["detect"], second.age]
    assert [m.percentiles(50)[0] for m in medians] == pytest.approx([0.004, 0.04, 0.044, 0.25, 0.005, 0.031])
    assert second.camera_clock.count == 0 and "total" not in first.stages


def test_turns_over_budget_are_counted(monitor):
    for end_s in (0.02, 0.05, 0.051):
        monitor.cycled(Cycle(0.0, end_s, ("a",), {}, {"detect": 10.0}, 50.0))
    figures = monitor.figures()
    assert (figures.over_budget, figures.budget_s, figures.cycles.count) == (1, 0.05, 3)
    assert figures.cycle_stages["detect"].sum_s == pytest.approx(0.03)
    monitor.cycled(Cycle(0.0, 0.01, ("a",), {}, {}, -20.0))  # the frame was late before the turn began
    assert (monitor.figures().over_budget, monitor.figures().budget_s) == (2, 0.0)
    assert not figures.closed
    monitor.close()
    assert monitor.figures().closed

"""Metrics, read by Prometheus' own parser, agree with the results of a run."""

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.sdk.bench.scenes import portraits_of
from facesr_edge.sdk.bench.walkers import make_view
from facesr_edge.sdk.live.live import live
from facesr_edge.sdk.live.monitoring.latency import BOUNDS_S
from facesr_edge.sdk.live.monitoring.metrics import registry
from facesr_edge.sdk.live.monitoring.monitor import Monitor, reason_kind
from facesr_edge.sdk.live.monitoring.observed import ObservedRun
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from support.live_runs import SinkFigures, StatusOnly, make_face, make_result, make_run

LABELS = {"camera", "state", "cause", "treatment", "reason", "verdict", "quantile", "stage", "sink", "le"}


def scrape(run):
    """Name and labels of each sample -> value, as Prometheus reads them."""
    families = text_string_to_metric_families(generate_latest(registry(run)).decode())
    samples = [sample for family in families for sample in family.samples]
    found = {
        (sample.name.removeprefix("facesr_edge_"), *sorted(sample.labels.items())): sample.value for sample in samples
    }
    assert len(found) == len(samples), "a series occurs twice"
    return found


def of(found, name, **labels):
    return found[(name, *sorted(labels.items()))]


@pytest.fixture(scope="module")
def finished():
    """A run of two simulated cameras that has ended, its observer, and all its results."""
    portraits = portraits_of(
        sample_faces(), facesr_edge.load_detector(threads=1, engine="onnxruntime", precision="fp32")
    )
    views = {name: make_view(portraits, 2, seed=n).frames(12) for n, name in enumerate(("door", "hall"))}
    monitor = Monitor()
    with live(views, observers=[monitor], threads=1, engine="onnxruntime", precision="fp32") as run:
        results = list(run)
        yield ObservedRun(run, monitor, [SinkFigures("log", 20, 3, 1, 2, "disk full")]), results


def test_the_metrics_agree_with_the_results(finished):
    run, results = finished
    found = scrape(run)
    assert {result.camera for result in results} == {"door", "hall"}
    for camera in ("door", "hall"):
        own = [result for result in results if result.camera == camera]
        assert of(found, "results_total", camera=camera) == len(own) == 12
        assert of(found, "frames_received_total", camera=camera) == of(found, "frames_taken_total", camera=camera) == 12
        assert of(found, "frames_dropped_total", camera=camera, cause="consumer") == 0
        faces = Counter((face.treatment, reason_kind(face.reason)) for result in own for face in result.faces)
        faces.update(("skipped", reason_kind(face.reason)) for result in own for face in result.skipped)
        assert faces
        for (treatment, reason), count in faces.items():
            assert of(found, "faces_total", camera=camera, treatment=treatment, reason=reason) == count
        assert (
            sum(value for key, value in found.items() if key[:2] == ("faces_total", ("camera", camera)))
            == faces.total()
        )
        assert of(found, "tracks", camera=camera) == 0, "the files have ended"
        for name in ("age", "queue", "compute"):
            seconds = [getattr(result.times, f"{name}_ms") / 1e3 for result in own]
            assert of(found, f"result_{name}_seconds_count", camera=camera) == 12
            assert of(found, f"result_{name}_seconds_sum", camera=camera) == pytest.approx(sum(seconds))
            recent = f"result_{name}_recent_seconds"
            assert of(found, recent, camera=camera, quantile="0.5") == pytest.approx(np.median(seconds))
            assert of(found, recent, camera=camera, quantile="0.99") == pytest.approx(np.percentile(seconds, 99))
            below = sum(value <= 0.1 for value in seconds)
            assert of(found, f"result_{name}_seconds_bucket", camera=camera, le="0.1") == below
        detect_ms = sum(result.timings_ms.get("detect", 0) for result in own)
        assert of(found, "stage_seconds_sum", camera=camera, stage="detect") == pytest.approx(detect_ms / 1e3)
        states = {key[2][1]: value for key, value in found.items() if key[:2] == ("camera_state", ("camera", camera))}
        assert states == {"connecting": 0, "live": 0, "frozen": 0, "offline": 0, "ended": 1}
    assert of(found, "budget_seconds") == 0.1 and of(found, "cycle_seconds_count") >= 12
    assert of(found, "process_resident_memory_bytes") > 1e6


def test_the_metrics_follow_the_state_of_a_camera():
    status = {"dropped": {"consumer": 7, "damaged": 2}, "damaged_packets": 5, "reconnects": 3, "newest_age_s": 6.5}
    found = scrape(ObservedRun(make_run(StatusOnly(state="frozen", **status)), Monitor()))
    assert of(found, "camera_state", camera="a", state="frozen") == 1
    assert sum(value for key, value in found.items() if key[0] == "camera_state") == 1
    assert of(found, "frames_dropped_total", camera="a", cause="damaged") == 2
    assert of(found, "frames_dropped_total", camera="a", cause="consumer") == 7
    assert of(found, "newest_frame_age_seconds", camera="a") == 6.5
    assert (of(found, "reconnects_total", camera="a"), of(found, "damaged_packets_total", camera="a")) == (3, 5)


def test_the_clock_of_a_camera_gives_a_latency_of_its_own():
    monitor = Monitor()
    monitor.done(make_result(clock_ms=250, queue_ms=5, compute_ms=20))
    found = scrape(ObservedRun(make_run(), monitor))
    assert of(found, "result_camera_clock_recent_seconds", camera="a", quantile="0.5") == pytest.approx(0.25)
    assert of(found, "result_age_recent_seconds", camera="a", quantile="0.5") == pytest.approx(0.025)


def test_crops_of_a_face_are_counted_where_a_network_made_its_pixels():
    monitor = Monitor()
    faces = [replace(make_face(track), frames=frames) for track, frames in ((1, 1), (2, 3), (3, 7))]
    monitor.done(make_result(faces=[*faces, make_face(4, "bicubic")]))
    found = scrape(ObservedRun(make_run(), monitor))
    assert (of(found, "face_frames_count", camera="a"), of(found, "face_frames_sum", camera="a")) == (3, 11)
    below = [of(found, "face_frames_bucket", camera="a", le=le) for le in ("1.0", "2.0", "3.0", "6.0", "7.0", "+Inf")]
    assert below == [1, 1, 2, 2, 3, 3]


def test_sinks_have_their_counts_also_if_two_have_the_same_name():
    sinks = [SinkFigures("log", 20, 3, 1, 2, ""), SinkFigures("log", 5, 0, 0, 0, "")]
    found = scrape(ObservedRun(make_run(), Monitor(), sinks))
    counts = [
        of(found, f"sink_{name}", sink="log") for name in ("written_total", "dropped_total", "failed_total", "queued")
    ]
    assert counts == [20, 3, 1, 2] and of(found, "sink_written_total", sink="log 2") == 5


def test_the_number_of_series_does_not_grow_with_tracks():
    monitor, numbers = Monitor(), []
    for track in range(1, 301):
        reason = f"changed by {track / 10} gray levels"
        monitor.done(
            make_result(faces=[make_face(track, reason=reason)], skipped=[(1000 + track, "too large")], index=track)
        )
        if track in (1, 300):
            numbers.append(len(scrape(ObservedRun(make_run(StatusOnly()), monitor))))
    assert numbers[0] == numbers[1]


def test_names_follow_the_conventions_of_prometheus(finished):
    families = list(text_string_to_metric_families(generate_latest(registry(finished[0])).decode()))
    own = [family for family in families if family.name.startswith("facesr_edge_")]
    assert len(own) > 25
    for family in own:
        assert re.fullmatch(r"[a-z_]+", family.name) and family.documentation.endswith("."), family.name
        assert family.type != "counter" or all(sample.name.endswith("_total") for sample in family.samples)
        assert {label for sample in family.samples for label in sample.labels} <= LABELS
        units = family.name.rpartition("_")[2]
        assert family.type != "histogram" or units in ("seconds", "frames"), family.name
    histogram = next(family for family in own if family.name == "facesr_edge_cycle_seconds")
    buckets = [sample for sample in histogram.samples if sample.name.endswith("_bucket")]
    assert [sample.labels["le"] for sample in buckets] == [*map(str, BOUNDS_S), "+Inf"]
    assert all(first.value <= second.value for first, second in pairwise(buckets))


DOCS = Path(facesr_edge.__file__).with_name("docs") / "live-service.md"


@pytest.mark.skipif(not DOCS.exists(), reason="docs/live-service.md is missing")
def test_the_documentation_lists_exactly_these_metrics(finished):
    families = list(text_string_to_metric_families(generate_latest(registry(finished[0])).decode()))
    names = {f"{own.name}{'_total' if own.type == 'counter' else ''}" for own in families}
    documented = set(re.findall(r"^\| `(facesr_edge_\w+)` \|", DOCS.read_text("utf-8"), re.MULTILINE))
    assert documented == {name for name in names if name.startswith("facesr_edge_")}


def test_the_strict_format_of_openmetrics_is_valid(finished):
    families = list(parse_openmetrics(generate_openmetrics(registry(finished[0])).decode()))
    assert {"facesr_edge_faces", "facesr_edge_result_age_seconds"} <= {family.name for family in families}


def test_every_run_has_a_registry_of_its_own(finished):
    run = finished[0]
    assert registry(run) is not registry(run)
    assert of(scrape(ObservedRun(make_run(), Monitor())), "cycle_seconds_count") == 0

"""Profiles: which frames count, what the figures mean, and the trace."""

import json
import os
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, OutputError
from facesr_edge.sdk.load import load
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.profiling.profile import profile
from facesr_edge.sdk.profiling.timing import BREAKDOWN, PROFILE_ROWS, FrameTiming, Span, latency
from facesr_edge.sdk.profiling.trace import trace_from_profile, write_trace

MS = 1_000_000
SPANS = (
    Span("decode", 0, 2 * MS),
    Span("detect.network", 3 * MS, 5 * MS),
    Span("detect", 2 * MS, 7 * MS),
    Span("crop", 9 * MS, 1 * MS),
    Span("super_resolve.network", 10 * MS, 10 * MS),
    Span("super_resolve", 10 * MS, 13 * MS),
    Span("paste.enlarge", 23 * MS, 4 * MS),
    Span("paste", 23 * MS, 5 * MS),
    Span("encode", 28 * MS, 6 * MS),
)


@pytest.fixture(scope="module")
def measured(tiny_bundle, put_face, tmp_path_factory):
    frame = np.full((180, 320, 3), 118, np.uint8)
    put_face(frame, 40, 30, 40)
    path = tmp_path_factory.mktemp("profile") / "frame.png"
    cv2.imwrite(str(path), frame)
    with load(tiny_bundle().folder) as pipeline, open_source(path) as source:
        told = []
        return profile(pipeline, source, frames=6, warm_up=2, report=told.append), told


def test_own_work_is_all_but_networks_codecs_and_enlargement():
    timing = FrameTiming(0, 1, SPANS)
    assert timing.milliseconds["total"] == pytest.approx(34)
    assert timing.overhead_ms == pytest.approx(34 - 2 - 5 - 10 - 4 - 6)


def test_pieces_are_the_whole_frame_without_overlap():
    pieces = FrameTiming(0, 1, SPANS).breakdown_ms
    assert list(pieces) == list(BREAKDOWN) and sum(pieces.values()) == pytest.approx(34)


def test_a_stage_that_did_not_happen_costs_nothing():
    assert FrameTiming(0, 0, SPANS[:1]).milliseconds == {
        **dict.fromkeys(PROFILE_ROWS, 0.0),
        "decode": 2.0,
        "total": 2.0,
    }


@pytest.mark.parametrize(
    ("values", "p50", "p90", "p99"), [([7], 7, 7, 7), ([1, 3], 2, 2.8, 2.98), (list(range(101)), 50, 90, 99)]
)
def test_percentiles_interpolate(values, p50, p90, p99):
    figures = latency(values)
    assert (figures.p50, figures.p90, figures.p99) == pytest.approx((p50, p90, p99))
    assert figures.mean == pytest.approx(np.mean(values))


def test_a_picture_is_read_again_and_again_and_the_warm_up_does_not_count(measured):
    result, told = measured
    assert len(result.timeline) == 6 and told == list(range(1, 9))
    assert [timing.index for timing in result.timeline] == list(range(6))
    assert all(timing.milliseconds["decode"] > 0.05 for timing in result.timeline)  # really decoded
    assert all(timing.milliseconds["encode"] > 0.05 for timing in result.timeline)  # really encoded


def test_a_profile_says_where_and_with_what_it_was_measured(measured):
    document = json.loads(json.dumps(measured[0].to_dict(), allow_nan=False))
    assert document["machine"]["cores"] == len(os.sched_getaffinity(0)) and document["machine"]["cpu"]
    assert "ONNX Runtime" in document["runtimes"]["super_resolve"]
    assert document["versions"]["onnxruntime"] and document["peak_memory_mb"] > 50
    assert list(document["stages_ms"]) == list(PROFILE_ROWS)
    assert document["fps"] == pytest.approx(1e3 / document["stages_ms"]["total"]["mean"], rel=0.01)
    assert document["faces_per_frame"] == 1 and len(measured[0].faces) == 1
    assert document["detect"].items() >= {"kind": "full", "scale": 1.0, "looks": 1, "megapixels": 0.061}.items()


def test_layers_are_timed_where_asked_and_only_there(measured, tiny_bundle, put_face, tmp_path):
    assert measured[0].layers == {} and measured[0].to_dict()["layers"] == {}
    frame = np.full((90, 160, 3), 118, np.uint8)
    put_face(frame, 40, 30, 30)
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    with load(tiny_bundle().folder, threads=1) as pipeline, open_source(tmp_path / "frame.png") as source:
        told = profile(pipeline, source, frames=1, warm_up=0, encode=False, layers=True).to_dict()["layers"]
    assert list(told) == ["detect.network", "super_resolve.network"]
    assert all("Conv" in {layer["kind"] for layer in part} for part in told.values())


def test_a_video_ends_where_it_ends_and_leaves_nothing(tiny_bundle, tmp_path, monkeypatch):
    path = tmp_path / "clip.mp4"
    _clip(path, 5)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    with load(tiny_bundle().folder) as pipeline, open_source(path) as source:
        assert len(profile(pipeline, source, frames=50, warm_up=1).timeline) == 4
        with pytest.raises(InputError, match="warm-up"):
            profile(pipeline, source, warm_up=5)
    assert list((tmp_path / "scratch").iterdir()) == []


def _clip(path, count):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 118, np.uint8), "bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_trace_nests_parts_in_stages_in_frames(measured):
    events = trace_from_profile(measured[0])["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    frames = [event for event in slices if event["cat"] == "frame"]
    assert len(frames) == 6 and min(event["ts"] for event in slices) == 0
    for name, outer in (("detect.network", "detect"), ("super_resolve.network", "super_resolve")):
        for inner in (event for event in slices if event["name"] == name):
            assert any(_holds(event, inner) for event in slices if event["name"] == outer)
    for event in slices:
        assert any(_holds(frame, event) for frame in frames)
    for before, after in pairwise(frames):
        assert before["ts"] + before["dur"] <= after["ts"] + 1e-6


def _holds(outer, inner):
    return outer["ts"] <= inner["ts"] + 1e-6 and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"] + 1e-6


def test_a_trace_has_what_viewers_ask_for(measured, tmp_path):
    write_trace(measured[0], tmp_path / "trace.json")
    document = json.loads((tmp_path / "trace.json").read_text())
    assert {"M", "X", "C"} == {event["ph"] for event in document["traceEvents"]}
    names = {event["name"] for event in document["traceEvents"] if event["ph"] == "M"}
    assert names == {"process_name", "thread_name"}
    with pytest.raises(OutputError):
        write_trace(measured[0], tmp_path)

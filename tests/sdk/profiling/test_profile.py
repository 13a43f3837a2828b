"""Profiles: measured frames, overhead, percentiles; and traces."""

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
from facesr_edge.sdk.profiling.timing import BREAKDOWN, PROFILE_ROWS, REGISTER, FrameTiming, Span
from facesr_edge.sdk.profiling.trace import trace_from_profile, write_trace

MS = 1_000_000
SPANS = (
    Span("decode", 0, 2 * MS),
    Span("detect.network", 3 * MS, 5 * MS),
    Span("detect", 2 * MS, 7 * MS),
    Span("crop", 9 * MS, 1 * MS),
    Span("upscale.network", 10 * MS, 10 * MS),
    Span("upscale", 10 * MS, 13 * MS),
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
        progress = []
        return profile(pipeline, source, frames=6, warm_up=2, report=progress.append), progress


def test_overhead_excludes_networks_codecs_and_background_resizing():
    timing = FrameTiming(0, 1, SPANS)
    assert timing.milliseconds["total"] == pytest.approx(34)
    assert timing.overhead_ms == pytest.approx(34 - 2 - 5 - 10 - 4 - 6)


def test_breakdown_adds_up_to_the_total():
    breakdown_ms = FrameTiming(0, 1, SPANS).breakdown_ms
    assert list(breakdown_ms) == list(BREAKDOWN) and sum(breakdown_ms.values()) == pytest.approx(34)


def test_missing_stage_is_zero():
    assert FrameTiming(0, 0, SPANS[:1]).milliseconds == {
        **dict.fromkeys(PROFILE_ROWS, 0.0),
        "decode": 2.0,
        "total": 2.0,
    }


def test_image_is_processed_repeatedly_and_warm_up_is_not_measured(measured):
    result, progress = measured
    assert len(result.timeline) == 6 and progress == list(range(1, 9))
    assert [timing.index for timing in result.timeline] == list(range(6))
    assert all(timing.milliseconds["decode"] > 0.05 for timing in result.timeline)
    assert all(timing.milliseconds["encode"] > 0.05 for timing in result.timeline)


def test_profile_records_machine_versions_and_configuration(measured):
    document = json.loads(json.dumps(measured[0].to_dict(), allow_nan=False))
    assert document["machine"]["cores"] == len(os.sched_getaffinity(0)) and document["machine"]["cpu"]
    assert "(CPU, " in document["runtimes"]["upscale"]
    assert document["versions"]["onnxruntime"] and document["peak_memory_mb"] > 50
    assert list(document["stages_ms"]) == [name for name in PROFILE_ROWS if name != REGISTER]
    assert document["overlapped_fps"] > 0
    assert document["fps"] == pytest.approx(1e3 / document["stages_ms"]["total"]["mean"], rel=0.01)
    assert document["faces_per_frame"] == 1 and len(measured[0].faces) == 1
    assert document["detect"].items() >= {"kind": "full", "scale": 1.0, "passes": 1, "megapixels": 0.061}.items()


def test_layers_are_measured_only_on_request(measured, tiny_bundle, put_face, tmp_path):
    assert measured[0].layers == {} and measured[0].to_dict()["layers"] == {}
    frame = np.full((90, 160, 3), 118, np.uint8)
    put_face(frame, 40, 30, 30)
    cv2.imwrite(str(tmp_path / "frame.png"), frame)
    with (
        load(tiny_bundle().folder, threads=1, engine="onnxruntime", precision="fp32") as pipeline,
        open_source(tmp_path / "frame.png") as source,
    ):
        layers = profile(pipeline, source, frames=1, warm_up=0, encode=False, layers=True).to_dict()["layers"]
    assert list(layers) == ["detect.network", "upscale.network"]
    assert all("Conv" in {layer["kind"] for layer in part} for part in layers.values())


def test_short_video_ends_early_and_leaves_no_temporary_files(tiny_bundle, tmp_path, monkeypatch):
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


def test_trace_nests_parts_in_stages_in_frames(measured):
    events = trace_from_profile(measured[0])["traceEvents"]
    slices = [event for event in events if event["ph"] == "X"]
    frames = [event for event in slices if event["cat"] == "frame"]
    assert len(frames) == 6 and min(event["ts"] for event in slices) == 0
    for name, outer in (("detect.network", "detect"), ("upscale.network", "upscale")):
        for inner in (event for event in slices if event["name"] == name):
            assert any(_contains(event, inner) for event in slices if event["name"] == outer)
    for event in slices:
        assert any(_contains(frame, event) for frame in frames)
    for before, after in pairwise(frames):
        assert before["ts"] + before["dur"] <= after["ts"] + 1e-6


def _contains(outer, inner):
    return outer["ts"] <= inner["ts"] + 1e-6 and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"] + 1e-6


def test_trace_has_the_fields_of_the_format(measured, tmp_path):
    write_trace(measured[0], tmp_path / "trace.json")
    document = json.loads((tmp_path / "trace.json").read_text())
    assert {"M", "X", "C"} == {event["ph"] for event in document["traceEvents"]}
    names = {event["name"] for event in document["traceEvents"] if event["ph"] == "M"}
    assert names == {"process_name", "thread_name"}
    with pytest.raises(OutputError):
        write_trace(measured[0], tmp_path)

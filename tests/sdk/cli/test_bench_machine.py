"""``facesr-edge bench pipeline`` and ``bench peers``: options, output and errors."""

import json

import pytest
from facesr_edge.calibration.timing import latency_stats
from facesr_edge.sdk.bench.peers.measure import PeersTimings
from facesr_edge.sdk.bench.peers.task import PeerTiming, TaskTimings
from facesr_edge.sdk.doctor.machine import this_machine

FAST = ("--model", "edge-nano-x4", "--engine", "onnxruntime", "--precision", "fp32", "--threads", 1)
SMALL = ("--sizes", "480p", "--counts", "2", "--frames", 2, "--runs", 1)


def test_pipeline_is_measured_printed_written_and_drawn(facesr, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib; pip install 'facesr-edge[bench]'")
    document, chart = tmp_path / "pipeline.json", tmp_path / "chart.png"
    outputs = ("--json", document, "--chart", chart, "-o", tmp_path / "made")
    result = facesr("bench", "pipeline", *FAST, *SMALL, "--outscale", 1, *outputs)
    assert result.code == 0, result.err
    (row,) = [line.split() for line in result.out.splitlines() if line.startswith("480p")]
    assert row[1] == "2" and "edge-nano-x4" in result.out
    written = json.loads(document.read_text("utf-8"))
    assert (written["outscale"], written["threads"], written["frames"], written["rounds"]) == (1, 1, 2, 1)
    assert [(scene["size"], scene["faces"]) for scene in written["scenes"]] == [("480p", 2)]
    assert json.loads((tmp_path / "made" / "pipeline.json").read_text("utf-8")) == written
    assert (tmp_path / "made" / "pipeline.png").read_bytes() == chart.read_bytes()


def test_quick_replaces_only_what_is_not_given(facesr, monkeypatch):
    calls = []

    def measure(*arguments, **options):
        calls.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("facesr_edge.sdk.bench.pipeline.measure_pipeline", measure)
    assert facesr("bench", "pipeline", "--quick", "--sizes", "2160p", "--counts", "4,2").code == 1
    assert calls[0]["sizes"] == ("2160p",) and calls[0]["counts"] == (2, 4)
    assert (calls[0]["frames"], calls[0]["rounds"]) == (6, 1)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--sizes", "720p"), "expected sizes of 480p, 1080p, 2160p, got 720p"),
        (("--counts", "1,none"), "expected numbers of faces from 1, e.g. 1,8, got 1,none"),
        (("--counts", "0"), "expected numbers of faces from 1"),
        (("--frames", "0"), "'--frames'"),
        (("--chart", "chart.gif"), "expected a chart file that ends in .png"),
    ],
)
def test_usage_errors_of_pipeline_are_one_line_before_any_work(facesr, options, expected, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.bench.pipeline.measure_pipeline", None)
    result = facesr("bench", "pipeline", *options)
    assert result.code == 2 and expected in result.error and result.out == ""


def test_faces_that_do_not_fit_into_the_frame_are_a_usage_error(facesr):
    result = facesr("bench", "pipeline", *FAST, "--sizes", "480p", "--counts", "200")
    assert result.code == 2 and "200 faces of up to 72 px do not fit into 480p" in result.error


def test_faces_without_a_face_are_an_error(facesr, image_file, tmp_path):
    import cv2
    import numpy as np

    (tmp_path / "faces").mkdir()
    cv2.imwrite(str(tmp_path / "faces" / "grey.png"), np.full((200, 200, 3), 90, np.uint8))
    result = facesr("bench", "pipeline", *FAST, *SMALL, "--faces", tmp_path / "faces")
    assert result.code == 1 and "no complete face in any of 1 images" in result.error


def test_peers_are_printed_and_absent_ones_named(facesr, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib; pip install 'facesr-edge[bench]'")
    calls = []
    rows = (PeerTiming("facesr-edge", latency_stats([2.0]), 1.0, {"faces": 8}),)
    tasks = (TaskTimings("detect", "detection", "frame", rows, {"YuNet, OpenCV": "no file was given"}),)
    run = ("2026-01-31T12:00:00+00:00", 0.1, "edge-nano-x4", 1, 3, "ONNX Runtime 1")
    timings = PeersTimings(this_machine(), *run, tasks, ("a note",))
    monkeypatch.setattr(
        "facesr_edge.sdk.bench.peers.measure.measure_peers", lambda *a, **options: calls.append(options) or timings
    )
    result = facesr("bench", "peers", "--quick", "--threads", 1, "-o", tmp_path)
    assert result.code == 0, result.err
    assert calls[0]["rounds"] == 3 and calls[0]["threads"] == 1 and calls[0]["yunet"] is None
    assert ["facesr-edge", "2.00", "x1.00", "2.00–2.00", "8"] in [line.split() for line in result.out.splitlines()]
    assert "YuNet, OpenCV: not timed: no file was given" in result.out and "note: a note" in result.err
    document = json.loads((tmp_path / "peers.json").read_text("utf-8"))
    assert (
        document["tasks"][0]["absent"] == {"YuNet, OpenCV": "no file was given"} and (tmp_path / "peers.png").exists()
    )


def test_quick_and_runs_of_peers_exclude_each_other(facesr):
    result = facesr("bench", "peers", "--quick", "--runs", 5)
    assert result.code == 2 and "--quick and --runs exclude each other" in result.error

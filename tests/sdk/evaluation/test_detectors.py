"""Detectors side by side, held against a computation of recall written on its own; and the picture of misses."""

import json
import re
import subprocess
import sys

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.detection import read_scenes
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.evaluation import detectors as judging
from facesr_edge.sdk.evaluation.detectors import benchmark_detectors, frames_of, latencies, names_of
from facesr_edge.sdk.evaluation.error_sheet import COLOURS, error_sheet


@pytest.fixture
def quick(monkeypatch):
    """Small frames: what they cost is not looked at."""
    monkeypatch.setattr(judging, "SIZES_WH", ((160, 96), (96, 64)))


@pytest.fixture
def labelled_folder(tmp_path, astronaut):
    """The sample picture whole and halved, labelled by the detector that ships, a face that is none, and a wall."""
    (tmp_path / "images").mkdir()
    half = cv2.resize(astronaut, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    labels = {}
    detect = facesr_edge.load_detector(threads=1)
    for name, picture in {
        "portrait_0": astronaut,
        "scene_1": half,
        "scene_2": np.full((96, 128, 3), 90, np.uint8),
    }.items():
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), picture)
        found = detect(picture)
        faces = [
            {"box": [float(v) for v in (x0, y0, x1 - x0, y1 - y0)], "landmarks": marks.ravel().tolist(), "score": 0.9}
            for (x0, y0, x1, y1), marks in zip(found.boxes_xyxy, found.landmarks, strict=True)
        ]
        labels[f"{name}.png"] = {"faces": faces, "split": "test"}
    labels["scene_1.png"]["faces"].append({"box": [4.0, 200.0, 30.0, 36.0], "score": 0.9})
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return tmp_path


def test_two_detectors_are_measured_in_one_run(labelled_folder, quick):
    seen = []
    scenes = read_scenes(labelled_folder)
    both = benchmark_detectors(["detector", "detector"], scenes, threads=1, runs=3, report=seen.append)
    first, second = both.detectors
    assert seen == [1, 2, 3] and first.quality == second.quality
    assert set(both.ratios) == set(judging.SIZES_WH) and all(0.1 < ratio < 10 for ratio in both.ratios.values())
    document = json.loads(json.dumps(both.to_dict(), allow_nan=False))
    assert set(document["latency_ratio"]) == set(document["detectors"][0]["latency_ms"]) == {"160x96", "96x64"}


def test_what_the_labels_were_made_with_misses_only_what_is_no_face(labelled_folder, quick):
    (alone,) = benchmark_detectors(["detector"], read_scenes(labelled_folder), threads=1, runs=1).detectors
    (row,) = (row for row in alone.quality.rows if row.group == "all" and row.band.low == 24)
    assert row.faces == 3 and row.recall == pytest.approx(2 / 3)
    assert alone.quality.landmarks.mean == pytest.approx(0, abs=1e-4)
    assert alone.quality.alarms.count == 0 and alone.quality.alarms.pictures == 1


def test_recall_agrees_with_the_independent_check(shared, tmp_path, quick):
    labels = json.loads((shared / "detect" / "labels.json").read_text())
    scenes = [name for name, entry in labels.items() if entry["split"] == "test" and name.startswith("scene")][::3]
    others = [name for name, entry in labels.items() if entry["split"] == "test" and not name.startswith("scene")][::12]
    (tmp_path / "images").mkdir()
    for name in scenes + others:
        (tmp_path / "images" / name).symlink_to(shared / "detect" / "images" / name)
    (tmp_path / "labels.json").write_text(json.dumps({name: labels[name] for name in scenes + others}))
    (own,) = benchmark_detectors(["detector"], read_scenes(tmp_path, "test"), runs=1).detectors
    for kind, low, high in (("all", 24, 1e9), ("all", 12, 24), ("scene", 0, 1e9)):
        command = [sys.executable, shared / "check" / "recall.py", tmp_path, kind, str(low), str(high), "0"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        recall, faces = re.match(r"recall ([\d.]+) at 90 % precision on (\d+)", done.stdout).groups()
        (row,) = (
            row for row in own.quality.rows if (row.group, row.band.low, min(row.band.high, 1e9)) == (kind, low, high)
        )
        assert row.faces == int(faces) and row.recall == pytest.approx(float(recall), abs=1e-3)


def test_the_score_in_use_is_checked(labelled_folder):
    with pytest.raises(UsageError, match="expected 0 to 1"):
        benchmark_detectors(["detector"], read_scenes(labelled_folder), score=1.5)


def test_detectors_are_timed_in_turn_on_the_same_frames():
    order = []
    frames = [np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 3), np.uint8)]
    first, second = (lambda frame, name=name: order.append((name, int(frame[0, 0, 0]))) for name in "ab")
    figures = latencies([first, second], frames, runs=4)
    timed = order[4:]  # after each has seen each frame
    assert timed == [("b", 0), ("a", 0), ("a", 1), ("b", 1)] * 2
    assert len(figures) == 2 and all(figure.p50 >= 0 for figure in figures)


def test_frames_are_made_of_the_scenes_own_pictures(labelled_folder):
    frames = frames_of(read_scenes(labelled_folder), (320, 180))
    assert {frame.shape for frame in frames} == {(180, 320, 3)}
    assert not np.array_equal(frames[0], frames[1])


def test_detectors_are_called_by_file_or_bundle_and_by_path_where_these_are_alike():
    assert names_of(["models/yunet.onnx", "detector"]) == ["yunet", "detector"]
    assert names_of(["old/detector", "new/detector"]) == ["old/detector", "new/detector"]


def drawn(sheet, kind):
    """How many borders of that colour the sheet has: each tile's upper edge is one run of its colour."""
    return int((np.abs(sheet.astype(int) - COLOURS[kind]).max(2) < 2).sum(1).max() // 100)


def test_the_sheet_shows_what_is_missed(labelled_folder, quick):
    (alone,) = benchmark_detectors(["detector"], read_scenes(labelled_folder), threads=1, runs=1).detectors
    sheet = error_sheet(alone, "title")
    assert sheet.dtype == np.uint8 and drawn(sheet, "missed") == 1 and drawn(sheet, "alarm") == 0


def test_the_sheet_shows_false_alarms(labelled_folder, quick):
    labels = json.loads((labelled_folder / "labels.json").read_text())
    nothing = {name: {"faces": []} for name in labels}
    (labelled_folder / "labels.json").write_text(json.dumps(nothing))
    (alone,) = benchmark_detectors(["detector"], read_scenes(labelled_folder), threads=1, runs=1).detectors
    sheet = error_sheet(alone, "title")
    assert drawn(sheet, "alarm") == 2 and drawn(sheet, "missed") == 0


def test_the_sheet_of_a_detector_without_fault_says_so(labelled_folder, quick):
    scenes = [scene for scene in read_scenes(labelled_folder) if scene.name == "portrait_0.png"]
    (alone,) = benchmark_detectors(["detector"], scenes, threads=1, runs=1).detectors
    sheet = error_sheet(alone, "title")
    assert sheet.shape[0] < 200 and drawn(sheet, "alarm") == drawn(sheet, "missed") == 0
    assert (sheet < 150).any()

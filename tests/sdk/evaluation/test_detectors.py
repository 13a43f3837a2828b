"""Detector benchmark: accuracy compared with an independent computation of recall, and interleaved latency."""

import json
import re
import subprocess
import sys
from contextlib import closing

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.detection import read_scenes
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.evaluation import detectors
from facesr_edge.sdk.evaluation.detectors import benchmark_detectors, detector_latencies, frames_of, model_names


@pytest.fixture(autouse=True)
def small_frames(monkeypatch):
    """Latency is irrelevant here."""
    monkeypatch.setattr(detectors, "SIZES_WH", ((160, 96), (96, 64)))


@pytest.fixture(scope="module")
def labelled_folder(tmp_path_factory, astronaut):
    """The sample image at full and half size, labelled by the shipped detector, one false label; and a gray image."""
    folder = tmp_path_factory.mktemp("labelled")
    (folder / "images").mkdir()
    half = cv2.resize(astronaut, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    images = {"portrait_0": astronaut, "scene_1": half, "scene_2": np.full((96, 128, 3), 90, np.uint8)}
    labels = {}
    with closing(facesr_edge.load_detector(threads=1)) as detect:
        for name, image in images.items():
            cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
            result = detect(image)
            faces = [
                {
                    "box": [float(v) for v in (x0, y0, x1 - x0, y1 - y0)],
                    "landmarks": points.ravel().tolist(),
                    "score": 0.9,
                }
                for (x0, y0, x1, y1), points in zip(result.boxes_xyxy, result.landmarks, strict=True)
            ]
            labels[f"{name}.png"] = {"faces": faces, "split": "test"}
    labels["scene_1.png"]["faces"].append({"box": [4.0, 200.0, 30.0, 36.0], "score": 0.9})
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def test_two_detectors_are_benchmarked_in_one_run(labelled_folder):
    reported = []
    scenes = read_scenes(labelled_folder)
    both = benchmark_detectors(["detector", "detector"], scenes, threads=1, runs=3, report=reported.append)
    first, second = both.detectors
    assert reported == [1, 2, 3] and first.quality == second.quality
    assert set(both.ratios) == set(detectors.SIZES_WH) and all(0.1 < ratio < 10 for ratio in both.ratios.values())
    document = json.loads(json.dumps(both.to_dict(), allow_nan=False))
    assert set(document["latency_ratio"]) == set(document["detectors"][0]["latency_ms"]) == {"160x96", "96x64"}


def test_detector_misses_only_the_false_label_among_its_own_labels(labelled_folder):
    (result,) = benchmark_detectors(["detector"], read_scenes(labelled_folder), threads=1, runs=1).detectors
    (row,) = (row for row in result.quality.rows if row.group == "all" and row.sizes.low == 24)
    assert row.faces == 3 and row.recall == pytest.approx(2 / 3)
    assert result.quality.landmarks.mean == pytest.approx(0, abs=1e-4)
    assert result.quality.background.count == 0 and result.quality.background.images == 1


def test_recall_agrees_with_the_independent_check(shared, tmp_path):
    labels = json.loads((shared / "detect" / "labels.json").read_text())
    scenes = [name for name, entry in labels.items() if entry["split"] == "test" and name.startswith("scene")][::5]
    others = [name for name, entry in labels.items() if entry["split"] == "test" and not name.startswith("scene")][::20]
    (tmp_path / "images").mkdir()
    for name in scenes + others:
        (tmp_path / "images" / name).symlink_to(shared / "detect" / "images" / name)
    (tmp_path / "labels.json").write_text(json.dumps({name: labels[name] for name in scenes + others}))
    (result,) = benchmark_detectors(["detector"], read_scenes(tmp_path, "test"), runs=1).detectors
    for kind, low, high in (("all", 24, 1e9), ("all", 12, 24), ("scene", 0, 1e9)):
        command = [sys.executable, shared / "check" / "recall.py", tmp_path, kind, str(low), str(high), "0"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        recall, faces = re.match(r"recall ([\d.]+) at 90 % precision on (\d+)", done.stdout).groups()
        (row,) = (r for r in result.quality.rows if (r.group, r.sizes.low, min(r.sizes.high, 1e9)) == (kind, low, high))
        assert row.faces == int(faces) and row.recall == pytest.approx(float(recall), abs=1e-3)


def test_invalid_score_raises(labelled_folder):
    with pytest.raises(UsageError, match="expected 0 to 1"):
        benchmark_detectors(["detector"], read_scenes(labelled_folder), score=1.5)


def test_detectors_are_timed_interleaved_on_every_frame():
    order = []
    frames = [np.zeros((8, 8, 3), np.uint8), np.ones((8, 8, 3), np.uint8)]
    first, second = (lambda frame, name=name: order.append((name, int(frame[0, 0, 0]))) for name in "ab")
    latencies = detector_latencies([first, second], frames, runs=5)
    rounds = [sorted(order[at : at + 2]) for at in range(0, len(order), 2)]
    assert rounds == [[("a", 0), ("b", 0)]] * (1 + 3) + [[("a", 1), ("b", 1)]] * (1 + 2)
    assert len(latencies) == 2 and all(stats.p50 >= 0 for stats in latencies)


def test_frames_are_tiled_with_images_of_the_scenes(labelled_folder):
    frames = frames_of(read_scenes(labelled_folder), (320, 180))
    assert {frame.shape for frame in frames} == {(180, 320, 3)}
    assert not np.array_equal(frames[0], frames[1])


def test_models_are_named_by_file_or_folder_or_by_path_if_ambiguous():
    assert model_names(["models/yunet.onnx", "detector"]) == ["yunet", "detector"]
    assert model_names(["old/detector", "new/detector"]) == ["old/detector", "new/detector"]

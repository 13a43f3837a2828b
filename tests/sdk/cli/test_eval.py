"""``facesr-edge eval`` of detectors: tables, JSON, error sheet, and usage errors."""

import json

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.zoo import catalogue


@pytest.fixture(autouse=True)
def small_frames(monkeypatch):
    """Latency is irrelevant here."""
    monkeypatch.setattr("facesr_edge.sdk.evaluation.detectors.SIZES_WH", ((160, 96), (96, 64)))


@pytest.fixture
def scenes(tmp_path, astronaut):
    """The sample image, labelled by the shipped detector, in the split "test"; and a gray image without a split."""
    folder = tmp_path / "scenes"
    (folder / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "portrait_a.png"), astronaut)
    cv2.imwrite(str(folder / "images" / "scene_b.png"), np.full((90, 120, 3), 90, np.uint8))
    x0, y0, x1, y1 = (float(v) for v in facesr_edge.load_detector(threads=1)(astronaut).boxes_xyxy[0])
    portrait = {"faces": [{"box": [x0, y0, x1 - x0, y1 - y0], "score": 0.9}], "split": "test"}
    labels = {"portrait_a.png": portrait, "scene_b.png": {"faces": []}}
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def test_accuracy_and_latency_of_a_detector_are_printed(facesr, scenes):
    result = facesr("eval", "--detection-data", scenes, "--threads", 1)
    assert result.code == 0 and "recall@90" in result.out and "160x96" in result.out
    assert "portrait" in result.out and "24 px or more" in result.out and "mirrored" in result.out
    assert "false positives in 2 images" in result.out and "faces also detected in grayscale" in result.out
    assert max(map(len, result.out.splitlines()[:-1])) <= 100


def test_json_is_one_document(facesr, scenes):
    options = ("--detector", "detector", "--threads", 1, "--score", 0.6, "--json")
    document = json.loads(facesr("eval", "--detection-data", scenes, *options).out)
    (detector,) = document["detectors"]
    assert (document["split"], detector["name"], detector["score"]) == ("test", "detector", 0.6)
    assert document["detection_data"] == str(scenes) and document["label_fixes"] is None
    row = {"group": "all", "from_px": 24, "to_px": None, "faces": 1, "recall": 1.0, "average_precision": 1.0}
    assert row in detector["rows"] and detector["false_positives"] == 0 and detector["background"]["images"] == 1


def test_bundle_folder_is_compared_with_a_second_detector(facesr, scenes, tmp_path):
    file = tmp_path / "metrics.json"
    options = ["--detector", catalogue.FOLDER / "detector", "--compare", "detector", "--json", file, "--threads", 1]
    result = facesr("eval", "--detection-data", scenes, *options)
    assert result.code == 0 and "ratio" in result.out
    document = json.loads(file.read_text())
    assert len(document["detectors"]) == 2 and set(document["latency_ratio"]) == {"160x96", "96x64"}


def test_error_sheet_is_written_and_label_fixes_remove_labels(facesr, scenes, tmp_path):
    fixes = tmp_path / "fixes.json"
    fixes.write_text('{"portrait_a.png": [0]}')
    sheet, metrics = tmp_path / "errors.png", tmp_path / "metrics.json"
    options = ("--error-sheet", sheet, "--label-fixes", fixes, "--json", metrics, "--threads", 1)
    result = facesr("eval", "--detection-data", scenes, *options)
    assert result.code == 0 and "errors.png" in result.err and "label fixes of fixes.json" in result.err
    assert cv2.imread(str(sheet)).shape[1] > 1000
    assert json.loads(metrics.read_text())["detectors"][0]["false_positives"] == 1


def test_images_without_a_split_belong_to_every_split(facesr, scenes):
    result = facesr("eval", "--detection-data", scenes, "--split", "train", "--json")
    assert json.loads(result.out)["detectors"][0]["images"] == 1


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        ([], 2, "--faces DIR"),
        (["--model", "idrn-x4"], 2, "--detection-data DIR"),
        (["--detector", "detector"], 2, "--detection-data DIR"),
        (["--faces", "f", "--detection-data", "s"], 2, "--faces cannot be given with --detection-data"),
        (["--model", "idrn-x4", "--detection-data", "s"], 2, "--model cannot be given with --detection-data"),
        (
            ["--faces", "f", "--error-sheet", "m.png", "--min-face", "12"],
            2,
            "--faces cannot be given with --error-sheet, --min-face",
        ),
        (["--detection-data", "s", "--error-sheet", "m.txt"], 2, "ends in .png"),
        (["--detection-data", "missing"], 1, "labels.json"),
    ],
)
def test_invalid_options_are_one_line_errors(facesr, tmp_path, monkeypatch, options, code, expected):
    monkeypatch.chdir(tmp_path)
    result = facesr("eval", *options)
    assert result.code == code and expected in result.error and result.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--detector", "detectr"], 2, "did you mean 'detector'?"),
        (["--compare", "missing.onnx"], 1, "missing.onnx"),
        (["--detector", "idrn-x4"], 1, "expected a face detector"),
        (["--score", "2"], 2, "0 to 1"),
        (["--split", "holdout"], 0, ""),
    ],
)
def test_invalid_detectors_are_one_line_errors(facesr, scenes, options, code, expected):
    result = facesr("eval", "--detection-data", scenes, *options, "--threads", 1)
    assert result.code == code and (code == 0 or expected in result.error)

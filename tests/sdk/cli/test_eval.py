"""``facesr-edge eval`` of a detector: the table, JSON, the picture of misses, and wrong usage."""

import json

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.zoo import catalogue


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small frames: what they cost is not looked at."""
    monkeypatch.setattr("facesr_edge.sdk.evaluation.detectors.SIZES_WH", ((160, 96), (96, 64)))


@pytest.fixture
def scenes(tmp_path, astronaut):
    """The sample picture, labelled by the detector that ships, as a test picture; and a wall for every split."""
    folder = tmp_path / "scenes"
    (folder / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "portrait_a.png"), astronaut)
    cv2.imwrite(str(folder / "images" / "scene_b.png"), np.full((90, 120, 3), 90, np.uint8))
    x0, y0, x1, y1 = (float(v) for v in facesr_edge.load_detector(threads=1)(astronaut).boxes_xyxy[0])
    one = {"faces": [{"box": [x0, y0, x1 - x0, y1 - y0], "score": 0.9}], "split": "test"}
    labels = {"portrait_a.png": one, "scene_b.png": {"faces": []}}
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder


def test_eval_of_a_detector_shows_quality_and_time(facesr, scenes):
    said = facesr("eval", "--scenes", scenes, "--threads", 1)
    assert said.code == 0 and "recall@90" in said.out and "160x96" in said.out
    assert "portrait" in said.out and "24 px or more" in said.out and "mirrored" in said.out
    assert max(map(len, said.out.splitlines()[:-1])) <= 100


def test_eval_as_json_is_one_document(facesr, scenes):
    said = facesr("eval", "--scenes", scenes, "--detector", "detector", "--threads", 1, "--score", 0.6, "--json")
    document = json.loads(said.out)
    (detector,) = document["detectors"]
    assert (document["split"], detector["name"], detector["score"]) == ("test", "detector", 0.6)
    row = {"group": "all", "from_px": 24, "to_px": None, "faces": 1, "recall": 1.0, "average_precision": 1.0}
    assert row in detector["rows"] and detector["false_alarms"]["pictures"] == 1


def test_eval_takes_a_bundle_folder_beside_another(facesr, scenes, tmp_path):
    file = tmp_path / "figures.json"
    options = ["--detector", catalogue.FOLDER / "detector", "--beside", "detector", "--json", file, "--threads", 1]
    said = facesr("eval", "--scenes", scenes, *options)
    assert said.code == 0 and "ratio" in said.out
    document = json.loads(file.read_text())
    assert len(document["detectors"]) == 2 and set(document["latency_ratio"]) == {"160x96", "96x64"}


def test_eval_draws_its_misses(facesr, scenes, tmp_path):
    said = facesr("eval", "--scenes", scenes, "--misses", tmp_path / "misses.png", "--threads", 1)
    assert said.code == 0 and "misses.png" in said.err
    assert cv2.imread(str(tmp_path / "misses.png")).shape[1] > 1000


def test_pictures_of_no_split_belong_to_every_split(facesr, scenes):
    assert (
        json.loads(facesr("eval", "--scenes", scenes, "--split", "train", "--json").out)["detectors"][0]["pictures"]
        == 1
    )


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        ([], 2, "--faces DIR"),
        (["--model", "idrn-x4"], 2, "--scenes DIR"),
        (["--detector", "detector"], 2, "--scenes DIR"),
        (["--faces", "f", "--scenes", "s"], 2, "--faces cannot be given with --scenes"),
        (["--model", "idrn-x4", "--scenes", "s"], 2, "--model cannot be given with --scenes"),
        (
            ["--faces", "f", "--misses", "m.png", "--min-face", "12"],
            2,
            "--faces cannot be given with --misses, --min-face",
        ),
        (["--scenes", "s", "--misses", "m.txt"], 2, "ends in .png"),
        (["--scenes", "missing"], 1, "labels.json"),
    ],
)
def test_an_eval_that_cannot_be_is_one_line(facesr, tmp_path, monkeypatch, options, code, expected):
    monkeypatch.chdir(tmp_path)
    said = facesr("eval", *options)
    assert said.code == code and expected in said.error and said.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        (["--detector", "detectr"], 2, "did you mean 'detector'?"),
        (["--beside", "missing.onnx"], 1, "missing.onnx"),
        (["--detector", "idrn-x4"], 1, "expected a face detector"),
        (["--score", "2"], 2, "0 to 1"),
        (["--split", "holdout"], 0, ""),
    ],
)
def test_a_detector_that_is_none_is_one_line(facesr, scenes, options, code, expected):
    said = facesr("eval", "--scenes", scenes, *options, "--threads", 1)
    assert said.code == code and (code == 0 or expected in said.error)

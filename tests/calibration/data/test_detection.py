"""Detection labels: scores, splits, label fixes, and invalid files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.calibration.data.detection import labeled_faces, read_label_fixes, read_scenes
from facesr_edge.engines.errors import InputError


def face(x: float, score: float | None = 0.9) -> dict[str, object]:
    entry: dict[str, object] = {"box": [x, 10, 20, 30], "landmarks": [x + 5, 20, x + 15, 20] + [x + 10, 30] * 3}
    return entry if score is None else {**entry, "score": score}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    labels = {
        "scene_b.jpg": {"faces": [face(0), face(40), face(80, 0.5)], "split": "test"},
        "scene_a.jpg": {"faces": [face(7, None)]},
        "portrait_c.jpg": {"faces": [], "split": "train"},
    }
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return tmp_path


@pytest.mark.parametrize(
    ("score", "certain"), [(0.29, []), (0.3, [False]), (0.69, [False]), (0.7, [True]), (None, [True])]
)
def test_labels_are_certain_uncertain_or_dropped_by_score(score: float | None, certain: list[bool]) -> None:
    assert labeled_faces([face(0, score)]).certain.tolist() == certain


def test_boxes_become_xyxy_and_missing_landmarks_nan() -> None:
    faces = labeled_faces([{"box": [3, 10, 20, 30]}])
    assert faces.boxes_xyxy.tolist() == [[3, 10, 23, 40]]
    assert np.isnan(faces.landmarks).all() and faces.landmarks.shape == (1, 10)


@pytest.mark.parametrize(
    ("split", "names"),
    [
        (None, ["portrait_c.jpg", "scene_a.jpg", "scene_b.jpg"]),
        ("test", ["scene_a.jpg", "scene_b.jpg"]),
        ("train", ["portrait_c.jpg", "scene_a.jpg"]),
    ],
)
def test_split_includes_images_without_a_split(folder: Path, split: str | None, names: list[str]) -> None:
    scenes = read_scenes(folder, split)
    assert [scene.name for scene in scenes] == names
    assert [scene.kind for scene in scenes] == [name.split("_")[0] for name in names]


def test_label_fixes_remove_labels(folder: Path) -> None:
    (folder / "fixes.json").write_text('{"scene_b.jpg": [0, 2], "elsewhere.jpg": [0]}')
    scenes = read_scenes(folder, "test", folder / "fixes.json")
    left = {scene.name: scene.faces.boxes_xyxy[:, 0].tolist() for scene in scenes}
    assert left == {"scene_a.jpg": [7], "scene_b.jpg": [40]}


@pytest.mark.parametrize("text", ["[1, 2]", "{", '{"a.jpg": 3}', '{"a.jpg": ["no"]}'])
def test_invalid_label_fixes_raise(folder: Path, text: str) -> None:
    (folder / "fixes.json").write_text(text)
    with pytest.raises(InputError, match=r"fixes\.json has no valid label fixes"):
        read_scenes(folder, None, folder / "fixes.json")
    with pytest.raises(InputError, match="give a JSON file, or omit it"):
        read_scenes(folder, None, folder / "missing.json")


@pytest.mark.parametrize("text", ["[]", '{"a": {}}', '{"a": {"faces": [{"box": [1, 2]}]}}', "no json"])
def test_invalid_labels_raise(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(InputError, match=r"labels\.json has no"):
        read_scenes(tmp_path)


@pytest.mark.parametrize("box", ["0, 0, -1, 5", "0, 0, 1e300, 5", "NaN, 0, 1, 1", "null, 0, 1, 1", "1e999, 0, 1, 1"])
def test_box_that_no_image_can_have_raises(tmp_path: Path, box: str) -> None:
    (tmp_path / "labels.json").write_text('{"a.png": {"faces": [{"box": [BOX]}]}}'.replace("BOX", box))
    with pytest.raises(InputError, match="no valid labels"):
        read_scenes(tmp_path)


@pytest.mark.parametrize("faces", ['{"box": [1, 2]}, {"box": [3, 4]}', '{"box": [1, 2, 3, 4], "landmarks": [[]]}'])
def test_wrong_number_of_coordinates_raises(tmp_path: Path, faces: str) -> None:
    (tmp_path / "labels.json").write_text('{"a.png": {"faces": [FACES]}}'.replace("FACES", faces))
    with pytest.raises(InputError, match=r"expected \d+ coordinates"):
        read_scenes(tmp_path)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a.png": [1e999]}', '{"a.png": "x"}', '{"a.png": [1e300]}'])
def test_absurd_label_fixes_raise(tmp_path: Path, text: str) -> None:
    (tmp_path / "fixes.json").write_text(text)
    try:
        fixes = read_label_fixes(tmp_path / "fixes.json")
    except InputError:
        return
    assert all(isinstance(index, int) for index in fixes["a.png"])


def test_missing_labels_and_empty_splits_raise(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match=r"give a folder with labels\.json and images/"):
        read_scenes(tmp_path / "nowhere")
    labels = json.loads((folder / "labels.json").read_text())
    (folder / "labels.json").write_text(json.dumps({"scene_b.jpg": labels["scene_b.jpg"]}))
    with pytest.raises(InputError, match='no images in the split "train"'):
        read_scenes(folder, "train")

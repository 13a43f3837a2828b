"""Labelled pictures: what counts as a face, what a person may take back, and what is told of a file that is none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.calibration.data.detection import labelled_faces, read_scenes
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
    ("score", "kept"), [(0.29, []), (0.3, [False]), (0.69, [False]), (0.7, [True]), (None, [True])]
)
def test_labels_are_certain_uncertain_or_absent_by_score(score: float | None, kept: list[bool]) -> None:
    assert labelled_faces([face(0, score)]).certain.tolist() == kept


def test_boxes_become_corners_and_unknown_landmarks_no_numbers() -> None:
    faces = labelled_faces([{"box": [3, 10, 20, 30]}])
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
def test_a_split_has_its_own_pictures_and_those_of_none(folder: Path, split: str | None, names: list[str]) -> None:
    scenes = read_scenes(folder, split)
    assert [scene.name for scene in scenes] == names
    assert [scene.kind for scene in scenes] == [name.split("_")[0] for name in names]


def test_reviewed_labels_are_gone_as_if_never_made(folder: Path) -> None:
    (folder / "review.json").write_text('{"scene_b.jpg": [0, 2], "elsewhere.jpg": [0]}')
    scenes = read_scenes(folder, "test", folder / "review.json")
    seen = {scene.name: scene.faces.boxes_xyxy[:, 0].tolist() for scene in scenes}
    assert seen == {"scene_a.jpg": [7], "scene_b.jpg": [40]}


@pytest.mark.parametrize("text", ["[1, 2]", "{", '{"a.jpg": 3}', '{"a.jpg": ["no"]}'])
def test_what_is_no_review_is_told(folder: Path, text: str) -> None:
    (folder / "review.json").write_text(text)
    with pytest.raises(InputError, match=r"review\.json holds no review"):
        read_scenes(folder, None, folder / "review.json")
    with pytest.raises(InputError, match="leave it out"):
        read_scenes(folder, None, folder / "missing.json")


@pytest.mark.parametrize("text", ["[]", '{"a": {}}', '{"a": {"faces": [{"box": [1, 2]}]}}', "no json"])
def test_what_is_no_labels_file_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.json").write_text(text)
    with pytest.raises(InputError, match=r"labels\.json"):
        read_scenes(tmp_path)


def test_a_folder_without_labels_or_a_split_without_pictures_is_told(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match=r"give a folder with labels\.json and images/"):
        read_scenes(tmp_path / "nowhere")
    labels = json.loads((folder / "labels.json").read_text())
    (folder / "labels.json").write_text(json.dumps({"scene_b.jpg": labels["scene_b.jpg"]}))
    with pytest.raises(InputError, match='no pictures of the split "train"'):
        read_scenes(folder, "train")

"""Detector data: labels stay on their faces through every change, and a batch can be drawn again."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import InputError, TrainingError
from facesr_edge.networks.detector import Detector
from facesr_edge.training.mosaics import Labelled, Mosaics, cropped, degraded, flipped, moved, recoloured
from facesr_edge.training.recipes.detector import cpu
from facesr_edge.training.scenes import Scenes, labelled

SHARED = Path(__file__).parents[2].parent / "shared" / "detect"
SIDE = 128


def face(x: float, y: float, side: float, score: float = 0.9) -> dict[str, object]:
    """A label: eyes, nose, mouth corners where they are in a face of that side."""
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    marks = [value for px, py in points for value in (x + px * side, y + py * side)]
    return {"box": [x, y, side, side], "landmarks": marks, "score": score}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Grey pictures, one of each kind and split, whose faces are white squares."""
    (tmp_path / "images").mkdir()
    faces = {"portrait_a": [face(40, 30, 60)], "scene_a": [face(20, 20, 30), face(90, 60, 20, 0.5)], "scene_b": []}
    labels = {}
    for split in ("train", "test"):
        for name, found in faces.items():
            picture = np.full((120, 160, 3), 60, np.uint8)
            for entry in found:
                x, y, w, h = (int(v) for v in entry["box"])  # type: ignore[attr-defined]
                picture[y : y + h, x : x + w] = 250
            cv2.imwrite(str(tmp_path / "images" / f"{name}_{split}.png"), picture)
            labels[f"{name}_{split}.png"] = {"size": [160, 120], "faces": found, "split": split}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return tmp_path


@pytest.fixture
def task(folder: Path) -> Scenes:
    recipe = cpu(width=8)
    return Scenes(type(recipe)(**{**vars(recipe), "batch": 4, "crop": SIDE}), folder)


def test_flip_swaps_left_and_right_landmarks() -> None:
    before = labelled([face(10, 20, 40)])
    after = flipped(before, 100)
    assert after.boxes_xyxy.tolist() == [[50, 20, 90, 60]]
    eyes = after.landmarks.reshape(5, 2)
    assert eyes[0, 0] < eyes[1, 0]
    assert eyes[3, 0] < eyes[4, 0]
    np.testing.assert_allclose(flipped(after, 100).landmarks, before.landmarks, atol=1e-4)


def test_faces_move_with_their_picture() -> None:
    after = moved(labelled([face(10, 20, 40)]), 0.5 * np.eye(2), np.array([3.0, 4.0]))
    assert after.boxes_xyxy.tolist() == [[8, 14, 28, 34]]
    assert after.landmarks[0, :2].tolist() == pytest.approx([0.5 * 22 + 3, 0.5 * 36 + 4])


@pytest.mark.parametrize(
    ("x", "fate"), [(10, "face"), (-11, "face"), (-13, "uncertain"), (-27, "uncertain"), (-29, "gone"), (200, "gone")]
)
def test_faces_cut_by_the_edge_become_uncertain_then_vanish(x: int, fate: str) -> None:
    seen = cropped(labelled([face(x, 10, 40)]), 100, 100)
    assert (len(seen.certain) == 0) == (fate == "gone")
    assert seen.certain.tolist() == ([] if fate == "gone" else [fate == "face"])
    assert (seen.boxes_xyxy >= 0).all()


@pytest.mark.parametrize(("score", "kept"), [(0.29, []), (0.3, [False]), (0.69, [False]), (0.7, [True])])
def test_labels_are_certain_uncertain_or_absent_by_score(score: float, kept: list[bool]) -> None:
    assert labelled([face(0, 0, 20, score)]).certain.tolist() == kept


def test_boxes_of_mosaics_lie_within_them(task: Scenes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        picture, faces = task.mosaics.draw(rng)
        assert picture.shape == (SIDE, SIDE, 3)
        assert (faces.boxes_xyxy >= 0).all()
        assert (faces.boxes_xyxy <= SIDE).all()
        assert (faces.boxes_xyxy[:, 2:] > faces.boxes_xyxy[:, :2]).all()


def test_boxes_of_mosaics_lie_on_their_faces(task: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faces are white squares on grey: bright inside the box, and no longer so a little outside it."""
    monkeypatch.setattr("facesr_edge.training.mosaics.recoloured", lambda piece, _: piece)
    monkeypatch.setattr("facesr_edge.training.mosaics.degraded", lambda picture, _: picture)
    task.mosaics.kinds = {"portrait": task.mosaics.kinds["portrait"]}
    rng, inside = np.random.default_rng(1), []
    for _ in range(20):
        picture, faces = task.mosaics.draw(rng)
        for box in faces.boxes_xyxy[faces.certain]:
            centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
            (x0, y0), (x1, y1) = (np.rint(centre + sign * 0.6 * half).astype(int) for sign in (-1, 1))
            inside.append(float((picture[y0:y1, x0:x1] > 240).mean()))
    assert len(inside) > 30
    assert np.mean(inside) > 0.97


def test_equal_seeds_draw_equal_batches(task: Scenes, folder: Path) -> None:
    again = Scenes(task.recipe, folder)
    again.batch(np.random.default_rng(9))  # what was drawn before must not matter
    a, b = task.batch(np.random.default_rng((7, 3))), again.batch(np.random.default_rng((7, 3)))
    assert torch.equal(a.pictures, b.pictures)
    assert all(torch.equal(x, y) for x, y in zip(vars(a.truth).values(), vars(b.truth).values(), strict=True))
    assert not torch.equal(a.pictures, task.batch(np.random.default_rng((7, 4))).pictures)


def test_batches_are_rgb_between_0_and_1_and_say_which_picture_a_face_is_in(task: Scenes) -> None:
    batch = task.batch(np.random.default_rng(2))
    assert batch.pictures.shape == (4, 3, SIDE, SIDE)
    assert 0 <= float(batch.pictures.min()) <= float(batch.pictures.max()) <= 1
    assert len(batch.truth.picture) == len(batch.truth.boxes_xyxy) == len(batch.truth.certain)
    assert set(batch.truth.picture.tolist()) <= {0, 1, 2, 3}
    assert task.loss(Detector(width=8), batch).item() > 0


@pytest.mark.parametrize("seed", range(5))
def test_colours_and_codecs_keep_shape_and_type(seed: int) -> None:
    picture = np.random.default_rng(seed).integers(0, 256, (40, 56, 3), np.uint8)
    for change in (recoloured, degraded):
        changed = change(picture, np.random.default_rng(seed))
        assert (changed.shape, changed.dtype) == (picture.shape, picture.dtype)


def test_evaluation_of_an_untrained_network_finds_nothing(task: Scenes) -> None:
    with torch.inference_mode():
        scores = task.evaluate(Detector(width=8).eval())
    assert scores == dict.fromkeys(("recall_24", "recall_12_24", "ap_24", "ap_12_24", "alarms_a_scene"), 0.0)


def test_pictures_of_no_known_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="scene, portrait, sheet"):
        Mosaics(tmp_path, {"holiday_1.jpg": labelled([])}, SIDE)


def test_missing_picture_is_named(tmp_path: Path) -> None:
    none = Labelled(np.zeros((0, 4), np.float32), np.zeros((0, 10), np.float32), np.zeros(0, bool))
    with pytest.raises(InputError, match=r"scene_1\.jpg"):
        Mosaics(tmp_path, {"scene_1.jpg": none}, SIDE).draw(np.random.default_rng(0))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the labelled pictures")
def test_shared_pictures_give_mosaics_with_faces_of_all_sizes() -> None:
    batch = Scenes(cpu(), SHARED).batch(np.random.default_rng(0))
    boxes = batch.truth.boxes_xyxy[batch.truth.certain]
    sides = (boxes[:, 2:] - boxes[:, :2]).amin(1)
    assert len(sides) > 20
    assert float(sides.min()) < 12
    assert float(sides.max()) > 50

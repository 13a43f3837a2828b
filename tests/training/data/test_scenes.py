"""Detector data: labels follow their faces through augmentation, batches are reproducible, hard examples are mined."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from facesr_edge.calibration.data.detection import Scene, labeled_faces, read_scenes
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.errors import InputError, TrainingError
from facesr_edge.networks.detector import Detector
from facesr_edge.training.data.mosaics import HardExample, Mosaics, crop_faces, transform_faces
from facesr_edge.training.data.scenes import MOSAIC_SIDES, Scenes
from facesr_edge.training.losses.targets import POSITIVE_SCORE
from facesr_edge.training.recipes.detector import cpu
from numpy.typing import NDArray

SHARED = Path(__file__).parents[3].parent / "shared" / "detect"
SIDE = 128


def face(x: float, y: float, side: float, score: float = 0.9) -> dict[str, object]:
    """A label with eyes, nose and mouth corners at plausible positions."""
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    marks = [value for px, py in points for value in (x + px * side, y + py * side)]
    return {"box": [x, y, side, side], "landmarks": marks, "score": score}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Gray pictures, one per kind and split, whose faces are white squares."""
    (tmp_path / "images").mkdir()
    pair = [face(20, 20, 30), face(90, 60, 20, 0.5)]
    faces = {"portrait_a": [face(40, 30, 60)], "scene_a": pair, "scene_b": [], "event_a": pair}
    labels = {}
    for split in ("train", "test"):
        for name, labels_of in faces.items():
            picture = np.full((120, 160, 3), 60, np.uint8)
            for entry in labels_of:
                x, y, w, h = (int(v) for v in entry["box"])  # type: ignore[attr-defined]
                picture[y : y + h, x : x + w] = 250
            cv2.imwrite(str(tmp_path / "images" / f"{name}_{split}.png"), picture)
            labels[f"{name}_{split}.png"] = {"size": [160, 120], "faces": labels_of, "split": split}
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return tmp_path


@pytest.fixture
def task(folder: Path) -> Scenes:
    recipe = cpu(width=8)
    return Scenes(type(recipe)(**{**vars(recipe), "batch": 4, "crop": SIDE}), folder)


def test_flip_swaps_left_and_right_landmarks() -> None:
    before = labeled_faces([face(10, 20, 40)])
    after = before.mirrored(100)
    assert after.boxes_xyxy.tolist() == [[50, 20, 90, 60]]
    eyes = after.landmarks.reshape(5, 2)
    assert eyes[0, 0] < eyes[1, 0]
    assert eyes[3, 0] < eyes[4, 0]
    np.testing.assert_allclose(after.mirrored(100).landmarks, before.landmarks, atol=1e-4)


def test_faces_are_transformed_with_their_picture() -> None:
    after = transform_faces(labeled_faces([face(10, 20, 40)]), 0.5 * np.eye(2), np.array([3.0, 4.0]))
    assert after.boxes_xyxy.tolist() == [[8, 14, 28, 34]]
    assert after.landmarks[0, :2].tolist() == pytest.approx([0.5 * 22 + 3, 0.5 * 36 + 4])


@pytest.mark.parametrize(
    ("x", "state"), [(10, "face"), (-11, "face"), (-13, "uncertain"), (-27, "uncertain"), (-29, "gone"), (200, "gone")]
)
def test_faces_cut_by_the_edge_become_uncertain_then_vanish(x: int, state: str) -> None:
    visible = crop_faces(labeled_faces([face(x, 10, 40)]), 100, 100)
    assert (len(visible.certain) == 0) == (state == "gone")
    assert visible.certain.tolist() == ([] if state == "gone" else [state == "face"])
    assert (visible.boxes_xyxy >= 0).all()


def test_boxes_lie_inside_the_mosaic(task: Scenes) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        picture, faces = task.mosaics.draw(rng, SIDE)
        assert picture.shape == (SIDE, SIDE, 3)
        assert (faces.boxes_xyxy >= 0).all()
        assert (faces.boxes_xyxy <= SIDE).all()
        assert (faces.boxes_xyxy[:, 2:] > faces.boxes_xyxy[:, :2]).all()


def test_boxes_match_the_faces_of_the_mosaic(task: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The faces are white squares on gray: the inner part of each box is white."""
    monkeypatch.setattr("facesr_edge.training.data.mosaics.color_jitter", lambda piece, _: piece)
    task.mosaics.kinds = {"portrait": task.mosaics.kinds["portrait"]}
    rng, inside = np.random.default_rng(1), []
    for _ in range(20):
        picture, faces = task.mosaics.draw(rng, SIDE)
        for box in faces.boxes_xyxy[faces.certain]:
            center, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
            (x0, y0), (x1, y1) = (np.rint(center + sign * 0.6 * half).astype(int) for sign in (-1, 1))
            inside.append(float((picture[y0:y1, x0:x1] > 240).mean()))
    assert len(inside) > 30
    assert np.mean(inside) > 0.97


def test_pictures_with_faces_are_padded_with_a_scene_without_faces(task: Scenes) -> None:
    backgrounds = [task.mosaics._background(np.random.default_rng(seed), 64, 48) for seed in range(5)]
    assert all(picture.shape == (48, 64, 3) and (picture == 60).all() for picture in backgrounds)  # gray of scene_b


def test_batches_are_reproducible(task: Scenes, folder: Path) -> None:
    again = Scenes(task.recipe, folder)
    again.batch(np.random.default_rng(9))  # earlier batches must not matter
    a, b = task.batch(np.random.default_rng((7, 3))), again.batch(np.random.default_rng((7, 3)))
    assert torch.equal(a.pictures, b.pictures)
    assert all(torch.equal(x, y) for x, y in zip(vars(a.target).values(), vars(b.target).values(), strict=True))
    assert not torch.equal(a.target.score, task.batch(np.random.default_rng((7, 4))).target.score)


def test_batches_are_rgb_between_0_and_1_with_a_target_for_every_cell(task: Scenes) -> None:
    widths = set()
    for seed in range(6):
        batch = task.batch(np.random.default_rng(seed))
        n, channels, height, width = batch.pictures.shape
        assert (channels, height) == (3, width)
        assert n == max(1, 4 * SIDE**2 // width**2)
        assert 0 <= float(batch.pictures.min()) <= float(batch.pictures.max()) <= 1
        assert batch.target.score.shape == (n, sum((width // s) ** 2 for s in (8, 16, 32)))
        widths.add(width)
    assert widths == set(MOSAIC_SIDES)
    assert task.loss(Detector(width=8), batch).item() > 0


class BrightnessTeacher:
    """Teacher whose scores at stride 8 are the brightness of the cells; records its input."""

    io_spec, runtime = IOSpec("face-detection", multiple=32), "a rule"

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.input = batch
        n, height, width, _ = batch.shape
        maps = np.zeros((n, sum(height // s * (width // s) for s in (8, 16, 32)), 15), np.float32)
        cells = batch[:, 4::8, 4::8, 0].reshape(n, -1)
        maps[:, : cells.shape[1], 0] = cells / np.float32(255)
        maps[..., 1:3], maps[..., 3:5] = 0.5, np.log(2)
        return maps

    def warm_up(self) -> None: ...

    def close(self) -> None: ...


def test_the_teacher_gets_the_mosaics_before_the_camera_artifacts(
    task: Scenes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("facesr_edge.training.data.scenes.camera_artifacts", lambda picture, _: picture // 2)
    teacher = BrightnessTeacher()
    with_teacher = Scenes(task.recipe, folder, teacher).batch(np.random.default_rng(3))
    mosaics = torch.from_numpy(teacher.input[..., ::-1].copy()).permute(0, 3, 1, 2)
    assert torch.equal((with_teacher.pictures * 255).round().byte(), mosaics // 2)
    alone = task.batch(np.random.default_rng(3))
    assert not torch.equal(alone.target.score, with_teacher.target.score)


class WrongDetector(torch.nn.Module):
    """Detects one face of 16 pixels at (140, 20) in every picture."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[2:]
        maps = torch.full((len(x), sum(height // s * (width // s) for s in (8, 16, 32)), 15), -9.0)
        cell = 20 // 8 * (width // 8) + 140 // 8
        maps[:, cell, :5] = torch.tensor([9.0, 0.5, 0.5, np.log(2), np.log(2)])
        return maps


def test_false_positives_and_false_negatives_of_training_scenes_are_hard_examples(task: Scenes) -> None:
    with torch.inference_mode():
        task.update_hard_examples(WrongDetector())
    examples = sorted((e.name, tuple(round(v) for v in e.center_xy)) for e in task.mosaics.hard_examples)
    event, a, b = (f"{name}_train.png" for name in ("event_a", "scene_a", "scene_b"))
    assert examples == [(event, (35, 35)), (event, (140, 20)), (a, (35, 35)), (a, (140, 20)), (b, (140, 20))]


def test_pieces_are_centered_on_hard_examples(task: Scenes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facesr_edge.training.data.mosaics.HARD_EXAMPLE_PROBABILITY", 1.0)
    task.mosaics.hard_examples = (HardExample("scene_b_train.png", (30.0, 40.0)),)
    drawn = [task.mosaics._choose_picture(np.random.default_rng(seed)) for seed in range(50)]
    assert {name for name, _ in drawn} == {"scene_b_train.png"}
    np.testing.assert_allclose(np.mean([anchor for _, anchor in drawn if anchor is not None], 0), (30, 40), atol=4)


def test_hard_examples_of_removed_pictures_are_not_restored(task: Scenes) -> None:
    kept = HardExample("scene_b_train.png", (30.0, 40.0))
    task.mosaics.hard_examples = (HardExample("scene_removed.png", (3.0, 4.0)), kept)
    task.load_state_dict(task.state_dict())
    assert task.mosaics.hard_examples == (kept,)


def test_half_of_the_pieces_come_from_scenes_and_a_third_from_events(task: Scenes) -> None:
    drawn = [task.mosaics._choose_picture(np.random.default_rng(seed))[0] for seed in range(400)]
    assert 0.4 < np.mean([name.startswith("scene") for name in drawn]) < 0.6
    assert 0.28 < np.mean([name.startswith("event") for name in drawn]) < 0.42


def test_an_untrained_network_scores_0(task: Scenes) -> None:
    with torch.inference_mode():
        scores = task.evaluate(Detector(width=8).eval())
    zero = ("recall_24", "recall_12_24", "ap_24", "ap_12_24", "false_positives_per_scene", "landmark_error")
    assert scores == {**dict.fromkeys(zero, 0.0), "hard_examples": 2.0}


def test_pictures_of_unknown_kinds_raise(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="portrait_, event_, scene_ or sheet_"):
        Mosaics([Scene("holiday_1.jpg", tmp_path / "holiday_1.jpg", labeled_faces([]))])


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    mosaics = Mosaics([Scene("scene_1.jpg", tmp_path / "scene_1.jpg", labeled_faces([]))])
    with pytest.raises(InputError, match=r"scene_1\.jpg"):
        mosaics.draw(np.random.default_rng(0), SIDE)


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the labelled pictures")
def test_shared_pictures_give_mosaics_with_faces_of_all_sizes() -> None:
    mosaics = Mosaics(read_scenes(SHARED, "train"))
    drawn = [mosaics.draw(np.random.default_rng(seed), 384)[1] for seed in range(32)]
    boxes = np.concatenate([faces.boxes_xyxy[faces.certain] for faces in drawn])
    sides = (boxes[:, 2:] - boxes[:, :2]).min(1)
    assert len(sides) > 40
    assert sides.min() < 12
    assert sides.max() > 120
    batch = Scenes(cpu(), SHARED).batch(np.random.default_rng(0))
    assert float((batch.target.score >= POSITIVE_SCORE).float().sum()) > 20

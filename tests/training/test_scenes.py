"""Detector data and matching: labels stay on their faces, cells find their boxes, batches can be drawn again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import InputError, TrainingError
from facesr_edge.networks.detector import CELLS, STRIDES, Detector, decode, grid
from facesr_edge.training.matching import (
    REACH,
    Truth,
    Verdict,
    assign,
    candidates,
    detection_loss,
    judge,
    overlap,
    recall_and_precision,
    suppress,
)
from facesr_edge.training.mosaics import Labelled, Mosaics, cropped, degraded, flipped, moved, recoloured
from facesr_edge.training.recipes.detector import cpu
from facesr_edge.training.scenes import Scenes, labelled
from torch import Tensor

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


def truth_of(*boxes: tuple[float, float, float, float], certain: tuple[bool, ...] | None = None) -> Truth:
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    marks = ((rows[:, :2] + rows[:, 2:]) / 2).repeat(1, 5)
    flags = torch.tensor(certain if certain is not None else [True] * len(rows), dtype=torch.bool)
    return Truth(torch.zeros(len(rows), dtype=torch.int64), rows, marks, flags)


def perfect_maps(truth: Truth, height: int, width: int) -> Tensor:
    """Maps in which every cell predicts the face of the truth whose centre is nearest."""
    cells = grid(height, width)
    centre = (truth.boxes_xyxy[:, :2] + truth.boxes_xyxy[:, 2:]) / 2
    near = torch.cdist((cells[:, :2] + 0.5) * cells[:, 2:], centre).argmin(1)
    stride, size = cells[:, 2:], truth.boxes_xyxy[near, 2:] - truth.boxes_xyxy[near, :2]
    maps = torch.zeros(1, len(cells), 15)
    maps[0, :, 1:3] = centre[near] / stride - cells[:, :2]
    maps[0, :, 3:5] = (size / stride).log()
    maps[0, :, 5:] = truth.landmarks[near] / stride - cells[:, :2].repeat(1, 5)
    return maps


@pytest.mark.parametrize("side", [5, 6, 8, 12, 20, 33, 48, 70, 100, 150, 200])
def test_cells_of_a_face_decode_to_its_box_and_are_of_a_fitting_stride(side: int) -> None:
    truth = truth_of((20.3, 17.8, 20.3 + side, 17.8 + side))
    maps, cells = perfect_maps(truth, 256, 256), grid(256, 256)
    owner, place = assign(maps, cells, truth, 256, 256)
    assert len(place) >= 1
    assert len(set(place.tolist())) == len(place)
    boxes, points = decode(maps[0, place], cells[place])
    torch.testing.assert_close(boxes, truth.boxes_xyxy[owner], atol=1e-2, rtol=0)
    torch.testing.assert_close(points, truth.landmarks[owner], atol=1e-2, rtol=0)
    least, most = (2**octaves * side / CELLS for octaves in (-REACH, REACH))
    fitting = {float(stride) for stride in STRIDES if least < stride < most} or {8.0 if side < 100 else 32.0}
    assert set(cells[place, 2].tolist()) <= fitting


def test_untrained_maps_still_give_every_face_a_cell() -> None:
    truth = truth_of((3, 3, 10, 10), (100, 60, 130, 90), (20, 100, 200, 250), (249, 249, 256, 256))
    owner, _ = assign(torch.zeros(1, len(grid(256, 256)), 15), grid(256, 256), truth, 256, 256)
    assert set(owner.tolist()) == {0, 1, 2, 3}


def test_touching_faces_share_no_cell() -> None:
    truth = truth_of((40, 40, 52, 52), (50, 40, 62, 52), (41, 41, 53, 53))
    _, place = assign(perfect_maps(truth, 128, 128), grid(128, 128), truth, 128, 128)
    assert len(set(place.tolist())) == len(place)


def test_candidates_outside_the_picture_are_never_fit() -> None:
    index, unfit = candidates(torch.tensor([[0.0, 0.0, 9.0, 9.0]]), 64, 64)
    assert int(index.min()) >= 0
    assert int(index.max()) < len(grid(64, 64))
    assert float(unfit.min()) < 1
    assert int((unfit < 1e6).sum()) <= 6


def test_loss_falls_as_predictions_come_right() -> None:
    truth = truth_of((40, 40, 72, 72))
    right = perfect_maps(truth, 128, 128)
    _, place = assign(right, grid(128, 128), truth, 128, 128)
    right[..., 0] = -9
    right[0, place, 0] = 9
    wrong = right + 0.7
    assert float(detection_loss(right, truth, 128, 128)) < 0.05 < float(detection_loss(wrong, truth, 128, 128))


def test_uncertain_faces_are_neither_faces_nor_background() -> None:
    maps = torch.full((1, len(grid(128, 128)), 15), 0.5, requires_grad=True)
    detection_loss(maps, truth_of((40, 40, 72, 72), certain=(False,)), 128, 128).backward()  # type: ignore[no-untyped-call]
    assert maps.grad is not None
    pushed = maps.grad[0, :, 0] != 0
    middle = (grid(128, 128)[:, :2] + 0.5) * grid(128, 128)[:, 2:]
    within = ((middle > 40) & (middle < 72)).all(1)
    assert not pushed[within].any()
    assert pushed[~within].float().mean() > 0.9


def test_batch_without_faces_has_a_finite_loss() -> None:
    loss = detection_loss(Detector(width=8)(torch.rand(2, 3, 64, 64)), truth_of(), 64, 64)
    loss.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(loss.item())


def test_overlap_of_known_boxes() -> None:
    a = torch.tensor([0.0, 0.0, 2.0, 2.0])
    others = torch.tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0], [4.0, 0.0, 6.0, 2.0]])
    assert overlap(a, others).tolist() == pytest.approx([1, 1 / 3, 0])
    assert overlap(a, others, generalised=True).tolist() == pytest.approx([1, 1 / 3, -1 / 3])


def test_suppress_keeps_the_best_of_each_face() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 30, 40, 40]])
    assert suppress(boxes, torch.tensor([0.5, 0.9, 0.7])).tolist() == [1, 2]


def test_judge_counts_hits_false_alarms_and_nothing_for_uncertain_faces() -> None:
    faces = torch.tensor([[0.0, 0, 20, 30], [50, 50, 80, 80]])
    boxes = torch.tensor([[0.0, 0, 20, 28], [50, 50, 80, 80], [100, 100, 110, 116], [1, 0, 21, 30]])
    verdicts = judge(boxes, torch.tensor([0.9, 0.8, 0.7, 0.6]), faces, torch.tensor([True, False]))
    assert [(v.side, v.hit) for v in verdicts] == [(20, True), (10, False)]
    nobody = torch.zeros(0, 4), torch.zeros(0, dtype=torch.bool)
    assert [v.hit for v in judge(boxes[:1], torch.ones(1), *nobody)] == [False]


def test_recall_is_read_where_precision_is_still_nine_tenths() -> None:
    hit, miss = Verdict(0.1, 30.0, True), Verdict(0.5, 30.0, False)
    ranked = [hit._replace(score=1 - i / 100) for i in range(9)] + [miss] * 3 + [hit]
    assert recall_and_precision(ranked, 20)[0] == pytest.approx(9 / 20)
    assert recall_and_precision([], 5) == (0.0, 0.0)
    assert recall_and_precision([hit], 1) == (1.0, 1.0)


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

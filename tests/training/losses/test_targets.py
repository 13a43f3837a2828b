"""Detector targets: teacher outputs corrected by labels; and the distillation loss."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from facesr_edge.calibration.data.detection import CERTAIN, LabeledFaces
from facesr_edge.networks.detector import Detector, grid
from facesr_edge.training.losses.targets import (
    POSITIVE_SCORE,
    Targets,
    box_iou,
    build_targets,
    distillation_loss,
    landmark_loss,
    stack_targets,
)
from numpy.typing import NDArray
from torch import Tensor

SIDE = 128
CELLS = grid(SIDE, SIDE)
BOX = (40.0, 40.0, 72.0, 72.0)
MARKS = [49.0, 52.0, 63.0, 52.0, 56.0, 60.0, 50.0, 66.0, 62.0, 66.0]


def faces(*boxes: tuple[float, ...], certain: bool = True) -> LabeledFaces:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return LabeledFaces(rows, np.tile(np.array(MARKS, np.float32), (len(rows), 1)), np.full(len(rows), certain))


def empty_maps() -> NDArray[np.float32]:
    """Teacher output without detections."""
    return np.zeros((len(CELLS), 15), np.float32)


def cell_of(stride: int, x: float, y: float) -> int:
    return int(((CELLS[:, 2] == stride) & (CELLS[:, :2] == torch.tensor([x // stride, y // stride])).all(1)).nonzero())


def with_face(maps: NDArray[np.float32], cell: int, score: float, box: tuple[float, ...]) -> NDArray[np.float32]:
    """Add a detection at one cell."""
    column, row, stride = CELLS[cell].tolist()
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    maps[cell, :5] = [
        score,
        x / stride - column,
        y / stride - row,
        math.log((box[2] - box[0]) / stride),
        math.log((box[3] - box[1]) / stride),
    ]
    return maps


def perfect_maps(target: Targets) -> Tensor:
    """(1, A, 15) network output that equals the targets."""
    corner, stride = CELLS[:, :2], CELLS[:, 2:]
    box = target.boxes_xyxy
    center, size = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]).clamp(min=1)
    points = target.landmarks / stride - torch.cat((corner,) * 5, 1)
    score = target.score.clamp(1e-4, 1 - 1e-4).logit()[:, None]
    return torch.cat((score, center / stride - corner, (size / stride).log(), points), 1)[None]


def test_a_teacher_detection_with_a_matching_label_keeps_its_score_and_gets_the_labels_box() -> None:
    cell = cell_of(8, 56, 56)
    target = build_targets(faces(BOX), SIDE, SIDE, with_face(empty_maps(), cell, 0.9, (41, 41, 73, 73)))
    assert float(target.score[cell]) == pytest.approx(0.9)
    assert target.boxes_xyxy[cell].tolist() == list(BOX)
    assert target.landmarks[cell].tolist() == MARKS
    assert int((target.score > 0).sum()) == 1


def test_low_teacher_scores_of_a_labeled_face_are_scaled_up() -> None:
    best, other = cell_of(8, 56, 56), cell_of(8, 48, 56)
    maps = with_face(with_face(empty_maps(), best, 0.35, BOX), other, 0.1, BOX)
    target = build_targets(faces(BOX), SIDE, SIDE, maps)
    assert float(target.score[best]) == pytest.approx(CERTAIN)
    assert float(target.score[other]) == pytest.approx(CERTAIN * 0.1 / 0.35)  # the ratio of the scores is kept


@pytest.mark.parametrize("teacher", [None, empty_maps()])
@pytest.mark.parametrize(("side", "stride"), [(6, 8), (30, 8), (62, 16), (110, 32)])
def test_a_face_that_the_teacher_misses_gets_the_cells_at_its_center(
    teacher: NDArray[np.float32] | None, side: float, stride: int
) -> None:
    box = (60 - side / 2, 60 - side / 2, 60 + side / 2, 60 + side / 2)
    target = build_targets(faces(box), SIDE, SIDE, teacher)
    positive = (target.score >= POSITIVE_SCORE).nonzero()[:, 0]
    assert 1 <= len(positive) <= 9
    assert set(CELLS[positive, 2].tolist()) == {stride}
    assert (target.boxes_xyxy[positive] == torch.tensor(box)).all()
    centers = (CELLS[positive, :2] + 0.5) * CELLS[positive, 2:]
    assert float((centers - 60).abs().max()) <= max(side / 4, stride)


def test_a_teacher_detection_without_a_label_is_not_positive() -> None:
    cell = cell_of(16, 100, 100)
    target = build_targets(faces(BOX), SIDE, SIDE, with_face(empty_maps(), cell, 0.95, (90, 90, 110, 110)))
    assert float(target.score[cell]) < POSITIVE_SCORE
    assert bool(target.mask[cell])


def test_an_uncertain_face_keeps_the_teachers_score_and_is_masked_without_a_teacher() -> None:
    cell = cell_of(8, 56, 56)
    uncertain = faces(BOX, certain=False)
    assert float(build_targets(uncertain, SIDE, SIDE, with_face(empty_maps(), cell, 0.5, BOX)).score[cell]) == 0.5
    without_teacher = build_targets(uncertain, SIDE, SIDE)
    assert not bool(without_teacher.mask[cell])
    assert bool(without_teacher.mask[cell_of(8, 100, 100)])


def test_the_loss_is_minimal_at_the_targets() -> None:
    target = build_targets(faces(BOX), SIDE, SIDE)
    batch = stack_targets([target])
    maps = perfect_maps(target)
    best = float(distillation_loss(maps, batch, SIDE, SIDE))
    assert best < 0.01
    for channel in range(15):
        wrong = maps.clone()
        wrong[..., channel] += 0.7
        assert float(distillation_loss(wrong, batch, SIDE, SIDE)) > best + 0.02, channel


def unmarked() -> LabeledFaces:
    """A face whose label has no landmarks."""
    labels = faces(BOX)
    labels.landmarks[:] = np.nan
    return labels


def test_labels_without_landmarks_train_scores_and_boxes_only() -> None:
    target = build_targets(unmarked(), SIDE, SIDE)
    known = build_targets(faces(BOX), SIDE, SIDE)
    maps = perfect_maps(known).requires_grad_()
    loss = distillation_loss(maps, stack_targets([target]), SIDE, SIDE)
    loss.backward()  # type: ignore[no-untyped-call]
    same = distillation_loss(maps, stack_targets([known]), SIDE, SIDE)
    assert loss.item() == pytest.approx(same.item(), abs=1e-5)
    assert maps.grad is not None and maps.grad.isfinite().all()
    assert maps.grad[..., 0].any() and not maps.grad[..., 5:].any()


def test_labels_without_landmarks_keep_those_of_the_teacher() -> None:
    cell = cell_of(8, 56, 56)
    maps = with_face(empty_maps(), cell, 0.9, BOX)
    maps[cell, 5:] = 0.25
    target = build_targets(unmarked(), SIDE, SIDE, maps)
    x, y = (CELLS[cell, :2] * 8 + 2).tolist()
    assert target.landmarks[cell].tolist() == pytest.approx([x, y] * 5) and target.boxes_xyxy[cell].tolist() == list(
        BOX
    )


def test_masked_cells_have_no_gradient() -> None:
    target = build_targets(faces(BOX, certain=False), SIDE, SIDE)
    maps = torch.zeros(1, len(CELLS), 15, requires_grad=True)
    distillation_loss(maps, stack_targets([target]), SIDE, SIDE).backward()  # type: ignore[no-untyped-call]
    assert maps.grad is not None
    assert not maps.grad[0][~target.mask].any()
    assert maps.grad[0, target.mask, 0].all()


def test_a_batch_without_faces_has_a_loss_and_gradients() -> None:
    network = Detector(width=8)
    batch = stack_targets([build_targets(faces(), 64, 64)] * 2)
    loss = distillation_loss(network(torch.rand(2, 3, 64, 64)), batch, 64, 64)
    loss.backward()
    assert math.isfinite(loss.item())
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


def test_the_network_learns_a_face() -> None:
    torch.manual_seed(0)
    network, picture = Detector(width=16), torch.full((1, 3, SIDE, SIDE), 0.2)
    picture[..., 40:72, 40:72] = 0.9
    batch = stack_targets([build_targets(faces(BOX), SIDE, SIDE)])
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = distillation_loss(network(picture), batch, SIDE, SIDE)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = network(picture)[0, :, 0].argmax()
    assert float(batch.score[0, best]) >= POSITIVE_SCORE


@pytest.mark.parametrize(
    ("other", "iou", "generalized"),
    [((0, 0, 4, 4), 1, 1), ((2, 0, 6, 4), 1 / 3, 1 / 3), ((4, 0, 8, 4), 0, 0), ((8, 0, 12, 4), 0, -1 / 3)],
)
def test_box_iou_is_intersection_over_union(other: tuple[float, ...], iou: float, generalized: float) -> None:
    a, b = torch.tensor([0.0, 0, 4, 4]), torch.tensor([float(v) for v in other])
    assert float(box_iou(a, b)) == pytest.approx(iou)
    assert float(box_iou(a, b, generalized=True)) == pytest.approx(generalized)


def test_the_landmark_loss_is_the_distance_in_distances_between_the_eyes() -> None:
    target = stack_targets([build_targets(faces(BOX), SIDE, SIDE)])
    maps = perfect_maps(build_targets(faces(BOX), SIDE, SIDE))
    assert float(landmark_loss(maps, target, SIDE, SIDE)) == pytest.approx(0, abs=1e-5)
    eyes = MARKS[2] - MARKS[0]
    maps[..., 5::2] += 3.5 / CELLS[:, 2:]
    assert float(landmark_loss(maps, target, SIDE, SIDE)) == pytest.approx(3.5 / eyes, rel=1e-4)


def test_the_landmark_loss_ignores_small_faces_and_unknown_landmarks() -> None:
    small, unknown = faces((40, 40, 50, 50)), faces(BOX)
    unknown.landmarks[:, 4] = np.nan
    for labels in (small, unknown):
        target = stack_targets([build_targets(labels, SIDE, SIDE)])
        assert float(landmark_loss(torch.ones(1, len(CELLS), 15), target, SIDE, SIDE)) == 0


def test_profiles_do_not_dominate_the_landmark_loss() -> None:
    profile = faces(BOX)
    profile.landmarks[:] = 56.0
    target = stack_targets([build_targets(profile, SIDE, SIDE)])
    maps = perfect_maps(build_targets(profile, SIDE, SIDE))
    maps[..., 5::2] += 4 / CELLS[:, 2:]
    assert float(landmark_loss(maps, target, SIDE, SIDE)) == pytest.approx(4 / (0.25 * 32), rel=1e-4)

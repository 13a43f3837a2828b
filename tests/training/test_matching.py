"""Which cell answers for which face, what that costs, and how detections are judged."""

from __future__ import annotations

import math

import pytest
import torch
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
from torch import Tensor


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

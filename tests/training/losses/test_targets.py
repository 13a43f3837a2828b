"""What cells should say: the teacher's word, corrected by the labels; and the loss that asks for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from facesr_edge.calibration.data.detection import CERTAIN, LabelledFaces
from facesr_edge.networks.detector import Detector, grid
from facesr_edge.training.losses.targets import POSITIVE_SCORE, Targets, distillation_loss, overlap, stacked, targets
from numpy.typing import NDArray
from torch import Tensor

SIDE = 128
CELLS = grid(SIDE, SIDE)
BOX = (40.0, 40.0, 72.0, 72.0)
MARKS = [49.0, 52.0, 63.0, 52.0, 56.0, 60.0, 50.0, 66.0, 62.0, 66.0]


def faces(*boxes: tuple[float, ...], certain: bool = True) -> LabelledFaces:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    return LabelledFaces(rows, np.tile(np.array(MARKS, np.float32), (len(rows), 1)), np.full(len(rows), certain))


def silent() -> NDArray[np.float32]:
    """A teacher that sees nothing."""
    return np.zeros((len(CELLS), 15), np.float32)


def cell_of(stride: int, x: float, y: float) -> int:
    return int(((CELLS[:, 2] == stride) & (CELLS[:, :2] == torch.tensor([x // stride, y // stride])).all(1)).nonzero())


def told(maps: NDArray[np.float32], cell: int, score: float, box: tuple[float, ...]) -> NDArray[np.float32]:
    """The same maps, with a face told by one cell."""
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


def rows_that_say(target: Targets) -> Tensor:
    """(1, A, 15) the maps of a network that does exactly as it should."""
    corner, stride = CELLS[:, :2], CELLS[:, 2:]
    box = target.boxes_xyxy
    centre, size = (box[:, :2] + box[:, 2:]) / 2, (box[:, 2:] - box[:, :2]).clamp(min=1)
    points = target.landmarks / stride - torch.cat((corner,) * 5, 1)
    score = target.score.clamp(1e-4, 1 - 1e-4).logit()[:, None]
    return torch.cat((score, centre / stride - corner, (size / stride).log(), points), 1)[None]


def test_a_teachers_claim_that_a_label_bears_out_is_kept_with_the_labels_box() -> None:
    cell = cell_of(8, 56, 56)
    target = targets(faces(BOX), SIDE, SIDE, told(silent(), cell, 0.9, (41, 41, 73, 73)))
    assert float(target.score[cell]) == pytest.approx(0.9)
    assert target.boxes_xyxy[cell].tolist() == list(BOX)
    assert target.landmarks[cell].tolist() == MARKS
    assert int((target.score > 0).sum()) == 1


def test_a_face_seen_faintly_is_told_as_firmly_as_its_label_is_certain() -> None:
    best, other = cell_of(8, 56, 56), cell_of(8, 48, 56)
    maps = told(told(silent(), best, 0.35, BOX), other, 0.1, BOX)
    target = targets(faces(BOX), SIDE, SIDE, maps)
    assert float(target.score[best]) == pytest.approx(CERTAIN)
    assert float(target.score[other]) == pytest.approx(CERTAIN * 0.1 / 0.35)  # the shape of the map stays


@pytest.mark.parametrize("teacher", [None, silent()])
@pytest.mark.parametrize(("side", "stride"), [(6, 8), (30, 8), (62, 16), (110, 32)])
def test_a_face_that_no_teacher_sees_is_told_by_the_cells_at_its_centre(
    teacher: NDArray[np.float32] | None, side: float, stride: int
) -> None:
    box = (60 - side / 2, 60 - side / 2, 60 + side / 2, 60 + side / 2)
    target = targets(faces(box), SIDE, SIDE, teacher)
    telling = (target.score >= POSITIVE_SCORE).nonzero()[:, 0]
    assert 1 <= len(telling) <= 9
    assert set(CELLS[telling, 2].tolist()) == {stride}
    assert (target.boxes_xyxy[telling] == torch.tensor(box)).all()
    middle = (CELLS[telling, :2] + 0.5) * CELLS[telling, 2:]
    assert float((middle - 60).abs().max()) <= max(side / 4, stride)


def test_a_claim_without_a_label_is_no_claim() -> None:
    cell = cell_of(16, 100, 100)
    target = targets(faces(BOX), SIDE, SIDE, told(silent(), cell, 0.95, (90, 90, 110, 110)))
    assert float(target.score[cell]) < POSITIVE_SCORE
    assert bool(target.asked[cell])


def test_an_uncertain_face_is_what_the_teacher_says_and_without_a_teacher_not_asked_about() -> None:
    cell = cell_of(8, 56, 56)
    doubtful = faces(BOX, certain=False)
    assert float(targets(doubtful, SIDE, SIDE, told(silent(), cell, 0.5, BOX)).score[cell]) == 0.5
    alone = targets(doubtful, SIDE, SIDE)
    assert not bool(alone.asked[cell])
    assert bool(alone.asked[cell_of(8, 100, 100)])


def test_the_loss_is_least_where_the_network_does_as_it_should() -> None:
    target = targets(faces(BOX), SIDE, SIDE)
    batch = stacked([target])
    right = rows_that_say(target)
    best = float(distillation_loss(right, batch, SIDE, SIDE))
    assert best < 0.01
    for channel in range(15):
        wrong = right.clone()
        wrong[..., channel] += 0.7
        assert float(distillation_loss(wrong, batch, SIDE, SIDE)) > best + 0.02, channel


def test_cells_that_are_not_asked_learn_nothing() -> None:
    target = targets(faces(BOX, certain=False), SIDE, SIDE)
    maps = torch.zeros(1, len(CELLS), 15, requires_grad=True)
    distillation_loss(maps, stacked([target]), SIDE, SIDE).backward()  # type: ignore[no-untyped-call]
    assert maps.grad is not None
    assert not maps.grad[0][~target.asked].any()
    assert maps.grad[0, target.asked, 0].all()


def test_a_batch_without_faces_has_a_loss_and_gradients() -> None:
    network = Detector(width=8)
    loss = distillation_loss(network(torch.rand(2, 3, 64, 64)), stacked([targets(faces(), 64, 64)] * 2), 64, 64)
    loss.backward()
    assert math.isfinite(loss.item())
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


def test_a_few_steps_teach_a_face() -> None:
    torch.manual_seed(0)
    network, picture = Detector(width=16), torch.full((1, 3, SIDE, SIDE), 0.2)
    picture[..., 40:72, 40:72] = 0.9
    batch = stacked([targets(faces(BOX), SIDE, SIDE)])
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = distillation_loss(network(picture), batch, SIDE, SIDE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    told_by = network(picture)[0, :, 0].argmax()
    assert float(batch.score[0, told_by]) >= POSITIVE_SCORE


@pytest.mark.parametrize(
    ("other", "iou", "generalised"),
    [((0, 0, 4, 4), 1, 1), ((2, 0, 6, 4), 1 / 3, 1 / 3), ((4, 0, 8, 4), 0, 0), ((8, 0, 12, 4), 0, -1 / 3)],
)
def test_overlap_is_intersection_over_union(other: tuple[float, ...], iou: float, generalised: float) -> None:
    a, b = torch.tensor([0.0, 0, 4, 4]), torch.tensor([float(v) for v in other])
    assert float(overlap(a, b)) == pytest.approx(iou)
    assert float(overlap(a, b, generalised=True)) == pytest.approx(generalised)

"""What every cell of a detector should say of a picture: its labels and, where there is one, a teacher's maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...calibration.data.detection import CERTAIN, LabelledFaces
from ...networks.detector import CELLS, decode, grid

POSITIVE_SCORE = 0.3
"""From this score on a cell claims a face: boxes and landmarks are learnt there, and labels must bear it out."""
MIN_TEACHER_SCORE = 0.05
"""A teacher that gives a labelled face no cell above this does not see it: the cells at its centre take it then."""
FOCAL_GAMMA = 1.5
"""Power of the difference that weights a cell's score. Squared, cells at 0.2 where nothing is hardly mattered, and
ranked among the faintest faces."""


@dataclass(frozen=True)
class Targets:
    """For one picture, or stacked along a first axis for a batch of them.

    Args:
        score: (A,) float32, 0..1.
        asked: (A,) bool; the other cells may say what they like.
        boxes_xyxy: (A, 4) float32, pixels; means something where the score is at least `POSITIVE_SCORE`.
        landmarks: (A, 10) float32, x, y of five points, pixels; likewise.
    """

    score: Tensor
    asked: Tensor
    boxes_xyxy: Tensor
    landmarks: Tensor


def targets(faces: LabelledFaces, height: int, width: int, maps: NDArray[np.float32] | None = None) -> Targets:
    """What the cells should say of a picture.

    Args:
        faces: its labels.
        height: of the picture in pixels, a multiple of 32.
        width: likewise.
        maps: (A, 15) a teacher's, first channel 0..1, the others as the network's.

    A teacher's maps are imitated as they are, but for what the labels know better: a face that the teacher sees too
    faintly is told as firmly as `CERTAIN`, with the label's box and landmarks, and a face where there is no label is
    told less firmly than `POSITIVE_SCORE`.
    """
    cells = grid(height, width)
    known = torch.zeros(len(cells), 15) if maps is None else torch.from_numpy(maps)
    boxes, points = decode(known, cells)
    score, asked = known[:, 0].clone(), torch.ones(len(cells), dtype=torch.bool)
    labels, certain = torch.from_numpy(faces.boxes_xyxy), torch.from_numpy(faces.certain)
    ious = overlap(boxes[:, None], labels) if maps is not None else torch.zeros(len(cells), len(labels))
    iou, nearest = ious.max(1) if len(labels) else (torch.zeros(len(cells)), torch.zeros(len(cells), dtype=torch.long))
    score = torch.where(iou >= 0.3, score, score.clamp(max=POSITIVE_SCORE - 0.01))
    if maps is None:
        asked &= ~_within(labels[~certain], cells).any(1)
    for i in certain.nonzero()[:, 0].tolist():
        mine = (nearest == i) & (iou >= 0.5) & (score > MIN_TEACHER_SCORE)
        if mine.any():
            score[mine] *= max(1.0, CERTAIN / float(score[mine].max()))
        else:
            mine = _central(labels[i], cells)
            score[mine] = CERTAIN
        boxes[mine], points[mine] = labels[i], torch.from_numpy(faces.landmarks[i])
    return Targets(score.clamp(max=1), asked, boxes, points)


def stacked(parts: list[Targets]) -> Targets:
    """The targets of a batch."""
    return Targets(*(torch.stack([vars(part)[name] for part in parts]) for name in vars(parts[0])))


def _within(boxes: Tensor, cells: Tensor) -> Tensor:
    """(A, n) bool: the cell's middle lies in the box, or within one cell of its centre."""
    middle = ((cells[:, :2] + 0.5) * cells[:, 2:])[:, None]
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return ((middle - centre).abs() <= torch.maximum(half, cells[:, None, 2:])).all(-1)


def _central(box: Tensor, cells: Tensor) -> Tensor:
    """(A,) bool: the cells round the centre of a face, at the stride that suits its size; one at least."""
    side = float((box[2:] - box[:2]).prod().sqrt())
    strides = cells[:, 2]
    unfit = (side / (CELLS * strides)).log2().abs()
    away = ((cells[:, :2] + 0.5) * cells[:, 2:] - (box[:2] + box[2:]) / 2).abs().amax(1)  # (A,)
    fit = unfit == unfit.min()
    return fit & ((away <= side / 4) | (away == away[fit].min()))


def distillation_loss(maps: Tensor, target: Targets, height: int, width: int) -> Tensor:
    """How far a network's maps are from what they should be.

    Args:
        maps: (N, A, 15), the first channel a logit.
        target: of the batch.
        height: of the pictures in pixels.
        width: likewise.

    Scores: cross entropy with the target as a probability, weighted with a power of the difference of both, so that the
    many easy cells of the background do not drown the few that look like faces. Boxes: generalised IoU. Landmarks:
    smooth L1 in sides of the face. Each is a mean over the cells that claim a face, weighted with their score.

    Source: X. Li et al., "Generalized focal loss", 2020, equation 6 (its weight is not differentiated here).
    """
    logit, score = maps[..., 0], target.score
    claimed = target.asked & (score >= POSITIVE_SCORE)
    weight = score[claimed]
    number = weight.sum().clamp(min=1)
    error = (logit.detach().sigmoid() - score).abs() ** FOCAL_GAMMA * target.asked
    told = F.binary_cross_entropy_with_logits(logit, score, error, reduction="sum")
    boxes, points = decode(maps[claimed], grid(height, width).expand(len(maps), -1, -1)[claimed])
    wanted = target.boxes_xyxy[claimed]
    box = (weight * (1 - overlap(boxes, wanted, generalised=True))).sum()
    side = (wanted[:, 2:] - wanted[:, :2]).clamp(min=1).prod(1).sqrt()[:, None]
    away = F.smooth_l1_loss(points / side, target.landmarks[claimed] / side, reduction="none", beta=0.01).mean(1)
    return 2 * (2 * told + box + 10 * (weight * away).sum()) / number


def overlap(a: Tensor, b: Tensor, generalised: bool = False) -> Tensor:
    """IoU (or generalised IoU) of boxes (..., 4) x1, y1, x2, y2, element by element, broadcasting: (...)."""
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    iou = inter / union.clamp(min=1e-6)
    if not generalised:
        return iou
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1).clamp(min=1e-6)
    return iou - (hull - union) / hull

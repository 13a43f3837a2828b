"""Detector targets from labels and a teacher's output maps, and the losses of scores, boxes and landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ...calibration.data.detection import CERTAIN, LabeledFaces
from ...networks.detector import CELLS, decode, grid

POSITIVE_SCORE = 0.3
"""Cells with at least this target score are positive: boxes and landmarks are trained there, and a label must match."""
MIN_TEACHER_SCORE = 0.05
"""A teacher without a cell above this score for a labeled face misses it; the cells at its center become positive."""
LANDMARK_WEIGHT = 1.0
"""Weight of landmarks in `distillation_loss`. With 10, their gradient in the features was 1.5 times that of the scores;
they are trained afterwards on the features of the scores, see `landmark_loss`."""
MIN_LANDMARK_SIDE = 12
"""Side in pixels of the smallest face whose landmarks are trained on their own; those of smaller ones are guesses."""
MIN_EYE_DISTANCE = 0.25
"""Lower limit of the distance between the eyes in sides of the face: in a profile they nearly coincide."""
FOCAL_GAMMA = 1.5
"""Exponent of the focal weight of the score loss. With 2, cells that scored 0.2 on background had almost no loss, and
ranked among the weakest faces."""


@dataclass(frozen=True)
class Targets:
    """Targets of one picture, or stacked along a first axis for a batch.

    Args:
        score: (A,) float32, 0..1.
        mask: (A,) bool; the score of other cells is not trained.
        boxes_xyxy: (A, 4) float32, pixels; valid where the score is at least `POSITIVE_SCORE`.
        landmarks: (A, 10) float32, x, y of five points, pixels; valid where the boxes are, NaN if unknown.
    """

    score: Tensor
    mask: Tensor
    boxes_xyxy: Tensor
    landmarks: Tensor


def build_targets(
    faces: LabeledFaces, height: int, width: int, teacher_maps: NDArray[np.float32] | None = None
) -> Targets:
    """Targets of all cells of a picture.

    The teacher's maps are the targets, corrected by the labels: cells of a labeled face that the teacher scores too low
    are scaled up to `CERTAIN` and get the box and landmarks of the label, and scores without a matching label are
    limited to below `POSITIVE_SCORE`. Where a label has no landmarks, those of the teacher remain.

    Args:
        height, width: of the picture in pixels, multiples of 32.
        teacher_maps: (A, 15) output of the teacher, first channel 0..1, the others as those of the network.
    """
    cells = grid(height, width)
    maps = torch.zeros(len(cells), 15) if teacher_maps is None else torch.from_numpy(teacher_maps)
    boxes, points = decode(maps, cells)
    score, mask = maps[:, 0].clone(), torch.ones(len(cells), dtype=torch.bool)
    labels, certain = torch.from_numpy(faces.boxes_xyxy), torch.from_numpy(faces.certain)
    ious = box_iou(boxes[:, None], labels) if teacher_maps is not None else torch.zeros(len(cells), len(labels))
    iou, nearest = ious.max(1) if len(labels) else (torch.zeros(len(cells)), torch.zeros(len(cells), dtype=torch.long))
    score = torch.where(iou >= 0.3, score, score.clamp(max=POSITIVE_SCORE - 0.01))
    if teacher_maps is None:
        mask &= ~_cells_in_boxes(labels[~certain], cells).any(1)
    for i in certain.nonzero()[:, 0].tolist():
        positive = (nearest == i) & (iou >= 0.5) & (score > MIN_TEACHER_SCORE)
        detected = bool(positive.any())
        if detected:
            score[positive] *= max(1.0, CERTAIN / float(score[positive].max()))
        else:
            positive = _center_cells(labels[i], cells)
            score[positive] = CERTAIN
        boxes[positive] = labels[i]
        landmarks = torch.from_numpy(faces.landmarks[i])
        if not detected or landmarks.isfinite().all():
            points[positive] = landmarks
    return Targets(score.clamp(max=1), mask, boxes, points)


def stack_targets(parts: list[Targets]) -> Targets:
    """Targets of a batch."""
    return Targets(*(torch.stack([vars(part)[name] for part in parts]) for name in vars(parts[0])))


def _cells_in_boxes(boxes: Tensor, cells: Tensor) -> Tensor:
    """(A, n) bool: the center of the cell lies in the box, or within one cell of its center."""
    cell_center = ((cells[:, :2] + 0.5) * cells[:, 2:])[:, None]
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    return ((cell_center - center).abs() <= torch.maximum(half, cells[:, None, 2:])).all(-1)


def _center_cells(box: Tensor, cells: Tensor) -> Tensor:
    """(A,) bool: at least one cell around the center of a face, at the stride for its size."""
    side = float((box[2:] - box[:2]).prod().sqrt())
    strides = cells[:, 2]
    mismatch = (side / (CELLS * strides)).log2().abs()
    distance = ((cells[:, :2] + 0.5) * cells[:, 2:] - (box[:2] + box[2:]) / 2).abs().amax(1)  # (A,)
    matching = mismatch == mismatch.min()
    return matching & ((distance <= side / 4) | (distance == distance[matching].min()))


def distillation_loss(maps: Tensor, target: Targets, height: int, width: int) -> Tensor:
    """Loss of the detector's output maps against the targets.

    Scores: cross entropy with the target as a probability, weighted by a power of their difference, so that the many
    easy background cells do not dominate. Boxes: generalized IoU. Landmarks: smooth L1 relative to the side of the
    face. Box and landmark losses are means over the positive cells, weighted by their score.

    Args:
        maps: (N, A, 15), the first channel a logit.
        height, width: of the pictures in pixels.

    Source: X. Li et al., "Generalized focal loss", 2020, equation 6 (its weight is not differentiated here).
    """
    logit, score = maps[..., 0], target.score
    positive = target.mask & (score >= POSITIVE_SCORE)
    weight = score[positive]
    total_weight = weight.sum().clamp(min=1)
    focal_weight = (logit.detach().sigmoid() - score).abs() ** FOCAL_GAMMA * target.mask
    score_loss = F.binary_cross_entropy_with_logits(logit, score, focal_weight, reduction="sum")
    boxes, points = decode(maps[positive], grid(height, width).expand(len(maps), -1, -1)[positive])
    target_boxes = target.boxes_xyxy[positive]
    box_loss = (weight * (1 - box_iou(boxes, target_boxes, generalized=True))).sum()
    side = (target_boxes[:, 2:] - target_boxes[:, :2]).clamp(min=1).prod(1).sqrt()[:, None]
    true = target.landmarks[positive]
    true = torch.where(true.isfinite().all(1, keepdim=True), true, points.detach())  # no loss of unknown landmarks
    point_loss = F.smooth_l1_loss(points / side, true / side, reduction="none", beta=0.01).mean(1)
    return 2 * (2 * score_loss + box_loss + LANDMARK_WEIGHT * (weight * point_loss).sum()) / total_weight


def landmark_loss(maps: Tensor, target: Targets, height: int, width: int) -> Tensor:
    """Mean distance of the landmarks to those of the targets, in distances between the eyes.

    A mean over the positive cells of faces of at least `MIN_LANDMARK_SIDE`, weighted by their score.

    Args:
        maps, height, width: as for `distillation_loss`.
    """
    boxes = target.boxes_xyxy
    sides = (boxes[..., 2:] - boxes[..., :2]).amin(-1)
    known = target.landmarks.isfinite().all(-1) & (sides >= MIN_LANDMARK_SIDE)
    positive = target.mask & (target.score >= POSITIVE_SCORE) & known
    _, points = decode(maps[positive], grid(height, width).expand(len(maps), -1, -1)[positive])
    true, weight = target.landmarks[positive].reshape(-1, 5, 2), target.score[positive]
    eyes = (true[:, 0] - true[:, 1]).norm(dim=-1).maximum(MIN_EYE_DISTANCE * sides[positive])
    errors: Tensor = (points.reshape(-1, 5, 2) - true).norm(dim=-1).mean(-1) / eyes
    return (weight * errors).sum() / weight.sum().clamp(min=1)


def box_iou(a: Tensor, b: Tensor, generalized: bool = False) -> Tensor:
    """IoU (or generalized IoU) of boxes (..., 4) x1, y1, x2, y2, element by element with broadcasting: (...)."""
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    iou = inter / union.clamp(min=1e-6)
    if not generalized:
        return iou
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1).clamp(min=1e-6)
    return iou - (hull - union) / hull

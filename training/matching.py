"""Which cell answers for which face: assignment and loss while training, hits and false alarms when judging."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..networks.detector import CELLS, STRIDES, decode, grid

NEVER = 1e6
"""Cost of a cell that must not be assigned."""
REACH = 1.5
"""Octaves between a face's side and that of `CELLS` cells beyond which a stride leaves it to its neighbour."""


@dataclass(frozen=True)
class Truth:
    """The faces of a batch, all pictures' end to end.

    Args:
        picture: (G,) int64, which picture each face is in.
        boxes_xyxy: (G, 4) float32, pixels.
        landmarks: (G, 10) float32, x, y of five points, pixels.
        certain: (G,) bool; the others are neither face nor background.
    """

    picture: Tensor
    boxes_xyxy: Tensor
    landmarks: Tensor
    certain: Tensor


def overlap(a: Tensor, b: Tensor, generalised: bool = False) -> Tensor:
    """IoU (or generalised IoU) of boxes (..., 4) x1, y1, x2, y2, element by element, broadcasting: (...)."""
    inter = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - inter
    iou = inter / union.clamp(min=1e-6)
    if not generalised:
        return iou
    hull = (torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])).prod(-1).clamp(min=1e-6)
    return iou - (hull - union) / hull


def candidates(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The 3×3 cells round each face's centre at each stride.

    Args:
        boxes: (G, 4) x1, y1, x2, y2 in pixels.
        height: of the network's input, pixels.
        width: of the network's input, pixels.

    Returns:
        (G, 27) indices into the network's output, and (G, 27) how unfit each is by geometry alone: 0 for a cell of a
        stride that suits the face's size, more with every octave away, `NEVER` beyond `REACH` of them and outside the
        face or the picture. Faces beyond the last stride on either side belong to it.
    """
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    side = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
    ring = torch.tensor([(dx, dy) for dy in (0, -1, 1) for dx in (0, -1, 1)])
    indices, unfit, before = [], [], 0
    for stride in STRIDES:
        columns, rows = width // stride, height // stride
        cell = (centre / stride).floor().long()[:, None] + ring  # (G, 9, 2)
        limit = torch.tensor([columns, rows])
        legal = ((cell >= 0) & (cell < limit)).all(-1)
        middle = (cell + 0.5) * stride
        inside = ((middle > boxes[:, None, :2]) & (middle < boxes[:, None, 2:])).all(-1)
        inside[:, 0] = True  # the cell that holds the centre always may, or faces smaller than a cell had none
        octaves = (side / (CELLS * stride)).log2()
        octaves = octaves.clamp(min=0) if stride == STRIDES[0] else octaves
        octaves = octaves.clamp(max=0) if stride == STRIDES[-1] else octaves
        octaves = octaves.abs()[:, None].expand(-1, 9)
        fit = legal & inside & (octaves < REACH)
        unfit.append(torch.where(fit, 2 * (octaves - 0.5).clamp(min=0), NEVER))
        cell = torch.minimum(cell.clamp(min=0), limit - 1)
        indices.append(before + cell[..., 1] * columns + cell[..., 0])
        before += columns * rows
    return torch.cat(indices, 1), torch.cat(unfit, 1)


def assign(maps: Tensor, cells: Tensor, truth: Truth, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Give each certain face the cells that predict it best; as many as overlap it well, at least one.

    Args:
        maps: (N, A, 15) output of the network.
        cells: (A, 3) of `grid`.
        truth: faces of the batch.
        height: of the network's input, pixels.
        width: of the network's input, pixels.

    Returns:
        (P,) indices of faces and (P,) indices into ``maps.flatten(0, 1)``; no cell occurs twice.

    Source: simplified optimal transport assignment, "YOLOX: exceeding YOLO series in 2021", section 2.1.
    """
    face = truth.certain.nonzero()[:, 0]
    boxes = truth.boxes_xyxy[face]
    index, unfit = candidates(boxes, height, width)
    place = truth.picture[face][:, None] * maps.shape[1] + index  # (G, 27) into flattened maps
    rows = maps.detach().flatten(0, 1)[place]
    iou = overlap(decode(rows, cells[index])[0], boxes[:, None])
    iou = torch.where(unfit < NEVER, iou, 0.0)
    cost = unfit + F.softplus(-rows[..., 0]) - 3 * iou.clamp(min=1e-4).log()
    count = iou.topk(9, 1).values.sum(1).long().clamp(min=1)
    chosen = (cost.argsort(1).argsort(1) < count[:, None]) & (unfit < NEVER)
    # a cell wanted by two faces goes to the one it fits better
    best = torch.full((maps.shape[0] * maps.shape[1],), torch.inf)
    best.scatter_reduce_(0, place[chosen], cost[chosen], "amin")
    chosen &= cost <= best[place]
    return face[:, None].expand_as(chosen)[chosen], place[chosen]


def detection_loss(maps: Tensor, truth: Truth, height: int, width: int) -> Tensor:
    """Score, box and landmark loss of a batch, each a mean over assigned cells.

    The score learns the square root of its box's IoU, so that the better of two boxes of a face ranks first; background
    cells weigh with the square of their score, so that the many easy ones do not drown the few that look like faces.
    """
    cells = grid(height, width)
    face, place = assign(maps, cells, truth, height, width)
    flat = maps.flatten(0, 1)
    number = max(1, len(place))
    boxes, points = decode(flat[place], cells[place % len(cells)])
    wanted = truth.boxes_xyxy[face]
    box = (1 - overlap(boxes, wanted, generalised=True)).sum() / number
    side = (wanted[:, 2:] - wanted[:, :2]).prod(1).sqrt()[:, None]
    landmark = F.smooth_l1_loss(points / side, truth.landmarks[face] / side, reduction="sum", beta=0.05) / (10 * number)

    logit = flat[:, 0]
    probability = logit.detach().sigmoid()
    target = torch.zeros_like(logit)
    weight = 0.75 * probability**2 * ~_uncertain(truth, cells, len(maps)).flatten()
    target[place] = overlap(boxes, wanted).detach().clamp(0, 1).sqrt()
    weight[place] = 1.0
    score = F.binary_cross_entropy_with_logits(logit, target, weight, reduction="sum") / number
    return score + 2 * box + 5 * landmark


def _uncertain(truth: Truth, cells: Tensor, pictures: int) -> Tensor:
    """(N, A) bool: cells within an uncertain face, or within one cell of its centre."""
    boxes, picture = truth.boxes_xyxy[~truth.certain], truth.picture[~truth.certain]
    middle = (cells[:, :2] + 0.5) * cells[:, 2:]  # (A, 2)
    centre, half = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2, (boxes[:, None, 2:] - boxes[:, None, :2]) / 2
    within = ((middle - centre).abs() <= torch.maximum(half, cells[:, 2:])).all(-1)  # (I, A)
    return torch.zeros(pictures, len(cells)).index_add_(0, picture, within.float()) > 0


def suppress(boxes: Tensor, scores: Tensor, limit: float = 0.45) -> Tensor:
    """Indices of boxes that overlap no better one by more than the limit, best first."""
    order = scores.argsort(descending=True)
    close = overlap(boxes[order][:, None], boxes[order]).gt(limit).numpy()
    kept: list[int] = []
    for i in range(len(order)):
        if not close[i, kept].any():
            kept.append(i)
    return order[kept]


class Verdict(NamedTuple):
    """On one detection: its score, the shorter side (of the face it hits, or its own) in pixels, whether it hit."""

    score: float
    side: float
    hit: bool


def judge(boxes: Tensor, scores: Tensor, faces: Tensor, certain: Tensor) -> list[Verdict]:
    """Hits and false alarms of one picture.

    Args:
        boxes: (D, 4) detections, x1, y1, x2, y2, best first.
        scores: (D,) theirs.
        faces: (G, 4) labelled faces.
        certain: (G,) bool; detections of the others count neither way.

    Returns:
        Hits (IoU from 0.5) and false alarms (below 0.3); second detections of a face are neither.
    """
    ious = overlap(boxes[:, None], faces) if len(faces) else torch.zeros(len(boxes), 1)
    closest, nearest = (part.tolist() for part in ious.max(1))
    own_sides, sides = ((rows[:, 2:] - rows[:, :2]).amin(1).tolist() for rows in (boxes, faces))
    free, counts = [True] * max(1, len(faces)), certain.tolist()
    verdicts = []
    for score, iou, j, side in zip(scores.tolist(), closest, nearest, own_sides, strict=True):
        if iou >= 0.5 and free[j]:
            free[j] = False
            if counts[j]:
                verdicts.append(Verdict(score, sides[j], True))
        elif iou < 0.3:
            verdicts.append(Verdict(score, side, False))
    return verdicts


def recall_and_precision(verdicts: list[Verdict], total: int) -> tuple[float, float]:
    """Recall at 90 % precision, and average precision, of hits among ``total`` faces."""
    hit: NDArray[np.bool_] = np.array([verdict.hit for verdict in sorted(verdicts, reverse=True)], bool)
    if not total or not hit.any():
        return 0.0, 0.0
    hits = np.cumsum(hit)
    precision = hits / np.arange(1, len(hit) + 1)
    good = np.flatnonzero(precision >= 0.9)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(hits[good[-1]] / total) if len(good) else 0.0, float(envelope[hit].sum() / total)

"""Portraits and scenes with labelled faces: the data of every detector recipe, and how a detector is judged on them."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..networks.detector import STRIDES, decode, grid
from .faces import tensor_from_bgr
from .loop import Recipe
from .matching import Truth, Verdict, detection_loss, judge, recall_and_precision, suppress
from .mosaics import Labelled, Mosaics, Picture, joined, read_picture

CERTAIN = 0.7
"""Labels below this score are left out of the loss and of the evaluation: neither face nor background."""
ABSENT = 0.3
"""Labels below this score are no faces."""


@dataclass(frozen=True)
class Batch:
    """Pictures (N, 3, H, W), RGB in [0, 1], channels last in memory, and their faces."""

    pictures: Tensor
    truth: Truth


class Scenes:
    """Mosaics of a folder of labelled pictures: a `Task`.

    Args:
        recipe: crop and batch are read from it.
        folder: ``labels.json`` (name -> split "train" or "test", and faces with box x, y, w, h, ten landmark numbers
            and score) and ``images/``.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        labels = json.loads((folder / "labels.json").read_text())
        self.recipe, self.images = recipe, folder / "images"
        self.held_out = {n: labelled(v["faces"]) for n, v in sorted(labels.items()) if v["split"] == "test"}
        train = {name: labelled(v["faces"]) for name, v in labels.items() if v["split"] == "train"}
        self.mosaics = Mosaics(self.images, train, recipe.crop)

    def batch(self, rng: np.random.Generator) -> Batch:
        """Mosaics of crop × crop pixels and the faces in them."""
        drawn = [self.mosaics.draw(rng) for _ in range(self.recipe.batch)]
        faces = [labelled for _, labelled in drawn]
        picture = np.repeat(np.arange(len(faces)), [len(labelled.certain) for labelled in faces])
        whole = joined(faces)
        arrays = (torch.from_numpy(getattr(whole, field.name)) for field in fields(whole))
        pictures = np.stack([cv2.cvtColor(mosaic, cv2.COLOR_BGR2RGB) for mosaic, _ in drawn])
        rgb = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255)
        return Batch(rgb, Truth(torch.from_numpy(picture), *arrays))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Detection loss of the network's maps of a batch."""
        height, width = batch.pictures.shape[2:]
        return detection_loss(network(batch.pictures).float(), batch.truth, height, width)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Judge on the held-out pictures.

        Returns:
            Recall at 90 % precision and average precision of faces from 24 pixels and of 12 to 24 (these also of the
            pictures at a quarter of their size, which gives portraits such faces), and false alarms at a score of 0.5
            a scene without faces.
        """
        large, small, alarms = Tally(24, np.inf), Tally(12, 24), []
        for name, faces in self.held_out.items():
            picture = read_picture(self.images / name)
            boxes, scores = detect(network, picture)
            if name.startswith("scene_") and not len(faces.certain):
                alarms.append(float((scores >= 0.5).sum()))
            large.add(boxes, scores, faces, 1.0)
            small.add(boxes, scores, faces, 1.0)
            quarter = cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
            small.add(*detect(network, np.asarray(quarter, np.uint8)), faces, 0.25)
        scores_of = {"24": large.scores(), "12_24": small.scores()}
        result = {f"recall_{side}": recall for side, (recall, _) in scores_of.items()}
        result |= {f"ap_{side}": precision for side, (_, precision) in scores_of.items()}
        return result | {"alarms_a_scene": float(np.mean(alarms or [0.0]))}


class Tally:
    """Hits and false alarms among faces of ``low`` to ``high`` pixels, over many pictures."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high
        self.verdicts: list[Verdict] = []
        self.total = 0

    def add(self, boxes: Tensor, scores: Tensor, faces: Labelled, scale: float) -> None:
        """Judge the detections of a picture that was scaled before them; ``faces`` are of the picture before."""
        labels, certain = torch.from_numpy(faces.boxes_xyxy) * scale, torch.from_numpy(faces.certain)
        sides = (labels[:, 2:] - labels[:, :2]).amin(1)
        self.total += int((certain & (sides >= self.low) & (sides < self.high)).sum())
        self.verdicts += [v for v in judge(boxes, scores, labels, certain) if self.low <= v.side < self.high]

    def scores(self) -> tuple[float, float]:
        """Recall at 90 % precision, and average precision."""
        return recall_and_precision(self.verdicts, self.total)


def detect(network: nn.Module, picture: Picture, least: float = 0.03) -> tuple[Tensor, Tensor]:
    """Boxes (D, 4) x1, y1, x2, y2 in pixels and scores (D,) of a BGR picture, best first, doubles suppressed."""
    x = tensor_from_bgr(picture[None])
    x = F.pad(x, (0, -x.shape[3] % STRIDES[-1], 0, -x.shape[2] % STRIDES[-1]))
    rows = network(x)[0]
    boxes, _ = decode(rows, grid(*x.shape[2:]))
    scores = rows[:, 0].sigmoid()
    best = scores.topk(min(300, len(scores))).indices
    best = best[scores[best] >= least]
    kept = suppress(boxes[best], scores[best])
    return boxes[best][kept], scores[best][kept]


def labelled(faces: list[dict[str, Any]]) -> Labelled:
    """Faces of a picture from their entries in ``labels.json``."""
    faces = [face for face in faces if face["score"] >= ABSENT]
    boxes = np.array([face["box"] for face in faces], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    points = np.array([face["landmarks"] for face in faces], np.float32).reshape(-1, 10)
    return Labelled(boxes, points, np.array([face["score"] >= CERTAIN for face in faces], bool))

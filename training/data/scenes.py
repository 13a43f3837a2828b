"""Portraits and scenes with labelled faces: the data of every detector recipe, and how a detector is judged on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...calibration.data.detection import CERTAIN, read_scenes
from ...calibration.metrics.detection import FP_IOU, LARGE, MIN_SCORE, SMALL, TP_IOU, Detect, iou_matrix, match_scenes
from ...engines.bundle.io_spec import IOSpec
from ...engines.postprocess import NMS_IOU, Detections, decode, padded, suppress
from ...engines.session import Session
from ...networks.layers.pixels import to_rgb
from ..device import CPU
from ..losses.targets import Targets, distillation_loss, stacked, targets
from ..recipe import Recipe
from .augment import degraded
from .mosaics import HardExample, Mosaics

FAINT = 0.15
"""False alarms from this score on are mined: fainter ones rank below all faces that can be hoped for."""
SIDES = (256, 256, 384)
"""Sides of mosaics in pixels; a batch has one of them, and as many mosaics as fit its pixels."""


@dataclass(frozen=True)
class Batch:
    """Pictures (N, 3, H, W), RGB in [0, 1], and what every cell should say of them."""

    pictures: Tensor
    target: Targets


class Scenes:
    """Mosaics of a folder of labelled pictures: a `Task`.

    Args:
        recipe: crop and batch are read from it.
        folder: ``labels.json`` (name -> split "train" or "test", and faces with box x, y, w, h, ten landmark numbers
            and score) and ``images/``.
        teacher: a face-detection engine to imitate; without one the labels alone are learnt.
    """

    def __init__(self, recipe: Recipe, folder: Path, teacher: Session | None = None) -> None:
        self.recipe, self.teacher = recipe, teacher
        self.device = CPU
        self.turn = Lock()
        self.held_out = read_scenes(folder, "test")
        self.mosaics = Mosaics(read_scenes(folder, "train"))

    def batch(self, rng: np.random.Generator) -> Batch:
        """Mosaics and their targets. The teacher sees them before the camera's faults, the network after."""
        side = int(rng.choice(SIDES))
        count = max(1, self.recipe.batch * self.recipe.crop**2 // side**2)
        drawn = [self.mosaics.draw(rng, side) for _ in range(count)]
        with self.turn:  # sessions belong to one thread at a time
            maps = self.teacher.infer(np.stack([one for one, _ in drawn])) if self.teacher else [None] * len(drawn)
        target = stacked([targets(faces, side, side, seen) for (_, faces), seen in zip(drawn, maps, strict=True)])
        pictures = np.stack([degraded(mosaic, rng) for mosaic, _ in drawn])
        return Batch(to_rgb(torch.from_numpy(pictures)), target)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """How far the network's maps of a batch are from what they should be."""
        height, width = batch.pictures.shape[2:]
        return distillation_loss(network(batch.pictures).float(), batch.target, height, width)

    def to(self, device: torch.device) -> None:
        """Where pictures are looked at; the loss is reckoned with batches alone."""
        self.device = device

    def state_dict(self) -> dict[str, Any]:
        """Places that were mined, for a checkpoint."""
        return {"spots": [(spot.name, *spot.centre_xy) for spot in self.mosaics.spots]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint; an older one has none, and they are mined anew."""
        self.mosaics.spots = tuple(HardExample(name, (x, y)) for name, x, y in state.get("spots", ()))

    def mine(self, network: nn.Module) -> None:
        """Find the places of training scenes where the network is wrong; pieces are cut round them from now on."""
        detect = detect_with(network, FAINT, self.device)
        spots: list[HardExample] = []
        for name, scene in self.mosaics.scenes.items():
            if scene.kind == "scene":
                found, faces = detect(self.mosaics.whole(name)), scene.faces
                ious = iou_matrix(found.boxes_xyxy, faces.boxes_xyxy)
                alarms = found.boxes_xyxy[~(ious >= FP_IOU).any(1)]
                missed = faces.boxes_xyxy[faces.certain & ~(ious[found.scores >= CERTAIN] >= TP_IOU).any(0)]
                wrong = np.concatenate((alarms, missed))
                spots += [HardExample(name, (x, y)) for x, y in ((wrong[:, :2] + wrong[:, 2:]) / 2).tolist()]
        self.mosaics.spots = tuple(spots)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Judge on the held-out pictures, and `mine` the training scenes.

        Returns:
            Recall at 90 % precision and average precision of faces from 24 pixels and of 12 to 24 (these also of the
            pictures at a quarter of their size, which gives portraits such faces), false alarms at a score of 0.5
            a scene without faces, and the number of places that were mined.
        """
        self.mine(network)
        detect = detect_with(network, MIN_SCORE, self.device)
        whole, quarter, alarms, empty = [], [], 0, 0
        for scene in self.held_out:
            picture = scene.read()
            found = detect(picture)
            whole.append((found, scene.faces))
            if scene.kind == "scene" and not len(scene.faces):
                alarms, empty = alarms + int((found.scores >= 0.5).sum()), empty + 1
            small = np.asarray(cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), np.uint8)
            quarter.append((detect(small), scene.faces.scaled(0.25)))
        large, both = match_scenes(whole), match_scenes(whole + quarter)
        return {
            "recall_24": large.recall(LARGE),
            "recall_12_24": both.recall(SMALL),
            "ap_24": large.average_precision(LARGE),
            "ap_12_24": both.average_precision(SMALL),
            "alarms_a_scene": alarms / max(1, empty),
            "spots": float(len(self.mosaics.spots)),
        }


def detect_with(network: nn.Module, score: float, device: torch.device) -> Detect:
    """A function from a BGR picture to what a network finds in it."""
    io_spec = IOSpec("face-detection", multiple=32)

    def detect(picture: NDArray[np.uint8]) -> Detections:
        whole = padded(picture, io_spec)
        maps = network(to_rgb(torch.from_numpy(whole[None]).to(device)))[0]
        maps = torch.cat((maps[:, :1].sigmoid(), maps[:, 1:]), 1).cpu().numpy()
        return suppress(decode(maps, whole.shape[0], whole.shape[1], score), NMS_IOU)

    return detect

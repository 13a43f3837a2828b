"""Labeled portraits and scenes, the data of the detector, and its evaluation during training."""

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
from ...calibration.metrics.detection_report import landmarks
from ...engines.bundle.io_spec import IOSpec
from ...engines.padding import pad_grey
from ...engines.postprocess import NMS_IOU, Detections, decode, nms
from ...engines.session import Session
from ...networks.layers.pixels import to_rgb
from ..device import CPU
from ..losses.targets import Targets, build_targets, distillation_loss, landmark_loss, stack_targets
from ..recipe import Recipe
from .augment import camera_artifacts
from .mosaics import HardExample, Mosaics

MIN_FALSE_POSITIVE_SCORE = 0.15
"""False positives with at least this score are hard examples; weaker ones rank below all faces of interest."""
MOSAIC_SIDES = (256, 256, 384)
"""Sides of mosaics in pixels; each batch has one of them, and as many mosaics as its number of pixels allows."""


@dataclass(frozen=True)
class DetectionBatch:
    """Pictures (N, 3, H, W), RGB in [0, 1], and the targets of all cells."""

    pictures: Tensor
    target: Targets


class Scenes:
    """Mosaics of a folder of labeled pictures: a `Task`.

    Args:
        recipe: supplies crop and batch.
        folder: labelled images with splits "train" and "test", see `read_scenes`.
        teacher: face-detection session for distillation; None to train on the labels only.
    """

    def __init__(self, recipe: Recipe, folder: Path, teacher: Session | None = None) -> None:
        self.recipe, self.teacher = recipe, teacher
        self.device = CPU
        self.teacher_lock = Lock()
        self.validation = read_scenes(folder, "test")
        self.mosaics = Mosaics(read_scenes(folder, "train"))

    def batch(self, rng: np.random.Generator) -> DetectionBatch:
        """Mosaics and their targets. The teacher gets them before the camera artifacts, the network after."""
        side = int(rng.choice(MOSAIC_SIDES))
        count = max(1, self.recipe.batch * self.recipe.crop**2 // side**2)
        mosaics = [self.mosaics.draw(rng, side) for _ in range(count)]
        with self.teacher_lock:  # a session serves one thread at a time
            maps = self.teacher.infer(np.stack([one for one, _ in mosaics])) if self.teacher else [None] * count
        target = stack_targets([build_targets(f, side, side, rows) for (_, f), rows in zip(mosaics, maps, strict=True)])
        pictures = np.stack([camera_artifacts(mosaic, rng) for mosaic, _ in mosaics])
        return DetectionBatch(to_rgb(torch.from_numpy(pictures)), target)

    def loss(self, network: nn.Module, batch: DetectionBatch) -> Tensor:
        """Loss of the network's output maps: `landmark_loss` if the recipe has it, or `distillation_loss`."""
        height, width = batch.pictures.shape[2:]
        loss = landmark_loss if "landmarks" in self.recipe.losses else distillation_loss
        return loss(network(batch.pictures).float(), batch.target, height, width)

    def to(self, device: torch.device) -> None:
        """Set the device of evaluation; the loss uses no further networks."""
        self.device = device

    def state_dict(self) -> dict[str, Any]:
        """Hard examples, for a checkpoint."""
        return {"hard_examples": [(example.name, *example.center_xy) for example in self.mosaics.hard_examples]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the hard examples from a checkpoint, without those of pictures that were removed since."""
        examples = (HardExample(name, (x, y)) for name, x, y in state["hard_examples"])
        self.mosaics.hard_examples = tuple(one for one in examples if one.name in self.mosaics.scenes)

    def update_hard_examples(self, network: nn.Module) -> None:
        """Hard example mining: store the false positives and false negatives of the network in training scenes."""
        detect = detect_with(network, MIN_FALSE_POSITIVE_SCORE, self.device)
        examples: list[HardExample] = []
        for name, scene in self.mosaics.scenes.items():
            if scene.kind in ("scene", "event"):
                detections, faces = detect(self.mosaics.picture(name)), scene.faces
                ious = iou_matrix(detections.boxes_xyxy, faces.boxes_xyxy)
                false_positives = detections.boxes_xyxy[~(ious >= FP_IOU).any(1)]
                detected = (ious[detections.scores >= CERTAIN] >= TP_IOU).any(0)
                errors = np.concatenate((false_positives, faces.boxes_xyxy[faces.certain & ~detected]))
                examples += [HardExample(name, (x, y)) for x, y in ((errors[:, :2] + errors[:, 2:]) / 2).tolist()]
        self.mosaics.hard_examples = tuple(examples)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Evaluate on the test split, and update the hard examples of the training scenes.

        Returns:
            Recall at 90 % precision and average precision of faces of 24 px and more and of 12 to 24 px (the latter
            also on the pictures at a quarter of their size, which makes portraits such faces), false positives with a
            score of 0.5 or more per scene without faces, mean landmark error without profiles, and the number of hard
            examples.
        """
        self.update_hard_examples(network)
        detect = detect_with(network, MIN_SCORE, self.device)
        full, quarter, false_positives, empty = [], [], 0, 0
        for scene in self.validation:
            picture = scene.read()
            detections = detect(picture)
            full.append((detections, scene.faces))
            if scene.kind == "scene" and not len(scene.faces):
                false_positives, empty = false_positives + int((detections.scores >= 0.5).sum()), empty + 1
            small = np.asarray(cv2.resize(picture, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), np.uint8)
            quarter.append((detect(small), scene.faces.scaled(0.25)))
        large, both = match_scenes(full), match_scenes(full + quarter)
        return {
            "recall_24": large.recall(LARGE),
            "recall_12_24": both.recall(SMALL),
            "ap_24": large.average_precision(LARGE),
            "ap_12_24": both.average_precision(SMALL),
            "false_positives_per_scene": false_positives / max(1, empty),
            "landmark_error": landmarks(large).frontal_mean or 0.0,
            "hard_examples": float(len(self.mosaics.hard_examples)),
        }


def detect_with(network: nn.Module, score: float, device: torch.device) -> Detect:
    """Function that detects faces in a BGR picture with the network, at a score threshold."""
    io_spec = IOSpec("face-detection", multiple=32)

    def detect(picture: NDArray[np.uint8]) -> Detections:
        pixels = pad_grey(picture, io_spec)
        maps = network(to_rgb(torch.from_numpy(pixels[None]).to(device)))[0]
        maps = torch.cat((maps[:, :1].sigmoid(), maps[:, 1:]), 1).cpu().numpy()
        return nms(decode(maps, pixels.shape[0], pixels.shape[1], score), NMS_IOU)

    return detect

"""Whole faces with labels, the data of CRL's auxiliary tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...calibration.data.faces import image_paths
from ...networks.crl import CRL
from ...networks.layers.pixels import to_rgb
from ..losses.attributes import ATTRIBUTES, AuxiliaryTasks
from ..losses.losses import Criterion
from ..recipe import Recipe
from .faces import FaceBatch, FacePairs
from .labels import read_labels


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """Training batch.

    Args:
        pairs: the faces.
        attributes: (N, A) float32, 0 or 1.
        landmarks: (N, L, 2) float32, x and y as fractions of the side of the high-resolution face.
    """

    pairs: FaceBatch
    attributes: Tensor
    landmarks: Tensor


class LabelledFaces:
    """Pairs of faces with attributes and landmarks: a `Task` for CRL.

    Faces are not mirrored, which would exchange left and right landmarks.

    Args:
        recipe: supplies crop, batch, losses with the weight of the auxiliary tasks, and their learning rate.
        faces: folder of training faces with `labels.LABELS`.
        val_faces: folder of validation faces; None disables evaluation.
        criterion: loss on the super-resolved faces.

    Raises:
        InputError: a picture is too small or cannot be read, or the labels cannot.
    """

    def __init__(self, recipe: Recipe, faces: Path, val_faces: Path | None, criterion: Criterion) -> None:
        self.recipe, self.pairs = recipe, FacePairs(recipe, faces, val_faces, criterion)
        self.labels = read_labels(faces, [path.name for path in image_paths(faces)])
        counts = self.labels.attributes.shape[1], self.labels.landmarks.shape[1]
        self.tasks = AuxiliaryTasks(int(recipe.config["width"]), *counts, recipe.learning_rate, recipe.seed)

    def batch(self, rng: np.random.Generator) -> LabelledBatch:
        """Random crops of labelled faces, their low-resolution versions and labels."""
        scale = self.pairs.scale
        crop = self.recipe.crop // scale * scale
        rows = rng.integers(len(self.labels.indices), size=self.recipe.batch)
        samples, corners = [], []
        for index in self.labels.indices[rows]:
            face = self.pairs.faces[index]
            y, x = (int(rng.integers(side - crop + 1)) for side in face.shape[:2])
            samples.append(face[y : y + crop, x : x + crop])
            corners.append((x, y))
        hr = np.stack(samples)
        lr = self.pairs.degrade(hr, scale, rng)
        landmarks = (self.labels.landmarks[rows] - np.array(corners, np.float32)[:, None]) / crop
        pairs = FaceBatch(torch.from_numpy(lr), torch.from_numpy(hr), scale)
        return LabelledBatch(pairs, torch.from_numpy(self.labels.attributes[rows]), torch.from_numpy(landmarks))

    def loss(self, network: nn.Module, batch: LabelledBatch) -> Tensor:
        """Loss against the true faces, plus the weighted loss of the auxiliary tasks."""
        net, lr = cast(CRL, network), to_rgb(batch.pairs.lr)
        features = net.features(lr)
        loss = self.pairs.criterion(net.reconstruct(features, lr).float(), to_rgb(batch.pairs.hr))
        return loss + self.recipe.losses[ATTRIBUTES] * self.tasks.loss(features, batch.attributes, batch.landmarks)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores of the super-resolved faces, see `FacePairs.evaluate`."""
        return self.pairs.evaluate(network)

    def to(self, device: torch.device) -> None:
        """Set the device of evaluation and move the networks of the loss there."""
        self.pairs.to(device)
        self.tasks.to(device)

    def state_dict(self) -> dict[str, Any]:
        """State of criterion and auxiliary tasks, for a checkpoint."""
        return {"criterion": self.pairs.state_dict(), "tasks": self.tasks.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.pairs.load_state_dict(state["criterion"])
        self.tasks.load_state_dict(state["tasks"])

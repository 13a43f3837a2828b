"""Pairs of low- and high-resolution faces, the data of the super-resolution networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...calibration.data.faces import low_resolution, padded, read_faces
from ...calibration.metrics.evaluate import SEED, SIDE, Images, center_crops, enlarged, upscale_bicubic
from ...calibration.metrics.image import mean_db, psnr_y
from ...converters.spec import io_spec_of
from ...engines.errors import EngineError
from ...engines.session import Session
from ...networks.layers.pixels import to_pixels, to_rgb
from ..device import CPU
from ..losses.losses import Criterion
from ..recipe import Recipe
from .degrade import DEGRADATIONS

EVAL_BATCH = 16
"""Faces per batch in evaluation."""


@dataclass(frozen=True, eq=False)
class FaceBatch:
    """Training batch, as uint8 to keep transfers to the GPU small.

    Args:
        lr, hr: (N, crop / scale, crop / scale, 3) and (N, crop, crop, 3) uint8 BGR.
        scale: ratio of the sides of hr and lr.
        teacher_sr: output of the teacher, of the shape of hr; None without a teacher.
    """

    lr: Tensor
    hr: Tensor
    scale: int
    teacher_sr: Tensor | None = None


class FacePairs:
    """Random crops of faces and their low-resolution versions: a `Task`.

    Args:
        recipe: supplies crop, batch, scales, degradation and losses.
        faces: folder of training faces, each at least as large as the crop; None for pairs from elsewhere.
        val_faces: folder of validation faces; None disables evaluation.
        criterion: loss; None to build it from the recipe, if it needs no further networks.
        teacher: teacher network; None to train on the true faces only.

    Raises:
        InputError: a picture is too small or cannot be read.
        EngineError: the teacher has another scale, or does not accept crops of this size.
    """

    def __init__(
        self,
        recipe: Recipe,
        faces: Path | None,
        val_faces: Path | None,
        criterion: Criterion | None = None,
        teacher: Session | None = None,
    ) -> None:
        self.recipe, self.teacher = recipe, teacher
        self.teacher_lock = Lock()
        self.scale = int(recipe.config["scale"])
        self.scales = recipe.scales or (self.scale,)
        if teacher is not None:
            check_teacher(recipe, teacher)
        self.degrade = DEGRADATIONS[recipe.degradation]
        self.criterion = criterion or Criterion(recipe.losses)
        self.faces = read_faces(faces, min_side=recipe.crop) if faces else []
        self.device = CPU
        self.validation = None
        if val_faces is not None:
            hr = validation_faces(recipe, val_faces)
            lr = self.degrade(hr, self.scale, np.random.default_rng(SEED))
            bicubic = upscale_bicubic(lr, self.scale)
            self.validation = (lr, hr, mean_db(psnr_y(bicubic, hr)))

    def batch(self, rng: np.random.Generator) -> FaceBatch:
        """Random crops, flipped horizontally with a probability of 50 %, and their low-resolution versions."""
        scale = self.scales[int(rng.integers(len(self.scales)))] if len(self.scales) > 1 else self.scales[0]
        crop = self.recipe.crop // scale * scale
        samples = []
        for index in rng.integers(len(self.faces), size=self.recipe.batch):
            face = self.faces[index]
            y, x = (int(rng.integers(side - crop + 1)) for side in face.shape[:2])
            sample = face[y : y + crop, x : x + crop]
            samples.append(sample[:, ::-1] if rng.random() < 0.5 else sample)
        hr = np.stack(samples)
        lr = self.degrade(hr, scale, rng)
        if self.recipe.clean:
            clean = rng.random(len(lr)) < self.recipe.clean
            lr[clean] = low_resolution(hr[clean], scale)
        teacher_sr = None
        if self.teacher is not None:
            with self.teacher_lock:  # a session serves one thread at a time
                teacher_sr = torch.from_numpy(flip_ensemble(self.teacher, lr))
        return FaceBatch(torch.from_numpy(lr), torch.from_numpy(hr), scale, teacher_sr)

    def loss(self, network: nn.Module, batch: FaceBatch) -> Tensor:
        """Loss against the true faces, mixed with that against the teacher's output by `distill_weight`."""
        lr = to_rgb(batch.lr)
        sr = (network(lr, batch.scale) if self.recipe.scales else network(lr)).float()
        loss = self.criterion(sr, to_rgb(batch.hr))
        if batch.teacher_sr is None:
            return loss
        return loss + self.recipe.distill_weight * (self.criterion(sr, to_rgb(batch.teacher_sr)) - loss)

    def to(self, device: torch.device) -> None:
        """Set the device of evaluation and move the networks of the loss there."""
        self.device = device
        self.criterion.to(device)

    def state_dict(self) -> dict[str, Any]:
        """State of the criterion, for a checkpoint."""
        return self.criterion.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""
        self.criterion.load_state_dict(state)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Mean Y-PSNR on the validation faces and its gain over bicubic, in dB."""
        if self.validation is None:
            return {}
        lr, hr, bicubic_db = self.validation
        lr = padded(lr, int(getattr(network, "multiple", 1)))
        parts = [network(to_rgb(part)) for part in torch.split(torch.from_numpy(lr).to(self.device), EVAL_BATCH)]
        sr = to_pixels(torch.cat(parts)).cpu().numpy()
        psnr_db = mean_db(psnr_y(sr[:, : hr.shape[1], : hr.shape[2]], hr))
        return {"psnr_y_db": psnr_db, "gain_db": psnr_db - bicubic_db}


def validation_faces(recipe: Recipe, folder: Path) -> Images:
    """Ground truth (N, S, S, 3) of a folder, cut as in `evaluate`.

    Raises:
        InputError: a picture is smaller than 128×128, or cannot be read.
    """
    io_spec = io_spec_of(recipe.network, recipe.config)
    return center_crops(read_faces(folder, min_side=SIDE), io_spec.scale, io_spec.crop_sizes)


def check_teacher(recipe: Recipe, teacher: Session) -> None:
    """Check that a super-resolution network can teach the network of a recipe.

    Raises:
        EngineError: the teacher has another scale, or does not accept crops of this size.
    """
    scale, crop = teacher.io_spec.scale, recipe.crop // int(recipe.config["scale"])
    scales = recipe.scales or (int(recipe.config["scale"]),)
    if scales != (scale,):
        names = ", ".join(f"×{one}" for one in scales)
        raise EngineError(f"the teacher's scale is ×{scale}, the network's {names}; omit --teacher")
    if max(teacher.io_spec.crop_sizes) < crop:
        raise EngineError(f"the teacher does not accept crops of {crop} px; omit --teacher")


def flip_ensemble(teacher: Session, lr: Images) -> Images:
    """Self-ensemble over a horizontal flip: the mean of a network's outputs for a face and for its mirror image.

    (N, side, side, 3) uint8 BGR -> (N, scale·side, scale·side, 3) uint8 BGR.
    """
    straight, mirrored = enlarged(teacher, lr), enlarged(teacher, np.ascontiguousarray(lr[:, :, ::-1]))
    return np.asarray((straight.astype(np.uint16) + mirrored[:, :, ::-1] + 1) // 2, np.uint8)

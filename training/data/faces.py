"""Faces small and large: what the super-resolution networks learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...calibration.data.faces import low_resolution, padded, read_faces
from ...calibration.metrics.evaluate import SEED, SIDE, Pictures, centres, enlarged, enlarged_by_bicubic
from ...calibration.metrics.image import mean_db, psnr_y
from ...engines.errors import EngineError
from ...engines.session import Session
from ...networks.layers.pixels import to_pixels, to_rgb
from ..device import CPU
from ..losses.losses import Criterion
from ..recipe import Recipe
from .degrade import DEGRADATIONS

EVALUATED = 16
"""Held-out faces at a time."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """A batch, as small as it can travel to where the network learns.

    Args:
        lr: (N, crop / scale, crop / scale, 3) uint8 BGR.
        hr: (N, crop, crop, 3) uint8 BGR.
        scale: hr over lr.
        taught: what a teacher makes of lr, as hr; none without one.
    """

    lr: Tensor
    hr: Tensor
    scale: int
    distill_weight: Tensor | None = None


class FacePairs:
    """Random crops of the faces of a folder, and what is left of them at a low resolution: a `Task`.

    Args:
        recipe: crop, batch, scales, degradation and losses are read from it.
        faces: folder of training faces, each at least as large as the crop.
        held_out: folder of faces to evaluate on; none leaves evaluation out.
        criterion: the recipe's losses; none to make it of those that need nothing more.
        teacher: a network to imitate by the share that the recipe says; none for the true faces alone.

    Raises:
        InputError: a picture is too small or cannot be read.
        EngineError: the teacher enlarges by another scale, or takes no crops as large.
    """

    def __init__(
        self,
        recipe: Recipe,
        faces: Path,
        held_out: Path | None,
        criterion: Criterion | None = None,
        teacher: Session | None = None,
    ) -> None:
        self.recipe, self.teacher = recipe, teacher
        self.turn = Lock()
        self.scale = int(recipe.config["scale"])
        self.scales = recipe.scales or (self.scale,)
        if teacher is not None and self.scales != (teacher.io_spec.scale,):
            own = ", ".join(f"×{scale}" for scale in self.scales)
            raise EngineError(f"the teacher enlarges ×{teacher.io_spec.scale}, the network {own}; leave --teacher out")
        if teacher is not None and max(teacher.io_spec.windows) < recipe.crop // self.scale:
            raise EngineError(f"the teacher takes no crops of {recipe.crop // self.scale} px; leave --teacher out")
        self.degrade = DEGRADATIONS[recipe.degradation]
        self.criterion = criterion or Criterion(recipe.losses)
        self.faces = read_faces(faces, least=recipe.crop)
        self.device = CPU
        self.held_out = None
        if held_out is not None:
            hr = centres(read_faces(held_out, least=SIDE), self.scale)
            lr = self.degrade(hr, self.scale, np.random.default_rng(SEED))
            bicubic = enlarged_by_bicubic(lr, self.scale)
            self.held_out = (lr, hr, mean_db(psnr_y(bicubic, hr)))

    def batch(self, rng: np.random.Generator) -> Pairs:
        """Crops drawn, mirrored and shrunk at random."""
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
        distill_weight = None
        if self.teacher is not None:
            with self.turn:  # sessions belong to one thread at a time
                distill_weight = torch.from_numpy(with_its_mirror(self.teacher, lr))
        return Pairs(torch.from_numpy(lr), torch.from_numpy(hr), scale, distill_weight)

    def loss(self, network: nn.Module, batch: Pairs) -> Tensor:
        """Loss between the network's enlargement and the truth, and what the teacher makes of it."""
        lr = to_rgb(batch.lr)
        sr = (network(lr, batch.scale) if self.recipe.scales else network(lr)).float()
        loss = self.criterion(sr, to_rgb(batch.hr))
        if batch.distill_weight is None:
            return loss
        return loss + self.recipe.distill_weight * (self.criterion(sr, to_rgb(batch.distill_weight)) - loss)

    def to(self, device: torch.device) -> None:
        """Where held-out faces are looked at, and what the loss is reckoned with."""
        self.device = device
        self.criterion.to(device)

    def state_dict(self) -> dict[str, Any]:
        """Of what learns in the criterion."""
        return self.criterion.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.criterion.load_state_dict(state)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Mean Y-PSNR on the held-out faces and its gain over bicubic, in dB."""
        if self.held_out is None:
            return {}
        lr, hr, bicubic = self.held_out
        lr = padded(lr, int(getattr(network, "multiple", 1)))
        parts = [network(to_rgb(part)) for part in torch.split(torch.from_numpy(lr).to(self.device), EVALUATED)]
        sr = to_pixels(torch.cat(parts)).cpu().numpy()
        sr = sr[:, : hr.shape[1], : hr.shape[2]]
        quality = mean_db(psnr_y(sr, hr))
        return {"psnr_y_db": quality, "gain_db": quality - bicubic}


def with_its_mirror(teacher: Session, lr: Pictures) -> Pictures:
    """What a network makes of faces, each the mean of what it makes of the face and of its mirror image.

    Args:
        teacher: for super-resolution.
        lr: (N, side, side, 3) uint8 BGR.

    Returns:
        (N, scale·side, scale·side, 3) uint8 BGR.
    """
    straight, mirrored = enlarged(teacher, lr), enlarged(teacher, np.ascontiguousarray(lr[:, :, ::-1]))
    return np.asarray((straight.astype(np.uint16) + mirrored[:, :, ::-1] + 1) // 2, np.uint8)

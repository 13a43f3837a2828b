"""Pairs recorded by simulated cameras, the data of the camera networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...calibration.data.faces import low_resolution, padded
from ...calibration.metrics.evaluate import SEED, Images, upscale_bicubic
from ...calibration.metrics.image import mean_db, psnr_y
from ...networks.layers.pixels import to_pixels, to_rgb
from ..losses.losses import Criterion
from ..recipe import Recipe
from .cameras.cache import PairCache
from .degrade import DEGRADATIONS
from .faces import EVAL_BATCH, FaceBatch, FacePairs, validation_faces

VALIDATED = ("bicubic", "jpeg-75", "h264-23", "h264-28", "h264-33", "noise-h264-26")
"""Degradations that are evaluated during training."""


class RecordedFaces(FacePairs):
    """Pairs of a cache: a `Task`.

    Args:
        recipe: supplies batch, losses and the fraction of clean pairs.
        cache: of pairs; filled before the first batch, with the output of the teacher if the recipe has one.
        val_faces: folder of validation faces; None disables evaluation.
        criterion: see `FacePairs`.
    """

    def __init__(
        self,
        recipe: Recipe,
        cache: PairCache,
        val_faces: Path | None,
        criterion: Criterion | None = None,
    ) -> None:
        super().__init__(recipe, None, None, criterion)
        self.cache = cache
        self.by_kind: dict[str, tuple[Images, Images, float]] = {}
        if val_faces is not None:
            hr = validation_faces(recipe, val_faces)
            for name in VALIDATED:
                lr = DEGRADATIONS[name](hr, self.scale, np.random.default_rng(SEED))
                self.by_kind[name] = lr, hr, mean_db(psnr_y(upscale_bicubic(lr, self.scale), hr))

    def batch(self, rng: np.random.Generator) -> FaceBatch:
        """Random pairs; a fraction of them is made by bicubic instead, see `Recipe.clean`."""
        lr, hr, *rest = self.cache.draw(self.recipe.batch, rng)
        teacher_sr = rest[0] if rest else None
        if self.recipe.clean:
            clean = rng.random(len(lr)) < self.recipe.clean
            lr[clean] = low_resolution(hr[clean], self.scale)
            if teacher_sr is not None:  # the teacher did not see these
                teacher_sr[clean] = hr[clean]
        target = None if teacher_sr is None else torch.from_numpy(teacher_sr)
        return FaceBatch(torch.from_numpy(lr), torch.from_numpy(hr), self.scale, target)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Gain over bicubic of each degradation in `VALIDATED`, in dB of luma PSNR."""
        gains = {}
        for name, (lr, hr, bicubic_db) in self.by_kind.items():
            pictures = torch.from_numpy(padded(lr, int(getattr(network, "multiple", 1)))).to(self.device)
            sr = np.concatenate(
                [to_pixels(network(to_rgb(part))).cpu().numpy() for part in torch.split(pictures, EVAL_BATCH)]
            )
            gains[f"gain_db_{name}"] = mean_db(psnr_y(sr[:, : hr.shape[1], : hr.shape[2]], hr)) - bicubic_db
        return gains

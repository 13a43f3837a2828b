"""Pairs of low- and high-resolution faces: the data of every super-resolution recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..calibration.crops import low_resolution, read_faces
from ..calibration.quality import mean_db, psnr_y
from ..networks.bicubic import resize_batch
from ..networks.idrn import resample
from .loop import Recipe

LOSSES: dict[str, Any] = {"l1": F.l1_loss, "l2": F.mse_loss}


class FacePairs:
    """Random crops of the faces of a folder, shrunk by antialiased bicubic and rounded to 8 bits: a `Task`.

    Args:
        recipe: crop, batch, scale and loss are read from it.
        faces: folder of training faces, each at least as large as the crop.
        held_out: folder of faces to evaluate on; none leaves evaluation out.
    """

    def __init__(self, recipe: Recipe, faces: Path, held_out: Path | None) -> None:
        self.recipe = recipe
        self.scale = int(recipe.config["scale"])
        self.faces = read_faces(faces, least=recipe.crop)
        self.held_out = None
        if held_out is not None:
            hr = np.stack([_centre(face, 128 // self.scale * self.scale) for face in read_faces(held_out, least=128)])
            lr = low_resolution(hr, self.scale)
            bicubic = np.clip(np.rint(resize_batch(lr, hr.shape[1], hr.shape[2])), 0, 255).astype(np.uint8)
            self.held_out = (lr, hr, mean_db(psnr_y(bicubic, hr)))

    def batch(self, rng: np.random.Generator) -> Tensor:
        """(N, 3, crop, crop) RGB in [0, 1], flipped at random."""
        crop = self.recipe.crop
        samples = []
        for index in rng.integers(len(self.faces), size=self.recipe.batch):
            face = self.faces[index]
            y, x = (int(rng.integers(side - crop + 1)) for side in face.shape[:2])
            sample = face[y : y + crop, x : x + crop]
            samples.append(sample[:, ::-1] if rng.random() < 0.5 else sample)
        return tensor_from_bgr(np.stack(samples))

    def loss(self, network: nn.Module, batch: Tensor) -> Tensor:
        """Loss between the network's enlargement of the shrunken batch and the batch itself."""
        small = batch.shape[-1] // self.scale
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            lr = (resample(batch, small, small) * 255).round().clamp(0, 255) / 255
        sr = network(lr.contiguous(memory_format=torch.channels_last))
        result: Tensor = LOSSES[self.recipe.loss](sr.float(), batch)
        return result

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Mean Y-PSNR on the held-out faces and its gain over bicubic, in dB."""
        if self.held_out is None:
            return {}
        lr, hr, bicubic = self.held_out
        parts = [network(tensor_from_bgr(part)) for part in np.array_split(lr, max(1, len(lr) // 16))]
        sr = (torch.cat(parts).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).flip(-1).numpy()
        quality = mean_db(psnr_y(sr, hr))
        return {"psnr_y_db": quality, "gain_db": quality - bicubic}


def tensor_from_bgr(pictures: NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 BGR -> (N, 3, H, W) float RGB in [0, 1], channels last in memory."""
    return torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1])).permute(0, 3, 1, 2).float() / 255


def _centre(face: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    y, x = ((length - side) // 2 for length in face.shape[:2])
    return face[y : y + side, x : x + side]

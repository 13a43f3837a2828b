"""Similar faces as references of each other, the data of MSRNet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...calibration.data.faces import center_crop, low_resolution, read_faces
from ...calibration.metrics.evaluate import Images, upscale_bicubic
from ...calibration.metrics.image import mean_db, psnr_y
from ...engines.errors import InputError, UsageError
from ...networks.layers.pixels import to_pixels, to_rgb
from ...networks.layers.resample import enlarge, resample
from ...networks.msrnet.network import REFERENCES, MSRNet
from ..losses.losses import Criterion
from ..recipe import Recipe
from .degrade import DEGRADATIONS

EVAL_REFERENCES = 4
"""References per face in evaluation; the paper's best number."""
NO_REFERENCE_PROBABILITY = 1 / 6
"""Fraction of the training faces without references."""
EVAL_BATCH = 8
"""Faces per batch in evaluation."""
Describe = Callable[[Tensor], Tensor]
"""(N, 3, side, side) low-resolution faces -> (N, D) descriptors; similar faces have a small L1 distance."""


@dataclass(frozen=True, eq=False)
class ReferenceBatch:
    """Training batch.

    Args:
        lr, hr: (N, 3, side, side), in steps of 1/255, and (N, 3, scale·side, scale·side), RGB in [0, 1].
        references: (N, R) indices of each face's references in the batch, nearest first.
        present: (N, R) 1 where the reference is used, else 0.
    """

    lr: Tensor
    hr: Tensor
    references: Tensor
    present: Tensor


class FacesWithReferences:
    """Groups of similar faces, each a reference of the others: a `Task` for MSRNet.

    A batch is a random face and some of its nearest neighbors by the L1 distance of the low-resolution faces, mirrored
    where that is nearer. Each face is encoded once and serves all others, so five references cost as much as one. The
    number of references is drawn per batch, from one to five, and one face in six has none.

    Args:
        recipe: supplies batch (faces per group), crop, degradation and losses.
        faces: folder of training faces, which is also the reference library of the validation faces.
        val_faces: folder of validation faces; None disables evaluation.
        criterion: loss; None to build it from the recipe, if it needs no further networks.

    Raises:
        InputError: a picture is too small or cannot be read, or there is only one.
        UsageError: the batch has fewer than two faces.
    """

    def __init__(self, recipe: Recipe, faces: Path, val_faces: Path | None, criterion: Criterion | None = None) -> None:
        self.recipe = recipe
        self.scale = int(recipe.config["scale"])
        self.degrade = DEGRADATIONS[recipe.degradation]
        self.criterion = criterion or Criterion(recipe.losses)
        self.faces = read_faces(faces, min_side=recipe.crop)
        if len(self.faces) < 2:
            raise InputError(f"expected 2 or more faces in {faces}, got 1: the faces are references of each other")
        if recipe.batch < 2:
            raise UsageError(f"expected a batch of 2 or more, got {recipe.batch}: faces are references of each other")
        self.crops = np.stack([center_crop(face, recipe.crop) for face in self.faces])
        mirrored = np.concatenate((self.crops, self.crops[:, :, ::-1]))
        descriptors = flat_pixels(to_rgb(torch.from_numpy(low_resolution(mirrored, self.scale))))
        self.neighbors = neighbors(descriptors, min(2 * (recipe.batch - 1), len(self.faces) - 1)).numpy()
        self.validation = None
        if val_faces is not None:
            hr = np.stack([center_crop(face, recipe.crop) for face in read_faces(val_faces, min_side=recipe.crop)])
            lr = low_resolution(hr, self.scale)
            self.validation = (hr, mean_db(psnr_y(upscale_bicubic(lr, self.scale), hr)))

    def batch(self, rng: np.random.Generator) -> ReferenceBatch:
        """A group of similar faces, randomly cropped, all mirrored or none, and the references of each."""
        first = int(rng.integers(len(self.faces)))
        similar, count = self.neighbors[first], self.recipe.batch - 1
        others = rng.choice(similar, count, replace=len(similar) < count)
        mirror = rng.random() < 0.5
        samples = []
        for index in (first, *others):
            face, crop = self.faces[index % len(self.faces)], self.recipe.crop
            y, x = (int(rng.integers(side - crop + 1)) for side in face.shape[:2])
            sample = face[y : y + crop, x : x + crop]
            samples.append(sample[:, ::-1] if mirror != (index >= len(self.faces)) else sample)
        hr = np.stack(samples)
        lr = to_rgb(torch.from_numpy(self.degrade(hr, self.scale, rng)))
        distances = torch.cdist(flat_pixels(lr), flat_pixels(lr), p=1).fill_diagonal_(torch.inf)
        references = distances.argsort(1)[:, : min(REFERENCES, len(lr) - 1)]  # (N, R)
        references = references[:, : int(rng.integers(1, references.shape[1] + 1))]
        without = torch.from_numpy(rng.random(len(lr)) < NO_REFERENCE_PROBABILITY)
        present = torch.where(without[:, None], 0.0, 1.0).expand(references.shape)
        return ReferenceBatch(lr, to_rgb(torch.from_numpy(hr)), references, present)

    def loss(self, network: nn.Module, batch: ReferenceBatch) -> Tensor:
        """Loss of the super-resolved faces; a face's own features are reused as those of a degraded reference."""
        net = cast(MSRNet, network)
        bicubic = enlarge(batch.lr, net.first_scale)
        features = net.local(bicubic)
        keys, values = net.encode_features(net.local(reference_size(batch.hr, net)), features)
        sr = net.decode(bicubic, features, keys[batch.references], values[batch.references], batch.present)
        return self.criterion(sr.float(), batch.hr)

    def to(self, device: torch.device) -> None:
        """Move the networks of the loss to the training device."""
        self.criterion.to(device)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Mean Y-PSNR of the validation faces with four references, and the gain over bicubic with and without."""
        if self.validation is None:
            return {}
        hr, bicubic_db = self.validation
        without_db, psnr_db = ablation(cast(MSRNet, network), hr, self.crops, (0, EVAL_REFERENCES)).values()
        gain_without_db = without_db - bicubic_db
        return {"psnr_y_db": psnr_db, "gain_db": psnr_db - bicubic_db, "gain_without_references_db": gain_without_db}


def reference_size(hr: Tensor, network: MSRNet) -> Tensor:
    """Resample (N, 3, scale·side, scale·side) faces to the size of references, that of the stage 1 output."""
    return hr if network.first_scale == network.scale else resample(hr, network.large_side, network.large_side)


def flat_pixels(lr: Tensor) -> Tensor:
    """The pixels themselves as the descriptor, the simplest `Describe`: (N, 3, side, side) -> (N, D)."""
    return lr.flatten(1)


def neighbors(descriptors: Tensor, count: int) -> Tensor:
    """Nearest neighbors of each face among the other faces, mirrored where that is nearer.

    Descriptors (2·F, D) of F faces, then of their mirror images -> (F, count) int64, nearest first, count < F; indices
    from F on are mirrored faces.
    """
    faces = len(descriptors) // 2
    distances = torch.cdist(descriptors[:faces], descriptors, p=1)  # (F, 2·F)
    straight, mirrored = distances[:, :faces], distances[:, faces:]
    nearer = torch.minimum(straight, mirrored).fill_diagonal_(torch.inf)
    indices = nearer.topk(count, largest=False).indices
    result: Tensor = indices + faces * (mirrored < straight).gather(1, indices).long()
    return result


@torch.inference_mode()
def ablation(
    network: MSRNet,
    faces: Images,
    library: Images,
    counts: Iterable[int] = range(REFERENCES + 1),
    describe: Describe = flat_pixels,
) -> dict[int, float]:
    """Quality by the number of references (the paper's table 2).

    Args:
        network: in evaluation mode.
        faces: (N, scale·side, scale·side, 3) uint8 BGR.
        library: (M, scale·side, scale·side, 3) uint8 BGR of other people; mirror images are added.
        counts: numbers of references, nearest first.
        describe: descriptor for the nearest neighbors, e.g. the network's `embedding`.

    Returns:
        Number of references -> mean Y-PSNR in dB of the rounded output.
    """
    counts, device = tuple(counts), next(network.parameters()).device
    lr = low_resolution(faces, network.scale)
    library = np.concatenate((library, library[:, :, ::-1]))
    indices = nearest(lr, low_resolution(library, network.scale), max(1, *counts), describe)  # (N, R)
    scores: dict[int, list[NDArray[np.float64]]] = {count: [] for count in counts}
    for start in range(0, len(faces), EVAL_BATCH):
        part = slice(start, start + EVAL_BATCH)
        x = to_rgb(torch.from_numpy(lr[part]).to(device))
        references = (to_rgb(torch.from_numpy(library[rows]).to(device)) for rows in indices[part])
        encoded = [network.encode(reference_size(pictures, network)) for pictures in references]
        keys, values = (torch.stack(tensors) for tensors in zip(*encoded, strict=True))
        for count in counts:
            sr = network(x, keys[:, :count], values[:, :count]) if count else network(x)
            scores[count].append(psnr_y(to_pixels(sr).cpu().numpy(), faces[part]))
    return {count: mean_db(np.concatenate(parts)) for count, parts in scores.items()}


def nearest(lr: Images, library: Images, count: int, describe: Describe = flat_pixels) -> NDArray[np.int64]:
    """Equation 3: nearest library pictures of each face by the L1 distance of their descriptors.

    Low-resolution faces (N, side, side, 3) and library (M, side, side, 3), uint8 BGR -> (N, count) int64 indices into
    the library, nearest first.
    """
    faces, others = (
        torch.cat([describe(to_rgb(torch.from_numpy(part))) for part in np.array_split(of, -(-len(of) // EVAL_BATCH))])
        for of in (lr, library)
    )
    indices = torch.cdist(faces, others, p=1).topk(count, largest=False).indices
    return np.asarray(indices.numpy(), np.int64)

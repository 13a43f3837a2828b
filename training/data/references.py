"""Faces with references: each batch is of faces that look alike, and every face may borrow from the others."""

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
from ...calibration.metrics.evaluate import Pictures, enlarged_by_bicubic
from ...calibration.metrics.image import mean_db, psnr_y
from ...engines.errors import InputError, UsageError
from ...networks.layers.pixels import to_pixels, to_rgb
from ...networks.layers.resample import enlarge, resample
from ...networks.msrnet.network import REFERENCES, MSRNet
from ..losses.losses import Criterion
from ..recipe import Recipe
from .degrade import DEGRADATIONS

COUNTED = 4
"""References that a training's score is measured with; the paper finds four the best."""
ALONE = 1 / 6
"""Share of the faces that learn without a reference."""
CHUNK = 8
"""Faces that are measured at a time."""
Describe = Callable[[Tensor], Tensor]
"""(N, 3, side, side) small faces -> (N, D); alike faces are near each other in L1."""


@dataclass(frozen=True, eq=False)
class AlikeFaces:
    """A batch.

    Args:
        lr: (N, 3, side, side) RGB in [0, 1], of whole 8-bit steps.
        hr: (N, 3, scale·side, scale·side) RGB in [0, 1].
        others: (N, R) the faces of the batch that each may borrow from, the nearest first.
        present: (N, R) 1 where it does, 0 where it has to do without.
    """

    lr: Tensor
    hr: Tensor
    others: Tensor
    present: Tensor


class FacesWithReferences:
    """Groups of faces that look alike, each the others' reference: a `Task` for MSRNet.

    A batch is a face drawn at random and some of its nearest, by L1 between the small pictures, mirrored where that
    brings them nearer. Each is encoded once and serves all others, so that five references cost as much as one. How
    many they are given is drawn for each batch, one to five, and one face in six has to do without any.

    Args:
        recipe: batch (faces of a group), crop, degradation and losses are read from it.
        faces: folder of training faces; they are also the library that held-out faces borrow from.
        held_out: folder of faces to evaluate on; none leaves evaluation out.
        criterion: the recipe's losses; none to make it of those that need nothing more.

    Raises:
        InputError: a picture is too small or cannot be read, or there is but one.
    """

    def __init__(self, recipe: Recipe, faces: Path, held_out: Path | None, criterion: Criterion | None = None) -> None:
        self.recipe = recipe
        self.scale = int(recipe.config["scale"])
        self.degrade = DEGRADATIONS[recipe.degradation]
        self.criterion = criterion or Criterion(recipe.losses)
        self.faces = read_faces(faces, least=recipe.crop)
        if len(self.faces) < 2:
            raise InputError(f"expected 2 faces or more in {faces}, got 1; faces borrow from each other")
        if recipe.batch < 2:
            raise UsageError(f"expected a batch of 2 faces or more, got {recipe.batch}; they borrow from each other")
        self.centres = np.stack([center_crop(face, recipe.crop) for face in self.faces])
        both = np.concatenate((self.centres, self.centres[:, :, ::-1]))
        points = pixels(to_rgb(torch.from_numpy(low_resolution(both, self.scale))))
        self.alike = neighbours(points, min(2 * (recipe.batch - 1), len(self.faces) - 1)).numpy()
        self.held_out = None
        if held_out is not None:
            hr = np.stack([center_crop(face, recipe.crop) for face in read_faces(held_out, least=recipe.crop)])
            small = low_resolution(hr, self.scale)
            self.held_out = (hr, mean_db(psnr_y(enlarged_by_bicubic(small, self.scale), hr)))

    def batch(self, rng: np.random.Generator) -> AlikeFaces:
        """A group, each face cropped at random, all mirrored or none, and how much each may borrow."""
        first = int(rng.integers(len(self.faces)))
        others = rng.choice(
            self.alike[first], self.recipe.batch - 1, replace=len(self.alike[first]) < self.recipe.batch - 1
        )
        mirror = rng.random() < 0.5
        samples = []
        for index in (first, *others):
            face, crop = self.faces[index % len(self.faces)], self.recipe.crop
            y, x = (int(rng.integers(side - crop + 1)) for side in face.shape[:2])
            sample = face[y : y + crop, x : x + crop]
            samples.append(sample[:, ::-1] if mirror != (index >= len(self.faces)) else sample)
        hr = np.stack(samples)
        lr = to_rgb(torch.from_numpy(self.degrade(hr, self.scale, rng)))
        apart = torch.cdist(pixels(lr), pixels(lr), p=1).fill_diagonal_(torch.inf)
        nearest = apart.argsort(1)[:, : min(REFERENCES, len(lr) - 1)]  # (N, R)
        nearest = nearest[:, : int(rng.integers(1, nearest.shape[1] + 1))]
        alone = torch.from_numpy(rng.random(len(lr)) < ALONE)
        present = torch.where(alone[:, None], 0.0, 1.0).expand(nearest.shape)
        return AlikeFaces(lr, to_rgb(torch.from_numpy(hr)), nearest, present)

    def loss(self, network: nn.Module, batch: AlikeFaces) -> Tensor:
        """Loss between the enlargements and the truth; a face's features are those that it lends by."""
        net = cast(MSRNet, network)
        large = enlarge(batch.lr, net.first_scale)
        poor = net.local(large)
        keys, values = net.kept(net.local(lendable(batch.hr, net)), poor)
        sr = net.restored(large, poor, keys[batch.others], values[batch.others], batch.present)
        return self.criterion(sr.float(), batch.hr)

    def to(self, device: torch.device) -> None:
        """Move what the loss is reckoned with."""
        self.criterion.to(device)

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Mean Y-PSNR of held-out faces with four references, its gain over bicubic, the gain without any, in dB."""
        if self.held_out is None:
            return {}
        hr, bicubic = self.held_out
        quality = ablation(cast(MSRNet, network), hr, self.centres, (0, COUNTED))
        gains = {"gain_db": quality[COUNTED] - bicubic, "gain_without_references_db": quality[0] - bicubic}
        return {"psnr_y_db": quality[COUNTED], **gains}


def lendable(large: Tensor, network: MSRNet) -> Tensor:
    """(N, 3, scale·side, scale·side) faces as references: at the size of the network's first result."""
    return large if network.first_scale == network.scale else resample(large, network.large_side, network.large_side)


def pixels(small: Tensor) -> Tensor:
    """(N, 3, side, side) -> (N, D): the small pictures themselves; the plainest `Describe`."""
    return small.flatten(1)


def neighbours(points: Tensor, number: int) -> Tensor:
    """For each face the faces most like it, mirrored where that is nearer.

    Args:
        points: (2·F, D) of F faces and of the same mirrored.
        number: how many, fewer than F.

    Returns:
        (F, number) int64, nearest first; F and more are mirrored faces.
    """
    count = len(points) // 2
    far = torch.cdist(points[:count], points, p=1)  # (F, 2·F)
    straight, mirrored = far[:, :count], far[:, count:]
    apart = torch.minimum(straight, mirrored).fill_diagonal_(torch.inf)
    chosen = apart.topk(number, largest=False).indices
    result: Tensor = chosen + count * (mirrored < straight).gather(1, chosen).long()
    return result


@torch.inference_mode()
def ablation(
    network: MSRNet,
    faces: Pictures,
    library: Pictures,
    counts: Iterable[int] = range(REFERENCES + 1),
    describe: Describe = pixels,
) -> dict[int, float]:
    """Quality by the number of references (the paper's table 2).

    Args:
        network: in evaluation mode.
        faces: (N, scale·side, scale·side, 3) uint8 BGR.
        library: (M, scale·side, scale·side, 3) uint8 BGR of other people; each serves mirrored as well.
        counts: numbers of references, the nearest ones.
        describe: what nearness is measured on; the network's own `embedding` is another.

    Returns:
        Number of references -> mean Y-PSNR in dB of the rounded output.
    """
    counts, device = tuple(counts), next(network.parameters()).device
    small = low_resolution(faces, network.scale)
    both = np.concatenate((library, library[:, :, ::-1]))
    near = nearest(small, low_resolution(both, network.scale), max(1, *counts), describe)  # (N, R)
    scores: dict[int, list[NDArray[np.float64]]] = {count: [] for count in counts}
    for at in range(0, len(faces), CHUNK):
        x, chosen = to_rgb(torch.from_numpy(small[at : at + CHUNK]).to(device)), near[at : at + CHUNK]
        encoded = [network.encode(lendable(to_rgb(torch.from_numpy(both[of]).to(device)), network)) for of in chosen]
        keys, values = (torch.stack(parts) for parts in zip(*encoded, strict=True))
        for count in counts:
            sr = network(x, keys[:, :count], values[:, :count]) if count else network(x)
            scores[count].append(psnr_y(to_pixels(sr).cpu().numpy(), faces[at : at + CHUNK]))
    return {count: mean_db(np.concatenate(parts)) for count, parts in scores.items()}


def nearest(small: Pictures, library: Pictures, number: int, describe: Describe = pixels) -> NDArray[np.int64]:
    """Equation 3: the library's pictures most like each face.

    Args:
        small: (N, side, side, 3) uint8 BGR.
        library: (M, side, side, 3) uint8 BGR, shrunken as the faces were.
        number: how many.
        describe: what nearness is measured on.

    Returns:
        (N, number) int64 places in the library, nearest first.
    """
    points, others = (
        torch.cat([describe(to_rgb(torch.from_numpy(part))) for part in np.array_split(of, -(-len(of) // CHUNK))])
        for of in (small, library)
    )
    chosen = torch.cdist(points, others, p=1).topk(number, largest=False).indices
    return np.asarray(chosen.numpy(), np.int64)

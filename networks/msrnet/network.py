"""MSRNet: faces enlarged eightfold, or sixteenfold, with detail lent by faces of other people.

Source: R. Wang et al., "Face super-resolution based on multi-source references", equations 1 to 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.resample import enlarge, resample
from ..layers.sub_pixel import check_sizes, init_residual
from .features import LocalFeatures, ResidualBlock, residual_blocks
from .fusion import CrossScaleFusion, ReferenceShares
from .patch_matching import BLOCK, WINDOW, matches, patches, taken
from .self_mining import SelfDoubling
from .swin import init_swin

REFERENCES = 5
"""Slots of an exported graph; the paper tries 1 to 5."""
POOLED = 4
"""Rows and columns that a layer's features are averaged to before references are chosen by them."""


class MSRNet(nn.Module):
    """Section II.B: local features, external mining over any number of references, cross-scale fusion.

    That is stage 1, by 4 or 8. At a scale of 16 stage 2 doubles what the first gave eightfold; references have the size
    of the first result then.

    Where the paper is silent, chosen here: the small face is enlarged by bicubic before the feature extractor, so
    that it and a shrunken, enlarged reference lie in one space; a reference lends the *difference* of its features and
    those of its shrunken self, which is what the small face lacks, and nothing when there is no reference; patches are
    matched on a narrow projection of the features at s = 4.

    Args:
        width: channels at s = 1; twice and four times as many at s = 2 and 4 (paper: 64 at each, see ``growth``).
        growth: factor of the channels from scale to scale; 1 for the paper's.
        blocks: residual blocks of each set of the feature extractor.
        trunk: residual blocks at s = 4 behind the first fusion.
        scale: 4, 8 or 16.
        side: of the small face in pixels; the graph is made for this one.
        match_width: channels that patches are compared by.
        seeing: channels of stage 2's global features, a multiple of 16.
        bicubic_skip: add the enlarged input to the output; the paper has no such skip.
    """

    def __init__(
        self,
        width: int = 16,
        growth: int = 2,
        blocks: int = 1,
        trunk: int = 3,
        scale: int = 8,
        side: int = 16,
        match_width: int = 16,
        seeing: int = 32,
        bicubic_skip: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(width=width, growth=growth, blocks=blocks, trunk=trunk, side=side, match_width=match_width)
        if scale not in (4, 8, 16):
            raise ValueError(f"scale {scale} is not to be had; it is 4, 8 or 16")
        if scale == 16 and seeing % 16:
            raise ValueError(f"seeing must be a multiple of 16, not {seeing}")
        self.scale = scale
        self.first_scale = min(scale, 8)
        self.side = side
        self.large_side = side * self.first_scale  # of the first result and of references
        self.grid = self.large_side // 4
        if self.large_side % (4 * BLOCK) or self.grid < WINDOW:
            raise ValueError(f"side {side} times {self.first_scale} must be a multiple of 16, and 32 or more")
        self.bicubic_skip = bicubic_skip
        widths = (width, width * growth, width * growth**2)
        self.local = LocalFeatures(widths, blocks)
        self.matched = nn.Conv2d(widths[2], match_width, 1)
        self.shares = ReferenceShares()
        self.fusion_4 = nn.Conv2d(2 * widths[2], widths[2], 3, padding=1)
        self.trunk = residual_blocks(trunk, widths[2])
        self.fusion_2 = CrossScaleFusion(widths[2], widths[1])
        self.after_2 = ResidualBlock(widths[1])
        self.fusion_1 = CrossScaleFusion(widths[1], widths[0])
        self.after_1 = ResidualBlock(widths[0])
        self.tail = nn.Conv2d(widths[0], 3, 3, padding=1)
        self.doubling = SelfDoubling(widths, seeing) if scale == 16 else None
        tails = [self.tail, *([self.doubling.tail] if self.doubling else [])]
        ends = [module.second for module in self.modules() if isinstance(module, ResidualBlock)]
        fusions = [
            layer for module in self.modules() if isinstance(module, CrossScaleFusion) for layer in module.damped
        ]
        init_residual(self, [*ends, *fusions, *tails])
        for tail in tails:
            tail.weight.data.mul_(0.1)
        init_swin(self)

    def forward(
        self, x: Tensor, keys: Tensor | None = None, values: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Enlarge faces.

        Args:
            x: (N, 3, side, side), RGB in [0, 1].
            keys: (N, R, L, P) float32 of R references a face, see `encode`; none for no references.
            values: (N, R, L, V) with them.
            present: (N, R) 1 for a reference, 0 for an empty slot, whose keys and values are ignored if finite;
                none where all are there.

        Returns:
            (N, 3, scale·side, scale·side), RGB near [0, 1], not clipped.
        """
        large = enlarge(x, self.first_scale)
        return self.restored(large, self.local(large), keys, values, present)

    def encode(self, references: Tensor) -> tuple[Tensor, Tensor]:
        """What a library keeps of a reference.

        Args:
            references: (M, 3, large_side, large_side), RGB in [0, 1].

        Returns:
            keys: (M, L, P) float32, L = (large_side / 4)² positions at s = 4, P = 9·match_width, each of norm 1: what
                a small face is compared with.
            values: (M, L, V) what each position lends, at s = 1, 2 and 4 one after the other.
        """
        poor = self.local(enlarge(self.shrunken(references), self.first_scale))
        return self.kept(self.local(references), poor)

    def kept(self, rich: list[Tensor], poor: list[Tensor]) -> tuple[Tensor, Tensor]:
        """`encode` from the local features of references and of their shrunken, enlarged selves."""
        one, two, four = (a - b for a, b in zip(rich, poor, strict=True))
        laid = torch.cat((F.pixel_unshuffle(one, 4), F.pixel_unshuffle(two, 2), four), 1)  # (M, V, grid, grid)
        return patches(self.matched(poor[2])), laid.flatten(2).transpose(1, 2)

    def restored(
        self,
        large: Tensor,
        features: list[Tensor],
        keys: Tensor | None = None,
        values: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        """`forward` from the enlarged face and its local features."""
        one, two, four = self._lent(features, keys, values, present)
        merged = self.fusion_4(torch.cat((features[2], four), 1))
        merged = features[2] + self.trunk(merged)
        merged = self.after_2(self.fusion_2(features[1], merged, features[1] + two))
        merged = self.after_1(self.fusion_1(features[0], merged, features[0] + one))
        first: Tensor = self.tail(merged)
        first = first + large if self.bicubic_skip else first
        return first if self.doubling is None else self.doubling(first, features, self.bicubic_skip)

    def embedding(self, x: Tensor) -> Tensor:
        """Where a small face stands among others: their L1 distance is that of equation 2, on this network's layers.

        A reference is shrunken first (`shrunken`), so that like is compared with like.

        Args:
            x: (N, 3, side, side), RGB in [0, 1].

        Returns:
            (N, E) float32.
        """
        layers = self.local(enlarge(x, self.first_scale))
        pooled = [F.avg_pool2d(layer, layer.shape[2] // POOLED).flatten(1) for layer in layers]
        return torch.cat(pooled, 1).float()

    def shrunken(self, pictures: Tensor) -> Tensor:
        """(M, 3, large_side, large_side) -> (M, 3, side, side): antialiased bicubic in whole 8-bit steps."""
        return (resample(pictures, self.side, self.side) * 255).round().clamp(0, 255) / 255

    def _lent(
        self, features: list[Tensor], keys: Tensor | None, values: Tensor | None, present: Tensor | None
    ) -> list[Tensor]:
        """What references add to the features of the face at s = 1, 2, 4."""
        if keys is None or values is None:
            return [torch.zeros_like(layer) for layer in features]
        queries = patches(self.matched(features[2]))  # (N, L, P)
        rows = matches(queries, keys, self.grid)
        similarity = (queries[:, None] * taken(rows, keys)).sum(-1)  # (N, R, L), equation 4
        there = torch.ones(keys.shape[:2], device=keys.device) if present is None else present
        fused = self.shares(taken(rows, values), similarity, there)  # (N, L, V)
        laid = fused.transpose(1, 2).reshape(fused.shape[0], -1, self.grid, self.grid)
        widths = (16 * features[0].shape[1], 4 * features[1].shape[1], features[2].shape[1])
        one, two, four = laid.split(widths, 1)
        return [F.pixel_shuffle(one, 4), F.pixel_shuffle(two, 2), four]

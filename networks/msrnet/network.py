"""MSRNet: face super-resolution ×4, ×8 or ×16 with detail from reference faces of other people.

Source: R. Wang et al., "Face super-resolution based on multi-source references", equations 1 to 8.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.resample import enlarge, resample
from ..layers.sub_pixel import check_scale, check_sizes, init_residual
from .features import LocalFeatures, ResidualBlock, residual_blocks
from .fusion import CrossScaleFusion, ReferenceShares
from .patch_matching import BLOCK, WINDOW, gather_rows, match_patches, patches
from .self_mining import SelfDoubling
from .swin import init_swin

REFERENCES = 5
"""Reference slots of an exported graph; the paper tests 1 to 5."""
POOLED = 4
"""Rows and columns to which features are average-pooled for the embedding."""


class MSRNet(nn.Module):
    """Section II.B: local features, patch matching in any number of references, cross-scale fusion.

    This is stage 1, for scales 4 and 8. At a scale of 16, stage 2 upscales the ×8 output of stage 1 by 2; references
    have the size of the stage 1 output.

    Not specified by the paper and chosen here: the low-resolution face is upsampled by bicubic before the feature
    extractor, so that it is comparable to a degraded reference; a reference contributes the *difference* of its
    features and those of its degraded version, which is the detail that the face lacks, and 0 without a reference;
    patches are matched on a narrow projection of the features at s = 4.

    Names of submodules are keys of published weights files.

    Args:
        width: channels at s = 1; twice and four times as many at s = 2 and 4 (paper: 64 at each, see ``growth``).
        growth: factor of the channels from scale to scale; 1 in the paper.
        blocks: residual blocks of each set of the feature extractor.
        trunk: residual blocks at s = 4 after the first fusion.
        scale: 4, 8 or 16.
        side: side of the low-resolution face in pixels; fixed in the graph.
        match_width: channels of the projection for patch matching.
        global_channels: channels of the global features of stage 2, a multiple of 16.
        bicubic_skip: add the bicubic image to the output; not in the paper.
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
        global_channels: int = 32,
        bicubic_skip: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(width=width, growth=growth, blocks=blocks, trunk=trunk, side=side, match_width=match_width)
        check_scale(scale, (4, 8, 16))
        if scale == 16 and global_channels % 16:
            raise ValueError(f"global_channels must be a multiple of 16, not {global_channels}")
        self.scale = scale
        self.first_scale = min(scale, 8)
        self.side = side
        self.large_side = side * self.first_scale  # of the stage 1 output and of references
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
        self.doubling = SelfDoubling(widths, global_channels) if scale == 16 else None
        tails = [self.tail, *([self.doubling.tail] if self.doubling else [])]
        block_ends = [module.second for module in self.modules() if isinstance(module, ResidualBlock)]
        fusions = [module for module in self.modules() if isinstance(module, CrossScaleFusion)]
        fusion_ends = [layer for fusion in fusions for layer in fusion.branch_ends]
        init_residual(self, [*block_ends, *fusion_ends, *tails])
        for tail in tails:
            tail.weight.data.mul_(0.1)
        init_swin(self)

    def forward(
        self, x: Tensor, keys: Tensor | None = None, values: Tensor | None = None, present: Tensor | None = None
    ) -> Tensor:
        """Upscale faces.

        Args:
            x: (N, 3, side, side), RGB in [0, 1].
            keys: (N, R, L, P) of R references per face, see `encode`; matched in their dtype. None without references.
            values: (N, R, L, V) of the references.
            present: (N, R) 1 for a reference, 0 for an empty slot, whose keys and values are ignored if finite; None if
                all slots are used.

        Returns:
            (N, 3, scale·side, scale·side), RGB near [0, 1], not clipped.
        """
        bicubic = enlarge(x, self.first_scale)
        return self.decode(bicubic, self.local(bicubic), keys, values, present)

    def encode(self, references: Tensor) -> tuple[Tensor, Tensor]:
        """Features of references, as stored in a reference library.

        Args:
            references: (M, 3, large_side, large_side), RGB in [0, 1].

        Returns:
            keys: (M, L, P) float32 patches for matching, L = (large_side / 4)² positions at s = 4, P = 9·match_width,
                each of norm 1.
            values: (M, L, V) detail of each position, of s = 1, 2 and 4 concatenated.
        """
        degraded = self.local(enlarge(self.downsampled(references), self.first_scale))
        return self.encode_features(self.local(references), degraded)

    def encode_features(self, features: list[Tensor], degraded: list[Tensor]) -> tuple[Tensor, Tensor]:
        """`encode` from the local features of references and of their degraded versions."""
        one, two, four = (a - b for a, b in zip(features, degraded, strict=True))
        detail = torch.cat((F.pixel_unshuffle(one, 4), F.pixel_unshuffle(two, 2), four), 1)  # (M, V, grid, grid)
        return patches(self.matched(degraded[2])), detail.flatten(2).transpose(1, 2)

    def decode(
        self,
        bicubic: Tensor,
        features: list[Tensor],
        keys: Tensor | None = None,
        values: Tensor | None = None,
        present: Tensor | None = None,
    ) -> Tensor:
        """`forward` from the bicubic image and its local features."""
        one, two, four = self._reference_features(features, keys, values, present)
        merged = self.fusion_4(torch.cat((features[2], four), 1))
        merged = features[2] + self.trunk(merged)
        merged = self.after_2(self.fusion_2(features[1], merged, features[1] + two))
        merged = self.after_1(self.fusion_1(features[0], merged, features[0] + one))
        first: Tensor = self.tail(merged)
        first = first + bicubic if self.bicubic_skip else first
        return first if self.doubling is None else self.doubling(first, features, self.bicubic_skip)

    def embedding(self, x: Tensor) -> Tensor:
        """Descriptor for choosing references: L1 distances are those of equation 2, on the layers of this network.

        References are downsampled first (`downsampled`), so that they are comparable to low-resolution faces.

        Args:
            x: (N, 3, side, side), RGB in [0, 1].

        Returns:
            (N, E) float32.
        """
        layers = self.local(enlarge(x, self.first_scale))
        pooled = [F.avg_pool2d(layer, layer.shape[2] // POOLED).flatten(1) for layer in layers]
        return torch.cat(pooled, 1).float()

    def downsampled(self, images: Tensor) -> Tensor:
        """(M, 3, large_side, large_side) -> (M, 3, side, side): antialiased bicubic, rounded to 8 bits."""
        return (resample(images, self.side, self.side) * 255).round().clamp(0, 255) / 255

    def _reference_features(
        self, features: list[Tensor], keys: Tensor | None, values: Tensor | None, present: Tensor | None
    ) -> list[Tensor]:
        """Detail from the references for the features of the face at s = 1, 2, 4."""
        if keys is None or values is None:
            return [torch.zeros_like(layer) for layer in features]
        queries = patches(self.matched(features[2]))  # (N, L, P)
        rows = match_patches(queries, keys, self.grid)
        similarity = (queries[:, None] * gather_rows(rows, keys)).sum(-1)  # (N, R, L), equation 4
        slots = torch.ones(keys.shape[:2], device=keys.device) if present is None else present
        fused = self.shares(gather_rows(rows, values), similarity, slots)  # (N, L, V)
        maps = fused.transpose(1, 2).reshape(fused.shape[0], -1, self.grid, self.grid)
        widths = (16 * features[0].shape[1], 4 * features[1].shape[1], features[2].shape[1])
        one, two, four = maps.split(widths, 1)
        return [F.pixel_shuffle(one, 4), F.pixel_shuffle(two, 2), four]

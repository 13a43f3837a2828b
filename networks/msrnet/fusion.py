"""Fusion of reference features: over several references, then across scales.

Source: the MSRNet paper, section II.B, equations 5 to 7.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.resample import enlarge, resample

ABSENT = -1e4
"""Added to the score of an empty slot: its weight is exactly 0, in FP16 too."""


class ReferenceShares(nn.Module):
    """Weighted mean of the references' patches, by a softmax over their similarities.

    The paper calls the selection adaptive without details. Here "no reference" takes part with a score of 0, and a
    similarity below a threshold scores less than that; sharpness and threshold are trained.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.threshold = nn.Parameter(torch.tensor(0.5))

    def forward(self, values: Tensor, similarity: Tensor, present: Tensor) -> Tensor:
        """Weighted mean of the references.

        Args:
            values: (N, R, L, V) features of each reference for each position.
            similarity: (N, R, L) float32, -1..1.
            present: (N, R) 1 for a reference, 0 for an empty slot.

        Returns:
            (N, L, V); exactly 0 without a reference.
        """
        similarity = similarity.float()
        scores = self.sharpness.float() * (similarity - self.threshold.float())
        scores = scores + ABSENT * (1 - present.float())[..., None]
        no_reference = torch.zeros_like(scores[:, :1])
        weights = torch.softmax(torch.cat((scores, no_reference), 1), 1)[:, :-1]  # (N, R, L)
        return ((weights * similarity).to(values.dtype)[..., None] * values).sum(1)


class CrossScaleFusion(nn.Module):
    """CDFM, cross-scale dual-residual fusion: equations 5 to 7.

    *low* is the map of half the side, *hi* the larger one. Up and Down of the paper match these sizes and its Deconv
    only if they are exchanged, as here. Deconv is a sub-pixel step, and the 1×1 convolution of equation 6 precedes the
    upsampling, with which it commutes. Deviation: equation 7 concatenates F'_Ref and F'_LR as they are; here F'_LR
    passes a ReLU first.

    Args:
        low: channels of the smaller map.
        hi: channels of the larger one.
    """

    def __init__(self, low: int, hi: int) -> None:
        super().__init__()
        self.to_low = nn.Conv2d(hi, low, 3, padding=1)
        widen = nn.Conv2d(low, 4 * hi, 1)
        self.to_hi = nn.Sequential(widen, nn.PixelShuffle(2))
        self.narrow = nn.Conv2d(low, hi, 1)
        self.face = nn.Conv2d(hi, hi, 3, padding=1)
        self.both = nn.Conv2d(2 * hi, hi, 3, padding=1)
        self.branch_ends = (widen, self.face)

    def forward(self, hi: Tensor, low: Tensor, reference: Tensor) -> Tensor:
        """Fuse face and reference features.

        Args:
            hi: (N, C, 2H, 2W) features of the face.
            low: (N, D, H, W) features of the face, enhanced at the smaller scale.
            reference: (N, C, 2H, 2W) features of the references.

        Returns:
            (N, C, 2H, 2W).
        """
        difference = self.to_low(resample(reference, low.shape[2], low.shape[3])) - low  # equation 5
        reference_residual = reference + self.to_hi(difference)
        face_residual = self.face(hi - enlarge(self.narrow(low), 2) + reference)  # equation 6
        result: Tensor = self.both(torch.cat((reference_residual, F.relu(face_residual)), 1))  # equation 7
        return result

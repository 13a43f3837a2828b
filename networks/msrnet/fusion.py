"""What references lend a face: several of them made one, and that one merged across scales.

Source: the MSRNet paper, section II.B, equations 5 to 7.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.resample import enlarge, resample

ABSENT = -1e4
"""Added to the score of a reference that is not there: its share is exactly 0, in FP16 too."""


class ReferenceShares(nn.Module):
    """One patch of several references' patches: a softmax over how alike they are.

    The paper calls the choice adaptive and does not give it. Here a patch that is less alike than a threshold counts
    less than taking none at all, which scores 0; sharpness and threshold are learnt.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        self.threshold = nn.Parameter(torch.tensor(0.5))

    def forward(self, values: Tensor, similarity: Tensor, present: Tensor) -> Tensor:
        """Weighted mean of the references.

        Args:
            values: (N, R, L, V) what each reference has for each position.
            similarity: (N, R, L) float32, -1..1.
            present: (N, R) 1 for a reference that is there, 0 for an empty slot.

        Returns:
            (N, L, V); exactly 0 where no reference is there.
        """
        similarity = similarity.float()
        scores = self.sharpness.float() * (similarity - self.threshold.float())
        scores = scores + ABSENT * (1 - present.float())[..., None]
        none = torch.zeros_like(scores[:, :1])
        shares = torch.softmax(torch.cat((scores, none), 1), 1)[:, :-1]  # (N, R, L)
        return ((shares * similarity).to(values.dtype)[..., None] * values).sum(1)


class CrossScaleFusion(nn.Module):
    """CDFM, the cross-scale dual-residual fusion: equations 5 to 7.

    *low* is the map of half the side, *hi* the larger one. The paper's Up and Down fit these sizes, and its Deconv,
    only when exchanged; so they are here. Its Deconv is a sub-pixel step, and the convolution of equation 6 comes
    before the enlargement, which it commutes with, being 1×1.

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
        self.damped = (widen, self.face)

    def forward(self, hi: Tensor, low: Tensor, reference: Tensor) -> Tensor:
        """Merge.

        Args:
            hi: (N, C, 2H, 2W) the face's features.
            low: (N, D, H, W) the face's features, enhanced before.
            reference: (N, C, 2H, 2W) the references' features.

        Returns:
            (N, C, 2H, 2W).
        """
        missing = self.to_low(resample(reference, low.shape[2], low.shape[3])) - low  # equation 5
        of_reference = reference + self.to_hi(missing)
        of_face = self.face(hi - enlarge(self.narrow(low), 2) + reference)  # equation 6
        result: Tensor = self.both(torch.cat((of_reference, F.relu(of_face)), 1))  # equation 7
        return result

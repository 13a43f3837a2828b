"""Our own network for cameras: a stack of plain 3×3 convolutions that every runtime fuses, and that INT8 hardly hurts.

While it trains each of them is a sum of branches; a fold makes one kernel of them, the same function to the last bits.

Source of the idea to train branches and to deploy their sum: X. Ding et al., "RepVGG: making VGG-style ConvNets great
again", 2021; of a wide branch of 1×1 and 3×3: X. Zhang et al., "Edge-oriented convolution block for real-time super
resolution on mobile devices", 2021.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.resample import enlarge
from ..layers.sub_pixel import check_sizes, init_residual

EXPANSION = 2
"""Channels inside the wide branch, over the width."""
SIZES = {"nano": (32, 5), "tiny": (48, 8), "small": (64, 12)}
"""Name -> width and depth: up to 0.07, 0.20 and 0.50 GMAC for a face of 32×32 at a scale of 4."""


class RepConv(nn.Module):
    """A 3×3 convolution as the sum of a 3×3, a 1×1, a 1×1 that widens before another 3×3, and the identity.

    The sum is taken of the kernels, not of what they give: it costs hardly more than the plain one.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.square = nn.Conv2d(width, width, 3, padding=1)
        self.point = nn.Conv2d(width, width, 1, bias=False)
        self.widen = nn.Conv2d(width, EXPANSION * width, 1, bias=False)
        self.narrow = nn.Conv2d(EXPANSION * width, width, 3, bias=False)

    def kernel(self) -> Tensor:
        """(C, C, 3, 3) of the sum."""
        wide = torch.einsum("omyx,mi->oiyx", self.narrow.weight, self.widen.weight[:, :, 0, 0])
        point = self.point.weight[:, :, 0, 0] + torch.eye(len(wide), dtype=wide.dtype, device=wide.device)
        return self.square.weight + wide + F.pad(point[..., None, None], (1, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return F.conv2d(x, self.kernel(), self.square.bias, padding=1)

    def folded(self) -> nn.Conv2d:
        """The plain convolution that does the same."""
        plain = copy.deepcopy(self.square)
        with torch.no_grad():
            plain.weight.copy_(self.kernel())
        return plain


class Edge(nn.Module):
    """3×3 convolutions with ReLU, one sub-pixel step at the end, and the bicubic picture added.

    Args:
        width: channels.
        depth: convolutions between the first and the last.
        scale: 2, 3, 4 or 8.
        branches: train each inner convolution as a sum, see `RepConv`; `folded` has none.
    """

    def __init__(self, width: int = 48, depth: int = 8, scale: int = 4, branches: bool = False) -> None:
        super().__init__()
        check_sizes(width=width, depth=depth)
        if scale not in (2, 3, 4, 8):
            raise ValueError(f"scale {scale} is not to be had; it is one of 2, 3, 4, 8")
        self.scale = scale
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.ModuleList(
            RepConv(width) if branches else nn.Conv2d(width, width, 3, padding=1) for _ in range(depth)
        )
        self.tail = nn.Conv2d(width, 3 * scale * scale, 3, padding=1)
        damped = [self.tail]
        for layer in self.body:
            if isinstance(layer, RepConv):
                damped += [layer.square, layer.point, layer.narrow]
        init_residual(self, damped)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), RGB in [0, 1] -> (N, 3, scale·H, scale·W), RGB near [0, 1], not clipped."""
        return self.residual(x) + enlarge(x, self.scale)

    def residual(self, x: Tensor) -> Tensor:
        """What is added to the bicubic picture; shapes as in `forward`."""
        feature = F.relu(self.head(x))
        for layer in self.body:
            feature = F.relu(layer(feature))
        return F.pixel_shuffle(self.tail(feature), self.scale)

    def in_bgr(self) -> Edge:
        """A copy that takes and gives BGR: red and blue change places in its first and its last convolution."""
        swapped = copy.deepcopy(self)
        with torch.no_grad():
            swapped.head.weight.copy_(self.head.weight.flip(1))
            for ours, theirs in zip(swapped.tail.parameters(), self.tail.parameters(), strict=True):
                ours.copy_(theirs.view(3, -1, *theirs.shape[1:]).flip(0).flatten(0, 1))
        return swapped

    def branched(self, folded: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a folded network as this one's: its branches keep theirs, and the 3×3 one takes the rest."""
        found = dict(folded)
        for place, layer in enumerate(self.body):
            weight, bias = (folded.get(f"body.{place}.{name}") for name in ("weight", "bias"))
            if not isinstance(layer, RepConv) or weight is None or bias is None:
                continue
            if weight.shape == layer.square.weight.shape:
                with torch.no_grad():
                    rest = weight.float() - (layer.kernel() - layer.square.weight)
                own = {**layer.state_dict(), "square.weight": rest, "square.bias": bias}
                found |= {f"body.{place}.{name}": value for name, value in own.items()}
                del found[f"body.{place}.weight"], found[f"body.{place}.bias"]
        return found

    def folded(self) -> Edge:
        """A copy without branches, the same function."""
        plain = copy.deepcopy(self)
        for place, layer in enumerate(self.body):
            if isinstance(layer, RepConv):
                plain.body[place] = layer.folded()
        return plain

"""How a frame is looked at: at which scale, in how many pieces, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..engines.contract import Contract
from ..engines.errors import UsageError
from .tiles import Tile, tiles, whole

SMALLEST_FACE = 8
"""Side in pixels of the smallest face that the network is made for."""
ARRIVAL = 10
"""Side in pixels at which the smallest face asked for reaches a network that is shown another size than the frame's.
Of faces from 24 px, at a least face of 20 px, YuNet finds 97.0 % if it arrives with 8 px, 97.4 % with 10, 98.5 % with
12 for 1.4 times the pixels, and 98.9 % in the whole frame; of faces from 40 px, at 40, it is 90.9, 95.7 and 97.6 %."""
LEAST_SHRUNK = 12
"""Below this face the frame is seen as it is: shrinking it by less than a sixth takes as long as the network saves."""
LARGEST_FACE = 320
"""Side in pixels of the largest face that the network takes for one; of a larger one it sees parts."""
MOST_ENLARGED = 2.0
LARGEST_TILE_WH = (2048, 1152)
"""Most that a network of any size is shown at once, in its own pixels: a 1080p frame, or a quarter of a 4K one."""
OVERLAP = 128
"""Pixels of the network that neighbouring tiles share: more than the largest face that is super-resolved."""


@dataclass(frozen=True)
class Look:
    """One picture that the network is shown.

    Args:
        tile: the window of the frame.
        seen_wh: width and height that it is scaled to.
        network_hw: height and width of the picture that it is padded to.
    """

    tile: Tile
    seen_wh: tuple[int, int]
    network_hw: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """How a frame is looked at.

    Args:
        size_wh: of the frame.
        scale: pixels of the network for one of the frame, 1 where it is seen as it is.
        smallest_face: that can be hoped for, in pixels of the frame.
        looks: that together cover the frame.
        overview: one more, at the whole frame made small, for faces that are cut by tiles or too large; or none.
    """

    size_wh: tuple[int, int]
    scale: float
    smallest_face: float
    looks: tuple[Look, ...]
    overview: Look | None

    @property
    def kind(self) -> str:
        """One of "full", "reduced", "tiles" (at full size or reduced) and "enlarged" (in one piece or in tiles)."""
        if self.scale > 1:
            return "enlarged"
        return "tiles" if len(self.looks) > 1 else "reduced" if self.scale < 1 else "full"

    @property
    def megapixels(self) -> float:
        """Millions of pixels that the network is shown a frame, padding included; its time grows with them."""
        looks = [*self.looks, *([self.overview] if self.overview else [])]
        return sum(look.network_hw[0] * look.network_hw[1] for look in looks) / 1e6

    @property
    def largest_face(self) -> float:
        """Side of the largest face, in pixels of the frame, that the looks are sure to see in one piece."""
        return (LARGEST_FACE if len(self.looks) == 1 else OVERLAP) / self.scale

    def __str__(self) -> str:
        size = "full size" if self.scale == 1 else f"{self.scale:.2g} of its size"
        if self.scale > 1:
            size = f"{self.scale:.2g} times its size"
        height, width = self.looks[0].network_hw
        pieces = "whole" if len(self.looks) == 1 else f"in {len(self.looks)} tiles of {width}x{height}"
        overview = ", large faces at {}x{}".format(*self.overview.seen_wh) if self.overview else ""
        frame = "{}x{}".format(*self.size_wh)
        return (
            f"{frame} {pieces} at {size}{overview}, {self.megapixels:.2f} Mpx, faces from {self.smallest_face:.3g} px"
        )

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "kind": self.kind,
            "scale": round(self.scale, 4),
            "looks": len(self.looks),
            "look_wh": list(reversed(self.looks[0].network_hw)),
            "overview_wh": list(self.overview.seen_wh) if self.overview else None,
            "megapixels": round(self.megapixels, 3),
            "smallest_face": round(self.smallest_face, 2),
        }


def check_min_face(min_face: float) -> None:
    """Refuse a smallest face that cannot be meant.

    Raises:
        UsageError: below one pixel, or no number.
    """
    if not 1 <= min_face < math.inf:
        raise UsageError(f"min_face is {min_face}, expected pixels, 1 or more")


@lru_cache(maxsize=64)
def plan_for(width: int, height: int, min_face: float, contract: Contract) -> Plan:
    """Choose the cheapest way of looking at a frame that shows the smallest face asked for.

    Args:
        width: of the frame, pixels.
        height: of the frame, pixels.
        min_face: smallest face of interest, in pixels of the frame, 1 or more.
        contract: of the detector.

    Raises:
        UsageError: a smallest face below one pixel, or no number.
    """
    check_min_face(min_face)
    scale = 1.0 if SMALLEST_FACE <= min_face < LEAST_SHRUNK else min(MOST_ENLARGED, ARRIVAL / min_face)
    most_wh = contract.largest_hw[::-1] if contract.largest_hw else LARGEST_TILE_WH
    overlap = min(OVERLAP, min(most_wh) // 2)
    cover = tiles(width, height, _scaled(most_wh, 1 / scale, math.floor), math.ceil(overlap / scale))
    return Plan(
        size_wh=(width, height),
        scale=scale,
        smallest_face=max(min_face, SMALLEST_FACE / scale),
        looks=tuple(_look(tile, scale, contract) for tile in cover),
        overview=_overview(width, height, scale, len(cover), contract),
    )


def _overview(width: int, height: int, scale: float, looks: int, contract: Contract) -> Look | None:
    """A look at the whole frame, made a whole number of times smaller, which is the quickest way of shrinking.

    For that it may leave out the last few rows and columns, fewer than would make one of its own.
    """
    if looks == 1 and min(width, height) * scale <= 2 * LARGEST_FACE:
        return None
    smaller = math.ceil(min(width, height) / LARGEST_FACE)  # the largest face that fits is one that the network knows
    smaller = min(smaller, int(0.75 * OVERLAP / scale / ARRIVAL))  # and one that tiles may cut is large enough
    smaller = max(smaller, math.ceil(2 / scale))
    if contract.largest_hw:
        high, wide = contract.largest_hw
        smaller = max(smaller, math.ceil(width / wide), math.ceil(height / high))
    width, height = (side - side % smaller or side for side in (width, height))
    return _look(whole(width, height), 1 / smaller, contract)


def _look(tile: Tile, scale: float, contract: Contract) -> Look:
    width, height = _scaled((tile.width, tile.height), scale, round)
    return Look(tile, (width, height), contract.padded_hw(height, width))


def _scaled(size_wh: tuple[int, int], scale: float, rounded: Callable[[float], int]) -> tuple[int, int]:
    width, height = (max(1, rounded(side * scale)) for side in size_wh)
    return width, height

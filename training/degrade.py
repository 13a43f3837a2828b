"""How a face becomes small: by bicubic alone, as the papers shrink it, or as a camera would see it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..calibration.crops import low_resolution

Pictures = NDArray[np.uint8]
Degrade = Callable[[Pictures, int, np.random.Generator], Pictures]
"""(N, H, W, 3) faces, scale, what chance draws from -> (N, H / scale, W / scale, 3)."""


def bicubic(faces: Pictures, scale: int, rng: np.random.Generator) -> Pictures:
    """The papers' degradation: antialiased bicubic, rounded to 8 bits; nothing is left to chance."""
    return low_resolution(faces, scale)


DEGRADATIONS: dict[str, Degrade] = {"bicubic": bicubic}
"""Names of a recipe's `degradation`."""

"""The last crops of one face, each with its motion to the newest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .accumulation import accumulate
from .registration import IDENTITY, Affine, Gray, Template, compose, luma, register, shift, template


@dataclass(frozen=True, eq=False)
class History:
    """Registered crops of one face.

    Args:
        newest: (S, S) gray levels of the newest crop.
        origin_xy: of its window in the frame, pixels.
        earlier: older crops, the oldest first, and the motions from their positions to those of the newest crop.
        correlation: of the newest crop with the one before, -1 to 1; nan for the first one.
    """

    newest: Gray
    origin_xy: tuple[int, int]
    earlier: tuple[tuple[Gray, Affine], ...]
    correlation: float
    _template: Template
    _frame_motion: Affine

    @property
    def frames(self) -> int:
        """Number of crops, the newest included."""
        return 1 + len(self.earlier)

    def samples(self, scale: int, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Input of a multi-frame network, (2·k², S, S) float32, see `accumulate`."""
        return accumulate(self.newest, self.earlier, scale, out)


def extended(history: History | None, crop: NDArray[np.uint8], origin_xy: tuple[int, int], frames: int) -> History:
    """Add a crop. A crop that does not show the same face begins a new history.

    Args:
        history: of the face so far; None for the first crop.
        crop: (S, S, 3) uint8 BGR, of any side.
        origin_xy: of its window in the frame, pixels.
        frames: maximum number of crops, the new one included, 1 or more.
    """
    gray = luma(crop)
    new = template(gray)
    if history is None:
        return History(gray, origin_xy, (), float("nan"), new, IDENTITY)
    old_x, old_y = history.origin_xy
    new_x, new_y = origin_xy
    to_frame, from_frame = shift(old_x, old_y), shift(-new_x, -new_y)
    expected = compose(from_frame, compose(history._frame_motion, to_frame))  # it goes on as before
    starts = (expected, IDENTITY, compose(from_frame, to_frame))  # or its window has followed it, or it stands still
    found = register(history._template, new, tuple(dict.fromkeys(starts)))
    if found.failed:
        return History(gray, origin_xy, (), found.correlation, new, IDENTITY)
    motion = found.motion
    older = history.earlier[max(0, len(history.earlier) - frames + 2) :] if frames > 2 else ()
    moved = tuple((pixels, compose(motion, earlier)) for pixels, earlier in older)
    earlier = (*moved, (history.newest, motion)) if frames > 1 else ()
    frame_motion = compose(shift(new_x, new_y), compose(motion, shift(-old_x, -old_y)))
    return History(gray, origin_xy, earlier, found.correlation, new, frame_motion)

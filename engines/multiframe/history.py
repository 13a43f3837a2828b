"""The last crops of one face, each with its motion to the newest.

A new crop is registered once: to a key crop, whose place relative to all others is known. So errors do not add up from
frame to frame. Frames that follow each other closely repeat the same codec's errors; a face is therefore made from
crops that are spread over the last `SPAN` frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from .accumulation import accumulate
from .registration import (
    IDENTITY,
    Affine,
    Gray,
    Registration,
    Template,
    compose,
    inverse,
    luma,
    register,
    shift,
    template,
)

T = TypeVar("T")

SPAN = 11
"""Age in frames of the oldest crop that is kept. Behind H.264 at crf 28, five crops of the ages 0, 1, 4, 7 and 11 give
0.15 dB more than those of the ages 0 to 4; on raw frames 0.06 dB less."""
SPREAD = 1.5
"""Exponent of the ages: young crops are denser, since the face has changed less since then."""
KEY_SPAN = 6
"""Frames after which the newest crop becomes the key crop."""
SURE = 0.92
"""Correlation with the key crop below which the crop before is tried instead."""


@dataclass(frozen=True, eq=False)
class Crop:
    """A crop of a history.

    Args:
        gray: (S, S) gray levels.
        to_key: positions in it -> in the key crop.
        origin_xy: of its window in the frame, pixels.
    """

    gray: Gray
    to_key: Affine
    origin_xy: tuple[int, int] = (0, 0)


@dataclass(frozen=True, eq=False)
class History:
    """Registered crops of one face.

    Args:
        crops: of the last frames, at most `SPAN` + 1, the newest last.
        limit: maximum number of crops that a face is made from, the newest included.
        origin_xy: of the newest crop's window in the frame, pixels.
        correlation: of the newest crop with that it was registered to, -1 to 1; nan for the first one.
    """

    crops: tuple[Crop, ...]
    limit: int
    origin_xy: tuple[int, int]
    correlation: float
    _key: Template
    _newest: Template
    _key_age: int = 0
    _frame_motion: Affine = IDENTITY

    @property
    def newest(self) -> Gray:
        """(S, S) gray levels of the newest crop."""
        return self.crops[-1].gray

    @property
    def frames(self) -> int:
        """Number of crops that a face is made from, the newest included."""
        return min(self.limit, len(self.crops))

    def chosen(self, items: Sequence[T]) -> tuple[T, ...]:
        """Those of items, one for each of `crops`, that belong to the crops of `earlier`, in their order."""
        return tuple(items[-1 - age] for age in reversed(ages(len(self.crops) - 1, self.limit - 1)))

    @cached_property
    def earlier(self) -> tuple[tuple[Gray, Affine], ...]:
        """Older crops that a face is made from, the oldest first, and the motions from their positions to the newest's.

        They are spread over all that are kept, see `ages`.
        """
        to_newest = inverse(self.crops[-1].to_key)
        return tuple((crop.gray, compose(to_newest, crop.to_key)) for crop in self.chosen(self.crops))

    @cached_property
    def moved_px(self) -> float:
        """Mean distance in the frame between a face and the same face in the earlier crops, pixels.

        The larger one of both axes, at four points of the face. A face that stands still has 0 but for the errors of
        the registration: all frames sample the same places.
        """
        if not self.earlier:
            return 0.0
        x, y = self.crops[-1].origin_xy
        distances = [
            _distance(motion, len(gray), x - crop.origin_xy[0], y - crop.origin_xy[1])
            for crop, (gray, motion) in zip(self.chosen(self.crops), self.earlier, strict=True)
        ]
        return sum(distances) / len(distances)

    def samples(self, scale: int, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """Input of a multi-frame network, (2·k², S, S) float32, see `accumulate`."""
        return accumulate(self.newest, self.earlier, scale, out)


def _distance(motion: Affine, side: int, shift_x: int, shift_y: int) -> float:
    """Mean distance of four points of a crop from where they are in another one, whose window is shifted."""
    a, b, c, d, e, f = motion
    third, total = side / 3, 0.0
    for x, y in ((third, third), (2 * third, third), (third, 2 * third), (2 * third, 2 * third)):
        total += max(abs((a - 1) * x + b * y + c + shift_x), abs(d * x + (e - 1) * y + f + shift_y))
    return total / 4


def ages(available: int, count: int) -> tuple[int, ...]:
    """Ages in frames of the crops that a face is made from besides the newest, ascending.

    Args:
        available: older crops, one for each frame.
        count: maximum number of crops to choose.
    """
    count = min(count, available)
    return tuple(max(number, round(available * (number / count) ** SPREAD)) for number in range(1, count + 1))


def extended(history: History | None, crop: NDArray[np.uint8], origin_xy: tuple[int, int], frames: int) -> History:
    """Add a crop. A crop that does not show the same face begins a new history.

    Args:
        history: of the face so far; None for the first crop.
        crop: (S, S, 3) uint8 BGR, of any side.
        origin_xy: of its window in the frame, pixels.
        frames: maximum number of crops that a face is made from, the new one included, 1 or more.
    """
    gray = luma(crop)
    new = template(gray)
    first = History((Crop(gray, IDENTITY, origin_xy),), frames, origin_xy, float("nan"), new, new)
    if history is None:
        return first
    (old_x, old_y), (new_x, new_y) = history.origin_xy, origin_xy
    to_frame, from_frame = shift(old_x, old_y), shift(-new_x, -new_y)
    expected = compose(from_frame, compose(history._frame_motion, to_frame))  # it goes on as before
    standing = compose(from_frame, to_frame)
    history, found = _registered(history, new, tuple(dict.fromkeys((expected, IDENTITY, standing))))
    if found.failed:
        return replace(first, correlation=found.correlation)
    motion = compose(found.motion, history.crops[-1].to_key)
    added = History(
        (*history.crops[-SPAN:], Crop(gray, inverse(found.motion), origin_xy)),
        frames,
        origin_xy,
        found.correlation,
        history._key,
        new,
        history._key_age + 1,
        compose(shift(new_x, new_y), compose(motion, shift(-old_x, -old_y))),
    )
    return _keyed(added) if added._key_age >= KEY_SPAN else added


def _registered(history: History, new: Template, starts: tuple[Affine, ...]) -> tuple[History, Registration]:
    """Register a crop to the key crop; if that is uncertain, the one before becomes the key crop, if it fits better.

    Args:
        history: of the face.
        new: the crop.
        starts: expected motions from the crop before.
    """
    from_key = inverse(history.crops[-1].to_key)
    found = register(history._key, new, tuple(compose(start, from_key) for start in starts))
    if found.correlation < SURE and history._key is not history._newest:
        nearer = register(history._newest, new, starts)
        if nearer.correlation > found.correlation:
            return _keyed(history), nearer
    return history, found


def _keyed(history: History) -> History:
    """The same with the newest crop as the key crop."""
    to_newest = inverse(history.crops[-1].to_key)
    crops = tuple(Crop(crop.gray, compose(to_newest, crop.to_key), crop.origin_xy) for crop in history.crops)
    return replace(history, crops=crops, _key=history._newest, _key_age=0)

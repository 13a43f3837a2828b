"""Faults of tracks that a network must cope with: another face, something in front of a face, wrong motions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .cameras.tracks import Tracks

OCCLUDER = (0.15, 0.55)
"""Range of the sides of an occluder, relative to those of the crop."""
OCCLUDED = 0.6
"""Share of the earlier crops that an occluder appears in."""
MOTION_NOISE = (0.1, 0.6)
"""Range of the standard deviation of the noise on motions, pixels."""


def with_fault(track: Tracks, other: Tracks, rng: np.random.Generator) -> Tracks:
    """A copy of a track with one random fault; half of them are occluders.

    Args:
        track, other: one track each, without the first axis of `Tracks`; faults show parts of the other one.
    """
    return FAULTS[int(rng.integers(len(FAULTS)))](track, other, rng)


def another_face(track: Tracks, other: Tracks, rng: np.random.Generator) -> Tracks:
    """The first crops show another face: the track was wrong."""
    lr = track.lr.copy()
    count = int(rng.integers(1, len(lr)))
    lr[:count] = other.lr[:count]
    return track._replace(lr=lr)


def occluded_before(track: Tracks, other: Tracks, rng: np.random.Generator) -> Tracks:
    """Something is in front of the face in some earlier crops."""
    lr = track.lr.copy()
    x, y, width, height = _occluder(lr.shape[1], rng)
    crops = np.flatnonzero(rng.random(len(lr) - 1) < OCCLUDED)
    lr[crops, y : y + height, x : x + width] = other.lr[crops, y : y + height, x : x + width]
    return track._replace(lr=lr)


def occluded_now(track: Tracks, other: Tracks, rng: np.random.Generator) -> Tracks:
    """Something is in front of the face in the newest crop, and in its truth."""
    lr, hr = track.lr.copy(), track.hr.copy()
    x, y, width, height = _occluder(lr.shape[1], rng)
    lr[-1, y : y + height, x : x + width] = other.lr[-1, y : y + height, x : x + width]
    scale = len(hr) // lr.shape[1]
    x, y, width, height = (scale * value for value in (x, y, width, height))
    hr[y : y + height, x : x + width] = other.hr[y : y + height, x : x + width]
    return track._replace(lr=lr, hr=hr)


def wrong_motions(track: Tracks, other: Tracks, rng: np.random.Generator) -> Tracks:
    """The registered motions of the earlier crops are shifted."""
    registered = track.registered.copy()
    registered[:-1, :, 2] += rng.normal(0, rng.uniform(*MOTION_NOISE), (len(registered) - 1, 2))
    return track._replace(registered=registered)


FAULTS: tuple[Callable[[Tracks, Tracks, np.random.Generator], Tracks], ...] = (
    another_face,
    occluded_before,
    occluded_now,
    wrong_motions,
)


def _occluder(side: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """x, y, width and height of a box in a crop, pixels."""
    width, height = (max(1, int(side * rng.uniform(*OCCLUDER))) for _ in range(2))
    return int(rng.integers(side - width + 1)), int(rng.integers(side - height + 1)), width, height

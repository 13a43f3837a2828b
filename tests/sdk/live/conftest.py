"""Simulated cameras, and live runs on them."""

from __future__ import annotations

import numpy as np
import pytest
from facesr_edge.sdk.bench.scenes import Portrait
from facesr_edge.sdk.bench.walkers import make_view
from support.simulated import SimulatedCamera


@pytest.fixture(scope="session")
def portraits(portrait: np.ndarray) -> list[Portrait]:
    """The sample face in two lights."""
    face = portrait[:220, 20:240]
    return [Portrait(face, 2.0), Portrait(np.asarray(face * 0.7, np.uint8), 2.0)]


@pytest.fixture
def simulated(portraits):
    """Make a simulated camera: ``simulated(faces, seed=…, count=…, rate=…, speed=…)``."""

    def make(faces: int = 2, *, seed: int = 0, count: int = 0, rate: float = 10.0, **view: float) -> SimulatedCamera:
        return SimulatedCamera(make_view(portraits, faces, seed=seed, **view), count, rate)

    return make

"""Inputs for the session tests of all runtimes."""

import resource
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="module")
def crops(astronaut):
    """Side, count -> random crops of the sample image."""

    def cut(side, count):
        starts = np.random.default_rng(side).integers(0, 512 - side, (count, 2))
        return np.stack([astronaut[y : y + side, x : x + side] for y, x in starts])

    return cut


@pytest.fixture
def memory_bytes():
    """Function that returns the resident memory of this process."""
    return lambda: int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

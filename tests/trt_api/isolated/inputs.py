"""Inputs of sessions in these tests."""

import numpy as np


def images(count, height, width):
    """(N, H, W, 3) uint8 noise, the same for each count."""
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)

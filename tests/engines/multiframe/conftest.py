"""Crops of a face with known motions, drawn from a sharp picture."""

import cv2
import numpy as np
import pytest
from facesr_edge.engines.multiframe.registration import compose, inverse, shift

CENTER_XY, WIDTH = (225.0, 118.0), 128.0
"""Of a window around the astronaut's face, pixels of the picture."""


@pytest.fixture(scope="session")
def drawn(astronaut):
    """Side, motion -> (side, side, 3) crop: what is at p in the crop without motion is at motion(p) in it."""

    def draw(side, motion=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), center_xy=CENTER_XY, width=WIDTH):
        fine = 8 * side
        zoom = width / side
        corner = [value - width / 2 for value in center_xy]
        to_picture = (zoom, 0.0, corner[0] + zoom / 2 - 0.5, 0.0, zoom, corner[1] + zoom / 2 - 0.5)
        from_fine = (1 / 8, 0.0, 1 / 16 - 0.5, 0.0, 1 / 8, 1 / 16 - 0.5)
        matrix = np.reshape(compose(to_picture, compose(inverse(motion), from_fine)), (2, 3))
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        large = cv2.warpAffine(astronaut, matrix, (fine, fine), None, flags, cv2.BORDER_REPLICATE)
        return cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)

    return draw


@pytest.fixture(scope="session")
def about_center():
    """Side, angle in degrees, zoom, stretch, x, y -> that motion about the center of a crop."""

    def motion(side, angle=0.0, zoom=1.0, stretch=1.0, x=0.0, y=0.0):
        center = (side - 1) / 2
        cos, sin = zoom * np.cos(np.deg2rad(angle)), zoom * np.sin(np.deg2rad(angle))
        turned = (float(cos * stretch), float(-sin), 0.0, float(sin * stretch), float(cos), 0.0)
        return compose(shift(center + x, center + y), compose(turned, shift(-center, -center)))

    return motion


@pytest.fixture(scope="session")
def error_px():
    """Found motion, true motion, side -> root mean square distance of both over the face, pixels."""

    def error(found, true, side):
        line = np.linspace(0.2, 0.8, 7) * (side - 1)
        points = np.stack([*map(np.ravel, np.meshgrid(line, line)), np.ones(49)])
        difference = np.reshape(np.subtract(found, true), (2, 3)) @ points
        return float(np.sqrt((difference**2).sum(0).mean()))

    return error

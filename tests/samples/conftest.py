"""What the tests of the pipeline have as well."""

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def put_face(astronaut):
    """Set the portrait into a frame, its top left at x, y, its face `side` px high."""
    portrait = astronaut[0:256, 96:352]

    def put(frame, x, y, side):
        small = cv2.resize(portrait, None, fx=side / 100, fy=side / 100, interpolation=cv2.INTER_AREA)
        rows = min(small.shape[0], frame.shape[0] - y)
        columns = min(small.shape[1], frame.shape[1] - x)
        frame[y : y + rows, x : x + columns] = small[:rows, :columns]
        return np.array([x + 1.28 * side, y + 1.2 * side])

    return put

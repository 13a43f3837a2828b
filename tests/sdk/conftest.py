"""The pipeline as it ships, and frames with real faces in them."""

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.sample import astronaut as sample_picture


@pytest.fixture(scope="session")
def sr():
    with facesr_edge.load("idrn-x4", threads=2) as pipeline:
        yield pipeline


@pytest.fixture(scope="session")
def portrait():
    """(256, 256, 3): the upper middle of the sample picture, its face about 100 px high."""
    return sample_picture()[0:256, 96:352]


@pytest.fixture(scope="session")
def put_face(portrait):
    """Set the portrait into a frame, its top left at x, y, its face `side` px high; returns the face's centre."""

    def put(frame, x, y, side):
        small = cv2.resize(portrait, None, fx=side / 100, fy=side / 100, interpolation=cv2.INTER_AREA)
        rows = min(small.shape[0], frame.shape[0] - y)
        columns = min(small.shape[1], frame.shape[1] - x)
        frame[y : y + rows, x : x + columns] = small[:rows, :columns]
        return np.array([x + 1.28 * side, y + 1.2 * side])

    return put


@pytest.fixture
def grey_frame():
    return np.full((360, 640, 3), 118, np.uint8)

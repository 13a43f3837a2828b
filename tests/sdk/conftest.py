"""The pipeline as it ships, and frames with real faces in them."""

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


@pytest.fixture
def grey_frame():
    return np.full((360, 640, 3), 118, np.uint8)

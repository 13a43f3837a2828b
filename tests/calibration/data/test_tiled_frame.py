"""Frames made of pictures are full."""

import numpy as np
import pytest
from facesr_edge.calibration.data.tiled_frame import tiled_frame


@pytest.mark.parametrize("size_wh", [(640, 360), (1920, 1080), (50, 40), (333, 271)])
@pytest.mark.parametrize("shapes", [[(100, 80)], [(400, 3), (3, 400)]])
def test_a_collage_is_full_of_its_pictures(size_wh, shapes):
    pictures = [np.full((*shape, 3), 100 + 50 * n, np.uint8) for n, shape in enumerate(shapes)]
    frame = tiled_frame(pictures, size_wh)
    assert frame.shape == (size_wh[1], size_wh[0], 3)
    assert set(np.unique(frame)) <= {100, 150}

"""Tiled frames have no gaps."""

import numpy as np
import pytest
from facesr_edge.calibration.data.tiled_frame import tiled_frame


@pytest.mark.parametrize("size_wh", [(640, 360), (1920, 1080), (50, 40), (333, 271)])
@pytest.mark.parametrize("shapes", [[(100, 80)], [(400, 3), (3, 400)]])
def test_frame_is_filled_with_images(size_wh, shapes):
    images = [np.full((*shape, 3), 100 + 50 * n, np.uint8) for n, shape in enumerate(shapes)]
    frame = tiled_frame(images, size_wh)
    assert frame.shape == (size_wh[1], size_wh[0], 3)
    assert set(np.unique(frame)) <= {100, 150}

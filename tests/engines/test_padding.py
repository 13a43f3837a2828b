"""Edge padding of crops, grey padding of detector inputs."""

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.padding import GREY, copy_window, pad_edge, pad_grey

DETECTOR = IOSpec("face-detection", multiple=32)


@pytest.mark.parametrize(("size", "expected"), [((1, 1), (32, 32)), ((32, 33), (32, 64)), ((31, 64), (32, 64))])
def test_an_image_is_padded_with_grey_on_the_right_and_at_the_bottom_and_the_buffer_is_reused(size, expected):
    padded = pad_grey(np.full((*size, 3), 7, np.uint8), DETECTOR)
    assert padded.shape == (*expected, 3) and (padded[: size[0], : size[1]] == 7).all()
    assert (padded[size[0] :] == GREY).all() and (padded[:, size[1] :] == GREY).all()
    assert pad_grey(np.full((*size, 3), 9, np.uint8), DETECTOR, padded) is padded and padded[0, 0, 0] == 9


def test_an_image_of_a_valid_size_is_not_copied():
    image = np.zeros((64, 96, 3), np.uint8)
    assert pad_grey(image, DETECTOR) is image


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 2), (-2, 1), (4, -3), (-2, -3)])
def test_a_window_that_leaves_the_frame_repeats_the_nearest_edge_pixel(x, y):
    frame = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    window = np.empty((12, 12, 3), np.uint8)
    copy_window(frame, x, y, window)
    rows, columns = np.clip(np.arange(y, y + 12), 0, 6), np.clip(np.arange(x, x + 12), 0, 8)
    assert (window == frame[rows[:, None], columns]).all()


def test_crops_are_padded_by_their_edge_and_not_copied_if_they_have_the_size():
    crops = np.random.default_rng(0).integers(0, 256, (2, 5, 3, 3), dtype=np.uint8)
    padded = pad_edge(crops, 8)
    assert padded.shape == (2, 8, 8, 3) and (padded[:, :5, :3] == crops).all()
    assert (padded[:, 5:, 0] == crops[:, 4:, 0]).all() and (padded[:, 0, 3:] == crops[:, 0, 2:]).all()
    assert pad_edge(padded, 8) is padded

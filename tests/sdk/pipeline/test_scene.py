"""Changes of a scene: thumbnails, their differences, and motion outside of known faces."""

import numpy as np
import pytest
from facesr_edge.sdk.pipeline.scene import THUMBNAIL_WH, difference, explained_by, has_motion, thumbnail

NONE = np.zeros(THUMBNAIL_WH[::-1], bool)


@pytest.mark.parametrize("size", [(1, 1), (5, 700), (360, 640), (1080, 1920)])
def test_frames_of_any_size_have_a_thumbnail_of_one_size(size):
    assert thumbnail(np.full((*size, 3), 90, np.uint8)).tolist() == np.full((36, 64, 3), 90).tolist()


def test_the_difference_of_two_scenes_is_large_and_that_of_noise_small(astronaut):
    rng = np.random.default_rng(0)
    noisy = [np.clip(astronaut + rng.normal(0, 6, astronaut.shape), 0, 255).astype(np.uint8) for _ in range(2)]
    a, b, other = (thumbnail(frame) for frame in (*noisy, astronaut[:, ::-1]))
    assert difference(a, b) < 3 < 12 < difference(a, other)
    assert not has_motion(a, b, NONE)


@pytest.mark.parametrize("position", [(0, 500), (900, 300), (1880, 40)])
def test_an_object_of_40_px_in_a_1080p_frame_is_motion(position):
    frame = np.full((1080, 1920, 3), 100, np.uint8)
    before, (x, y) = thumbnail(frame), position
    frame[y : y + 40, x : x + 40] = 200
    assert has_motion(before, thumbnail(frame), NONE)


def test_motion_of_a_known_face_and_its_body_is_explained():
    frame = np.full((1080, 1920, 3), 100, np.uint8)
    before = thumbnail(frame)
    frame[300:460, 900:960] = 200
    after = thumbnail(frame)
    assert not has_motion(before, after, explained_by(np.array([[905, 310, 950, 360]], np.float32), (1920, 1080)))
    assert has_motion(before, after, explained_by(np.array([[205, 310, 250, 360]], np.float32), (1920, 1080)))


def test_beside_a_face_the_edge_of_the_frame_is_not_explained():
    frame = np.full((1080, 1920, 3), 100, np.uint8)
    before = thumbnail(frame)
    frame[300:360, 0:25] = 200
    assert has_motion(before, thumbnail(frame), explained_by(np.array([[80, 310, 130, 360]], np.float32), (1920, 1080)))

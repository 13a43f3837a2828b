"""How a large frame is covered."""

import numpy as np
import pytest
from facesr_edge.sdk.tiles import tiles


def test_a_frame_that_fits_is_one_tile():
    (tile,) = tiles(1920, 1080, (1920, 1088), 160)
    assert (tile.x, tile.y, tile.width, tile.height) == (0, 0, 1920, 1080)


@pytest.mark.parametrize(("width", "height"), [(1921, 1080), (3840, 2160), (500, 5000), (4000, 1089), (7680, 4320)])
def test_every_point_counts_in_exactly_one_tile_that_holds_its_surroundings(width, height):
    cover = tiles(width, height, (1920, 1088), 160)
    rng = np.random.default_rng(3)
    for x, y in rng.uniform((0, 0), (width, height), (300, 2)):
        (owner,) = [t for t in cover if t.core_xyxy[0] <= x < t.core_xyxy[2] and t.core_xyxy[1] <= y < t.core_xyxy[3]]
        near = 79
        assert owner.x <= max(x - near, 0) and owner.x + owner.width >= min(x + near, width)
        assert owner.y <= max(y - near, 0) and owner.y + owner.height >= min(y + near, height)


def test_tiles_are_not_larger_than_asked_and_end_at_the_frames_edge():
    cover = tiles(5000, 3000, (1920, 1088), 160)
    assert all(t.width == 1920 and t.height == 1088 for t in cover)
    assert max(t.x + t.width for t in cover) == 5000 and max(t.y + t.height for t in cover) == 3000

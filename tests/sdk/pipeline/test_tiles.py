"""How a large frame is covered."""

import numpy as np
import pytest
from facesr_edge.sdk.pipeline.tiling import SLACK, tiles, whole

LARGEST, OVERLAP = (2048, 1152), 128


def test_a_frame_that_fits_is_one_tile():
    assert tiles(1920, 1080, LARGEST, OVERLAP) == [whole(1920, 1080)]


@pytest.mark.parametrize(("width", "height"), [(2049, 1080), (3840, 2160), (500, 5000), (4000, 1153), (7681, 4319)])
def test_every_point_counts_in_exactly_one_tile_that_holds_its_surroundings(width, height):
    cover = tiles(width, height, LARGEST, OVERLAP)
    rng = np.random.default_rng(3)
    for x, y in rng.uniform((0, 0), (width, height), (300, 2)):
        (owner,) = [t for t in cover if t.core_xyxy[0] <= x < t.core_xyxy[2] and t.core_xyxy[1] <= y < t.core_xyxy[3]]
        near = OVERLAP / 2 - 1
        assert owner.x <= max(x - near, 0) and owner.x + owner.width >= min(x + near, width)
        assert owner.y <= max(y - near, 0) and owner.y + owner.height >= min(y + near, height)


def test_tiles_are_all_alike_no_larger_than_asked_and_end_at_the_frames_edge():
    cover = tiles(5000, 3000, LARGEST, OVERLAP)
    assert len({(t.width, t.height) for t in cover}) == 1
    assert cover[0].width <= LARGEST[0] and cover[0].height <= LARGEST[1]
    assert max(t.x + t.width for t in cover) == 5000 and max(t.y + t.height for t in cover) == 3000


def test_tiles_are_no_larger_than_their_overlap_asks_for():
    cover = tiles(3840, 2160, LARGEST, OVERLAP)
    assert len(cover) == 4
    assert sum(t.width * t.height for t in cover) < 1.1 * 3840 * 2160


def boxes(*rows):
    return np.array(rows, np.float32)


def test_a_box_counts_in_the_tile_that_its_centre_lies_in_and_at_their_border_in_both():
    left, right = tiles(3000, 1000, LARGEST, OVERLAP)
    cut = left.core_xyxy[2]
    for offset, counted in ((-30, (True, False)), (0, (True, True)), (30, (False, True))):
        box = boxes((cut + offset - 15, 100, cut + offset + 15, 130))
        assert (left.counts(box)[0], right.counts(box)[0]) == counted


def test_a_box_that_a_neighbour_cuts_does_not_count_one_at_the_frames_edge_does():
    left, _ = tiles(3000, 1000, LARGEST, OVERLAP)
    end = left.width
    found = boxes((end - 400, 100, end - 1, 500), (end - 400, 100, end - SLACK - 1, 500), (-20, -20, 60, 60))
    assert left.counts(found).tolist() == [False, True, True]
    assert whole(100, 80).counts(boxes((-9, -9, 109, 89))).all()

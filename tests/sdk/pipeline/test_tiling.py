"""Detector passes by frame size, min_face and network input sizes; tiles that cover a frame."""

import dataclasses
import json

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.pipeline.tiling import (
    MAX_TILE_WH,
    MAX_UPSCALE,
    MIN_FACE,
    TOLERANCE,
    full_frame_tile,
    plan_for,
    tile_frame,
)

ANY_SIZE = IOSpec("face-detection", multiple=32)
ONE_SIZE = IOSpec("face-detection", multiple=32, sizes_hw=((320, 320),))
ENGINE_SIZES = IOSpec("face-detection", multiple=32, sizes_hw=((384, 640), (736, 1280), (1088, 1920)))
"""As of a compiled engine."""


@pytest.mark.parametrize(
    ("width", "height", "min_face", "kind", "scale", "passes"),
    [
        (1920, 1080, 8, "full", 1, 1),
        (1920, 1080, 10, "full", 1, 1),
        (1920, 1080, 20, "reduced", 0.5, 1),
        (1920, 1080, 40, "reduced", 0.25, 1),
        (640, 360, 1000, "reduced", 0.01, 1),
        (1920, 1080, 5, "enlarged", 2, 4),
        (640, 360, 5, "enlarged", 2, 1),
        (640, 360, 1, "enlarged", MAX_UPSCALE, 1),
        (3840, 2160, 10, "tiles", 1, 4),
        (3840, 2160, 20, "reduced", 0.5, 1),
        (7680, 4320, 20, "tiles", 0.5, 4),
        (1, 1, 10, "full", 1, 1),
        (1, 1, 400, "reduced", 0.025, 1),
    ],
)
def test_min_face_decides_scale_and_number_of_passes(width, height, min_face, kind, scale, passes):
    plan = plan_for(width, height, min_face, ANY_SIZE)
    assert (plan.kind, len(plan.passes)) == (kind, passes) and plan.scale == pytest.approx(scale)


@pytest.mark.parametrize("min_face", [4, 5, 6.5, 7.9, 8, 9, 11.9, 12, 15, 24, 33.3, 100])
def test_the_smallest_face_is_resized_to_8_to_12_network_pixels(min_face):
    plan = plan_for(1920, 1080, min_face, ANY_SIZE)
    assert MIN_FACE <= min_face * plan.scale <= 12
    assert plan.smallest_face == pytest.approx(min_face)


def test_smallest_face_is_limited_by_the_maximum_upscaling():
    assert plan_for(640, 360, 1, ANY_SIZE).smallest_face == MIN_FACE / MAX_UPSCALE


@pytest.mark.parametrize("min_face", [1, 5, 7, 10, 15, 30])
@pytest.mark.parametrize("io_spec", [ANY_SIZE, ONE_SIZE, ENGINE_SIZES])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (31, 33), (641, 359), (1920, 1080), (9999, 77), (4001, 3001)])
def test_every_pass_fits_the_network_and_lies_in_the_frame(width, height, io_spec, min_face):
    plan = plan_for(width, height, min_face, io_spec)
    for one in (*plan.passes, *([plan.overview] if plan.overview else [])):
        rows, columns = one.network_hw
        assert rows % 32 == 0 and columns % 32 == 0 and (not io_spec.sizes_hw or one.network_hw in io_spec.sizes_hw)
        assert 1 <= one.resized_wh[0] <= columns and 1 <= one.resized_wh[1] <= rows
        tile = one.tile
        assert tile.x >= 0 and tile.x + tile.width <= width and tile.y >= 0 and tile.y + tile.height <= height
    for one in plan.passes:
        assert io_spec.sizes_hw or (one.resized_wh[0] <= MAX_TILE_WH[0] and one.resized_wh[1] <= MAX_TILE_WH[1])


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160), (7680, 4320), (5000, 500)])
@pytest.mark.parametrize("min_face", [5, 10])
def test_the_overview_for_large_faces_costs_less_than_30_percent(width, height, min_face):
    plan = plan_for(width, height, min_face, ANY_SIZE)
    tiles_only = dataclasses.replace(plan, overview=None)
    assert plan.overview and tiles_only.megapixels < plan.megapixels < 1.3 * tiles_only.megapixels
    assert plan.largest_face * plan.overview.resized_wh[0] / width >= 10  # the overview shows the faces that tiles cut


@pytest.mark.parametrize(("width", "height", "min_face"), [(640, 480, 10), (1920, 1080, 20), (3840, 2160, 40)])
def test_a_frame_without_faces_too_large_for_the_network_has_no_overview(width, height, min_face):
    assert plan_for(width, height, min_face, ANY_SIZE).overview is None


def test_half_the_min_face_costs_four_times_the_pixels():
    assert 3.5 < plan_for(1920, 1080, 5, ANY_SIZE).megapixels / plan_for(1920, 1080, 10, ANY_SIZE).megapixels < 4.5


@pytest.mark.parametrize(
    ("width", "height", "min_face", "text"),
    [
        (640, 360, 8, "640x360 whole at full size, 0.25 Mpx, faces from 8 px"),
        (1920, 1080, 8, "1920x1080 whole at full size, large faces at 480x270, 2.23 Mpx, faces from 8 px"),
        (1920, 1080, 20, "1920x1080 whole at 0.5 of its size, 0.52 Mpx, faces from 20 px"),
        (640, 360, 5, "640x360 whole at 2 times its size, large faces at 320x180, 1.00 Mpx, faces from 5 px"),
    ],
)
def test_a_plan_is_printed_with_its_cost(width, height, min_face, text):
    assert str(plan_for(width, height, min_face, ANY_SIZE)) == text


def test_a_tiled_plan_is_printed_with_number_and_size_of_its_tiles():
    assert "3840x2160 in 4 tiles of 1984x1152 at full size" in str(plan_for(3840, 2160, 8, ANY_SIZE))


def test_the_json_of_a_plan_holds_scale_passes_and_cost():
    document = json.loads(json.dumps(plan_for(3840, 2160, 10, ANY_SIZE).to_dict(), allow_nan=False))
    assert document.items() >= {"kind": "tiles", "scale": 1.0, "passes": 4, "pass_wh": [1984, 1152]}.items()
    assert 9 < document["megapixels"] < 10


@pytest.mark.parametrize("min_face", [0, 0.99, -5, float("nan"), float("inf")])
def test_a_min_face_below_one_pixel_or_not_finite_is_rejected(min_face):
    with pytest.raises(UsageError, match="expected pixels, 1 or more"):
        plan_for(640, 360, min_face, ANY_SIZE)


MAX_WH, OVERLAP = (2048, 1152), 128


def test_a_frame_that_fits_is_one_tile():
    assert tile_frame(1920, 1080, MAX_WH, OVERLAP) == [full_frame_tile(1920, 1080)]


@pytest.mark.parametrize(("width", "height"), [(2049, 1080), (3840, 2160), (500, 5000), (4000, 1153), (7681, 4319)])
def test_every_point_lies_in_exactly_one_core_whose_tile_holds_its_surroundings(width, height):
    tiles = tile_frame(width, height, MAX_WH, OVERLAP)
    rng = np.random.default_rng(3)
    for x, y in rng.uniform((0, 0), (width, height), (300, 2)):
        (owner,) = [t for t in tiles if t.core_xyxy[0] <= x < t.core_xyxy[2] and t.core_xyxy[1] <= y < t.core_xyxy[3]]
        radius = OVERLAP / 2 - 1
        assert owner.x <= max(x - radius, 0) and owner.x + owner.width >= min(x + radius, width)
        assert owner.y <= max(y - radius, 0) and owner.y + owner.height >= min(y + radius, height)


def test_tiles_have_one_size_within_the_maximum_and_end_at_the_edge_of_the_frame():
    tiles = tile_frame(5000, 3000, MAX_WH, OVERLAP)
    assert len({(t.width, t.height) for t in tiles}) == 1
    assert tiles[0].width <= MAX_WH[0] and tiles[0].height <= MAX_WH[1]
    assert max(t.x + t.width for t in tiles) == 5000 and max(t.y + t.height for t in tiles) == 3000


def test_tiles_are_no_larger_than_the_overlap_requires():
    tiles = tile_frame(3840, 2160, MAX_WH, OVERLAP)
    assert len(tiles) == 4
    assert sum(t.width * t.height for t in tiles) < 1.1 * 3840 * 2160


def boxes(*rows):
    return np.array(rows, np.float32)


def test_a_box_is_owned_by_the_tile_of_its_center_and_between_two_cores_by_both():
    left, right = tile_frame(3000, 1000, MAX_WH, OVERLAP)
    border = left.core_xyxy[2]
    for offset, owners in ((-30, (True, False)), (0, (True, True)), (30, (False, True))):
        box = boxes((border + offset - 15, 100, border + offset + 15, 130))
        assert (left.owns(box)[0], right.owns(box)[0]) == owners


def test_a_box_that_the_border_to_a_neighbor_cuts_is_not_owned_one_at_the_edge_of_the_frame_is():
    left, _ = tile_frame(3000, 1000, MAX_WH, OVERLAP)
    end = left.width
    candidates = boxes((end - 400, 100, end - 1, 500), (end - 400, 100, end - TOLERANCE - 1, 500), (-20, -20, 60, 60))
    assert left.owns(candidates).tolist() == [False, True, True]
    assert full_frame_tile(100, 80).owns(boxes((-9, -9, 109, 89))).all()

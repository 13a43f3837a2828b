"""How a frame is looked at, by its size, the smallest face asked for and what the network takes."""

import dataclasses
import json

import pytest
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.pipeline.tiling import MAX_TILE_WH, MAX_UPSCALE, MIN_FACE, plan_for

ANY = IOSpec("face-detection", multiple=32)
FIXED = IOSpec("face-detection", multiple=32, sizes_hw=((320, 320),))
SIZES = IOSpec("face-detection", multiple=32, sizes_hw=((384, 640), (736, 1280), (1088, 1920)))
"""As a compiled engine has them."""


@pytest.mark.parametrize(
    ("width", "height", "min_face", "kind", "scale", "looks"),
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
def test_a_frame_is_seen_as_small_as_the_smallest_face_allows(width, height, min_face, kind, scale, looks):
    plan = plan_for(width, height, min_face, ANY)
    assert (plan.kind, len(plan.looks)) == (kind, looks) and plan.scale == pytest.approx(scale)


@pytest.mark.parametrize("min_face", [4, 5, 6.5, 7.9, 8, 9, 11.9, 12, 15, 24, 33.3, 100])
def test_the_smallest_face_arrives_at_a_size_that_the_network_is_made_for(min_face):
    plan = plan_for(1920, 1080, min_face, ANY)
    assert MIN_FACE <= min_face * plan.scale <= 12
    assert plan.smallest_face == pytest.approx(min_face)


def test_faces_that_no_enlargement_reaches_are_not_promised():
    assert plan_for(640, 360, 1, ANY).smallest_face == MIN_FACE / MAX_UPSCALE


@pytest.mark.parametrize("min_face", [1, 5, 7, 10, 15, 30])
@pytest.mark.parametrize("contract", [ANY, FIXED, SIZES])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (31, 33), (641, 359), (1920, 1080), (9999, 77), (4001, 3001)])
def test_every_look_fits_the_network_and_lies_in_the_frame(width, height, io_spec, min_face):
    plan = plan_for(width, height, min_face, io_spec)
    for look in (*plan.looks, *([plan.overview] if plan.overview else [])):
        rows, columns = look.network_hw
        assert rows % 32 == 0 and columns % 32 == 0 and (not io_spec.sizes_hw or look.network_hw in io_spec.sizes_hw)
        assert 1 <= look.seen_wh[0] <= columns and 1 <= look.seen_wh[1] <= rows
        tile = look.tile
        assert tile.x >= 0 and tile.x + tile.width <= width and tile.y >= 0 and tile.y + tile.height <= height
    for look in plan.looks:
        assert io_spec.sizes_hw or (look.seen_wh[0] <= MAX_TILE_WH[0] and look.seen_wh[1] <= MAX_TILE_WH[1])


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (3840, 2160), (7680, 4320), (5000, 500)])
@pytest.mark.parametrize("min_face", [5, 10])
def test_large_faces_have_a_look_of_their_own_that_costs_little(width, height, min_face):
    plan = plan_for(width, height, min_face, ANY)
    alone = dataclasses.replace(plan, overview=None)
    assert plan.overview and alone.megapixels < plan.megapixels < 1.3 * alone.megapixels
    assert plan.largest_face * plan.overview.seen_wh[0] / width >= 10  # what the looks cut, the overview can see


@pytest.mark.parametrize(("width", "height", "min_face"), [(640, 480, 10), (1920, 1080, 20), (3840, 2160, 40)])
def test_a_frame_whose_faces_are_all_seen_is_looked_at_once(width, height, min_face):
    assert plan_for(width, height, min_face, ANY).overview is None


def test_half_the_smallest_face_costs_four_times_as_much():
    assert 3.5 < plan_for(1920, 1080, 5, ANY).megapixels / plan_for(1920, 1080, 10, ANY).megapixels < 4.5


@pytest.mark.parametrize(
    ("width", "height", "min_face", "words"),
    [
        (640, 360, 8, "640x360 whole at full size, 0.25 Mpx, faces from 8 px"),
        (1920, 1080, 8, "1920x1080 whole at full size, large faces at 480x270, 2.23 Mpx, faces from 8 px"),
        (1920, 1080, 20, "1920x1080 whole at 0.5 of its size, 0.52 Mpx, faces from 20 px"),
        (640, 360, 5, "640x360 whole at 2 times its size, large faces at 320x180, 1.00 Mpx, faces from 5 px"),
    ],
)
def test_a_plan_says_what_it_is_and_costs(width, height, min_face, words):
    assert str(plan_for(width, height, min_face, ANY)) == words


def test_a_plan_in_tiles_says_how_many_and_how_large():
    assert "3840x2160 in 4 tiles of 1984x1152 at full size" in str(plan_for(3840, 2160, 8, ANY))


def test_a_plan_as_json_holds_scale_looks_and_cost():
    document = json.loads(json.dumps(plan_for(3840, 2160, 10, ANY).to_dict(), allow_nan=False))
    assert document.items() >= {"kind": "tiles", "scale": 1.0, "looks": 4, "look_wh": [1984, 1152]}.items()
    assert 9 < document["megapixels"] < 10


@pytest.mark.parametrize("min_face", [0, 0.99, -5, float("nan"), float("inf")])
def test_a_smallest_face_that_cannot_be_is_refused(min_face):
    with pytest.raises(UsageError, match="expected pixels, 1 or more"):
        plan_for(640, 360, min_face, ANY)

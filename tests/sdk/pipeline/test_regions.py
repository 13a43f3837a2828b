"""Regions around known faces, packed into one input of the detector."""

from math import prod

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.pipeline.regions import (
    CANVASES_WH,
    GRID,
    MARGIN,
    MAX_SHARE,
    Cell,
    Region,
    merge_regions,
    plan_regions,
)
from facesr_edge.sdk.pipeline.tiling import full_frame_tile, plan_for

ANY_SIZE = IOSpec("face-detection", multiple=32)
ENGINE_SIZES = IOSpec("face-detection", multiple=32, sizes_hw=((384, 640), (736, 1280), (1088, 1920)))


def faces(*rows):
    """Rows of center x, center y, side."""
    return np.array([(x - s / 2, y - s / 2, x + s / 2, y + s / 2) for x, y, s in rows], np.float32).reshape(-1, 4)


def regions_of(boxes, min_face=8, size_wh=(1920, 1080), io_spec=ANY_SIZE):
    return plan_regions(boxes, plan_for(*size_wh, min_face, io_spec), io_spec)


@pytest.mark.parametrize("min_face", [5, 8, 20, 33])
def test_a_region_holds_its_face_with_the_margin_and_lies_on_the_grid(min_face):
    boxes = faces((700, 400, 50))
    plan = plan_for(1920, 1080, min_face, ANY_SIZE)
    (cell,) = regions_of(boxes, min_face).cells
    tile, margin = cell.tile, MARGIN / plan.scale
    assert tile.x <= boxes[0, 0] - margin + 1 and tile.x + tile.width >= boxes[0, 2] + margin - 1
    assert tile.y <= boxes[0, 1] - margin + 1 and tile.y + tile.height >= boxes[0, 3] + margin - 1
    assert cell.resized_wh[0] % GRID == cell.resized_wh[1] % GRID == 0
    assert tile.x * plan.scale % GRID == pytest.approx(0, abs=1) or tile.x * plan.scale % GRID > GRID - 1


@pytest.mark.parametrize("io_spec", [ANY_SIZE, ENGINE_SIZES])
@pytest.mark.parametrize("count", [1, 2, 7, 20])
def test_cells_lie_in_the_canvas_and_do_not_overlap(io_spec, count):
    rng = np.random.default_rng(count)
    boxes = faces(*((rng.uniform(0, 1920), rng.uniform(0, 1080), rng.uniform(15, 70)) for _ in range(count)))
    regions = regions_of(boxes, io_spec=io_spec)
    height, width = regions.network_hw
    used = np.zeros((height, width), int)
    for cell in regions.cells:
        assert cell.x + cell.resized_wh[0] <= width and cell.y + cell.resized_wh[1] <= height
        used[cell.y :, cell.x :][: cell.resized_wh[1], : cell.resized_wh[0]] += 1
        tile = cell.tile
        assert tile.x >= 0 and tile.y >= 0 and tile.x + tile.width <= 1920 and tile.y + tile.height <= 1080
    assert used.max() == 1
    assert regions.network_hw in (io_spec.sizes_hw or [(h, w) for w, h in CANVASES_WH])


def test_eight_faces_at_1080p_cost_less_than_an_eighth_of_a_full_detection():
    boxes = faces(*((200 + 220 * n, 300 + 60 * n, 40 + 4 * n) for n in range(8)))
    assert regions_of(boxes).megapixels < plan_for(1920, 1080, 8, ANY_SIZE).megapixels / 8


def test_more_than_half_the_cost_of_a_full_detection_is_not_planned():
    grid = faces(*((60 + 120 * x, 60 + 120 * y, 60) for x in range(16) for y in range(9)))
    assert regions_of(grid) is None
    assert regions_of(grid[:20]).megapixels <= MAX_SHARE * plan_for(1920, 1080, 8, ANY_SIZE).megapixels
    only_1080p = IOSpec("face-detection", multiple=32, sizes_hw=((1088, 1920),))
    assert regions_of(faces((300, 200, 50)), size_wh=(640, 360), io_spec=only_1080p) is None


def test_without_faces_nothing_is_run():
    regions = regions_of(faces())
    assert regions.cells == () and regions.megapixels == 0 and not regions.overview
    assert regions_of(faces((-300, 100, 40), (2500, 100, 40))).cells == ()


@pytest.mark.parametrize(("side", "cells", "overview"), [(60, 1, False), (200, 1, True), (500, 0, True)])
def test_large_faces_are_searched_in_the_overview(side, cells, overview):
    regions = regions_of(faces((900, 500, side)))
    assert (len(regions.cells), regions.overview) == (cells, overview)


def test_regions_merge_where_that_costs_no_pixels():
    a, b, far = Region(0, 0, 128, 128), Region(32, 0, 160, 128), Region(640, 640, 768, 768)
    assert merge_regions([a, far, b]) == [Region(0, 0, 160, 128), far]
    assert merge_regions([a, a]) == [a]
    touching = Region(128, 0, 256, 128)
    assert merge_regions([a, touching]) == [Region(0, 0, 256, 128)]


def test_only_borders_inside_of_the_frame_cut_faces():
    (corner,) = regions_of(faces((5, 5, 40))).cells
    assert corner.tile.owns(np.array([(-9, -9, 30, 30)], np.float32)).all()
    right = corner.tile.width
    assert not corner.tile.owns(np.array([(right - 30, 5, right, 40)], np.float32)).any()


def test_a_cell_owns_the_detections_centered_in_it():
    cell = Cell(full_frame_tile(96, 96), (96, 96), 128, 32)
    boxes = faces((140, 60, 30), (120, 60, 30), (170, 200, 30))
    own = cell.own(Detections(boxes, np.ones(3, np.float32), np.zeros((3, 5, 2), np.float32)))
    assert own.boxes_xyxy.tolist() == [[-3, 13, 27, 43]]


def test_the_inputs_for_any_size_are_few_and_multiples_of_the_grid():
    assert len(CANVASES_WH) < 250 and sorted(CANVASES_WH, key=prod) == CANVASES_WH
    assert all(width % GRID == height % GRID == 0 for width, height in CANVASES_WH)

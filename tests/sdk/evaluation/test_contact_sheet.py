"""The contact sheet: every pixel of a face lies where it should, and every line of type is whole."""

import subprocess
import sys

import numpy as np
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.evaluate import enlarged_by_bicubic, lr_hr_pairs
from facesr_edge.sdk.evaluation.compare import Comparison, ModelRow, ScaleGroup
from facesr_edge.sdk.evaluation.contact_sheet import (
    CAPTION,
    GAP,
    GUTTER,
    HEADING,
    MARGIN,
    NAMES,
    PAPER,
    ZOOM,
    columns,
    contact_sheet,
)


def group_of(scale, *names, faces=3):
    """Bicubic, and so many models, each nearer to the truth than the one before."""
    small, true = lr_hr_pairs(sample_faces()[:faces], scale)
    bicubic = enlarged_by_bicubic(small, scale)
    rows = [ModelRow("bicubic", "", "OpenCV", {"psnr_y_db": 1}, 0.0, None, bicubic)]
    for n, name in enumerate(names, start=1):
        share = n / (len(names) + 1)
        mixed = (bicubic * (1 - share) + true * share).astype(np.uint8)
        rows.append(ModelRow(name, "fp32", "none", {"psnr_y_db": 1 + n}, n, None, mixed))
    return ScaleGroup(scale, tuple(rows), small, true)


def tile(sheet, group, column, row, top=MARGIN):
    """The pixels of a face as they lie on the sheet, without the zoom."""
    side = ZOOM * group.true.shape[1]
    left = MARGIN + column * (side + GUTTER)
    y = top + HEADING + NAMES + row * (side + CAPTION + GAP)
    part = sheet[y : y + side, left : left + side]
    assert (part.reshape(side // ZOOM, ZOOM, side // ZOOM, ZOOM, 3) == part[::ZOOM, None, ::ZOOM, None]).all()
    return part[::ZOOM, ::ZOOM]


def test_faces_are_rows_and_columns_go_from_the_input_to_the_truth():
    group = group_of(4, "poor-x4", "good-x4")
    sheet = contact_sheet(Comparison(3, "bicubic", (group,)))
    for row in range(3):
        assert (tile(sheet, group, 0, row)[::4, ::4] == group.small[row]).all()
        for column, expected in enumerate([*(each.examples for each in group.rows), group.true], start=1):
            assert (tile(sheet, group, column, row) == expected[row]).all()


def test_the_sheet_is_as_large_as_what_is_on_it():
    group = group_of(4, "one-x4", faces=2)
    height, width, _ = contact_sheet(Comparison(2, "bicubic", (group,))).shape
    assert width == 2 * MARGIN + 4 * 256 + 3 * GUTTER
    assert height == 2 * MARGIN + HEADING + NAMES + 2 * (256 + CAPTION) + GAP


def test_scales_stand_below_each_other():
    small, large = group_of(2, "a-x2"), group_of(3, "b-x3", "c-x3")
    sheet = contact_sheet(Comparison(3, "bicubic", (small, large)))
    top = 2 * MARGIN + HEADING + NAMES + 3 * (256 + CAPTION + GAP) - GAP
    assert (tile(sheet, small, 3, 2) == small.true[2]).all()
    assert (tile(sheet, large, 4, 2, top) == large.true[2]).all()


@pytest.mark.parametrize("name", ["srresnet-x4", "a-very-long-name-of-a-bundle-x4", "m" * 80])
def test_nothing_is_written_into_the_margins_the_gutters_or_the_faces(name):
    group = group_of(4, name, "short")
    sheet = contact_sheet(Comparison(3, "camera", (group,)))
    paper = np.array(PAPER, np.uint8)
    assert (sheet[:, :MARGIN] == paper).all() and (sheet[:, -MARGIN:] == paper).all()
    assert (sheet[:MARGIN] == paper).all() and (sheet[-MARGIN:] == paper).all()
    for column in range(1, 5):
        left = MARGIN + column * (256 + GUTTER) - GUTTER
        assert (sheet[MARGIN + HEADING :, left : left + GUTTER] == paper).all()
    captions = sheet[MARGIN + HEADING + NAMES + 256 :][:CAPTION]
    assert (captions[:, MARGIN : MARGIN + 256] == paper).all()  # the input has none
    assert (captions[:, MARGIN + 256 + GUTTER :] != paper).any()


def test_captions_are_the_quality_of_each_face_and_the_best_of_a_row_is_marked():
    group = group_of(4, "poor-x4", "good-x4")
    heading, bicubic, _, good, truth = columns(group)
    error = ((group.rows[-1].examples[1] - group.true[1].astype(float)) @ [24.966, 128.553, 65.481] / 255) ** 2
    assert good.captions[1] == f"{10 * np.log10(255**2 / error.mean()):.2f}"
    assert all(good.best) and not any(bicubic.best)
    assert heading.name == "input" and truth.name == "truth" and not any(heading.captions + truth.captions)


def test_a_face_that_came_back_exactly_is_finite():
    group = group_of(4, faces=1)
    exact = ModelRow("same", "fp32", "none", {"psnr_y_db": 99}, 1, None, group.true)
    (_, _, same, _) = columns(ScaleGroup(4, (group.rows[0], exact), group.small, group.true))
    assert same.captions == ["exact"]


def test_without_pillow_the_remedy_is_named():
    program = (
        "import sys; sys.modules['PIL'] = None\n"
        "from facesr_edge.sdk.evaluation.contact_sheet import contact_sheet\n"
        "from facesr_edge.sdk.evaluation.compare import Comparison\n"
        "try: contact_sheet(Comparison(0, 'bicubic', ()))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("MissingDependencyError a contact sheet needs Pillow")

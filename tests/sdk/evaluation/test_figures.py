"""Contact sheet and error sheet: position of every tile, captions, and text within its limits."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.detection import Scene, labeled_faces
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.detection_report import DEGRADATIONS, ScenePredictions, detector_quality
from facesr_edge.calibration.metrics.evaluate import lr_hr_pairs, upscale_bicubic
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.evaluation.compare import Comparison, ModelRow, ScaleGroup
from facesr_edge.sdk.evaluation.detectors import DetectorResult
from facesr_edge.sdk.evaluation.figures import (
    BORDER,
    CAPTION,
    COLUMN_NAME,
    ERROR_BACKGROUND,
    ERROR_COLORS,
    ERROR_SHEET_WIDTH,
    GAP,
    GUTTER,
    HEADING,
    MARGIN,
    ROW_GAP,
    SECTION_HEIGHT,
    TILE,
    TILE_CAPTION,
    TITLE_HEIGHT,
    WHITE,
    ZOOM,
    columns,
    contact_sheet,
    error_sheet,
)


def group_of(scale, *names, faces=3):
    """Bicubic and several models, each closer to the ground truth than the previous one."""
    lr, hr = lr_hr_pairs(sample_faces()[:faces], scale)
    bicubic = upscale_bicubic(lr, scale)
    rows = [ModelRow("bicubic", "", "OpenCV", {"psnr_y_db": 1}, 0.0, None, bicubic)]
    for n, name in enumerate(names, start=1):
        weight = n / (len(names) + 1)
        mixed = (bicubic * (1 - weight) + hr * weight).astype(np.uint8)
        rows.append(ModelRow(name, "fp32", "none", {"psnr_y_db": 1 + n}, n, None, mixed))
    return ScaleGroup(scale, tuple(rows), lr, hr, len(hr))


def tile(sheet, group, column, row, top=MARGIN):
    """The face in a column and row of a contact sheet, without the zoom."""
    side = ZOOM * group.true.shape[1]
    left = MARGIN + column * (side + GUTTER)
    y = top + HEADING + COLUMN_NAME + row * (side + CAPTION + ROW_GAP)
    part = sheet[y : y + side, left : left + side]
    assert (part.reshape(side // ZOOM, ZOOM, side // ZOOM, ZOOM, 3) == part[::ZOOM, None, ::ZOOM, None]).all()
    return part[::ZOOM, ::ZOOM]


def test_contact_sheet_has_a_row_per_face_and_columns_from_input_to_ground_truth():
    group = group_of(4, "poor-x4", "good-x4")
    sheet = contact_sheet(Comparison(3, "bicubic", (group,)))
    for row in range(3):
        assert (tile(sheet, group, 0, row)[::4, ::4] == group.small[row]).all()
        for column, expected in enumerate([*(each.examples for each in group.rows), group.true], start=1):
            assert (tile(sheet, group, column, row) == expected[row]).all()


def test_contact_sheet_size_follows_from_its_content():
    group = group_of(4, "one-x4", faces=2)
    height, width, _ = contact_sheet(Comparison(2, "bicubic", (group,))).shape
    assert width == 2 * MARGIN + 4 * 256 + 3 * GUTTER
    assert height == 2 * MARGIN + HEADING + COLUMN_NAME + 2 * (256 + CAPTION) + ROW_GAP


def test_contact_sheet_has_one_block_per_scale():
    x2, x3 = group_of(2, "a-x2"), group_of(3, "b-x3", "c-x3")
    sheet = contact_sheet(Comparison(3, "bicubic", (x2, x3)))
    top = 2 * MARGIN + HEADING + COLUMN_NAME + 3 * (256 + CAPTION + ROW_GAP) - ROW_GAP
    assert (tile(sheet, x2, 3, 2) == x2.true[2]).all()
    assert (tile(sheet, x3, 4, 2, top) == x3.true[2]).all()


def test_contact_sheet_has_one_block_per_degradation():
    first, second = group_of(4, "a-x4"), group_of(4, "a-x4")
    sheet = contact_sheet(Comparison(3, "bicubic", (first,)), Comparison(3, "camera", (second,)))
    top = 2 * MARGIN + HEADING + COLUMN_NAME + 3 * (256 + CAPTION + ROW_GAP) - ROW_GAP
    assert (tile(sheet, first, 2, 1) == first.rows[1].examples[1]).all()
    assert (tile(sheet, second, 3, 2, top) == second.true[2]).all()


@pytest.mark.parametrize("name", ["srresnet-x4", "a-very-long-name-of-a-bundle-x4", "m" * 80])
def test_text_stays_within_its_column(name):
    group = group_of(4, name, "short")
    sheet = contact_sheet(Comparison(3, "camera", (group,)))
    background = np.array(WHITE, np.uint8)
    assert (sheet[:, :MARGIN] == background).all() and (sheet[:, -MARGIN:] == background).all()
    assert (sheet[:MARGIN] == background).all() and (sheet[-MARGIN:] == background).all()
    for column in range(1, 5):
        left = MARGIN + column * (256 + GUTTER) - GUTTER
        assert (sheet[MARGIN + HEADING :, left : left + GUTTER] == background).all()
    captions = sheet[MARGIN + HEADING + COLUMN_NAME + 256 :][:CAPTION]
    assert (captions[:, MARGIN : MARGIN + 256] == background).all()  # the input has none
    assert (captions[:, MARGIN + 256 + GUTTER :] != background).any()


def test_captions_are_luma_psnr_and_the_best_of_each_row_is_marked():
    group = group_of(4, "poor-x4", "good-x4")
    first, bicubic, _, good, last = columns(group)
    error = ((group.rows[-1].examples[1] - group.true[1].astype(float)) @ [24.966, 128.553, 65.481] / 255) ** 2
    assert good.captions[1] == f"{10 * np.log10(255**2 / error.mean()):.2f}"
    assert all(good.best) and not any(bicubic.best)
    assert first.name == "input" and last.name == "ground truth" and not any(first.captions + last.captions)


def test_caption_of_an_equal_face_is_exact():
    group = group_of(4, faces=1)
    exact = ModelRow("same", "fp32", "none", {"psnr_y_db": 99}, 1, None, group.true)
    (_, _, same, _) = columns(ScaleGroup(4, (group.rows[0], exact), group.small, group.true, 1))
    assert same.captions == ["exact"]


@pytest.fixture
def result(tmp_path):
    """Result of a detector from squares x, y, side: true faces, and detections with a score."""
    image = np.full((120, 160, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / "scene_1.png"), image)

    def made(faces, detections):
        labels = labeled_faces([{"box": [x, y, side, side]} for x, y, side in faces])
        rows = np.array(detections, np.float32).reshape(-1, 4)
        boxes = np.stack([rows[:, 0], rows[:, 1], rows[:, 0] + rows[:, 2], rows[:, 1] + rows[:, 2]], 1)
        found = Detections(boxes, rows[:, 3], np.zeros((len(rows), 5, 2), np.float32))
        scene = Scene("scene_1.png", tmp_path / "scene_1.png", labels)
        predictions = (ScenePredictions(scene, found, found, labels, dict.fromkeys(DEGRADATIONS, found)),)
        return DetectorResult("detector", "none", detector_quality(predictions, 0.7), {}, predictions)

    return made


def section_colors(sheet, top):
    """RGB of the borders in the first row of tiles below a section heading."""
    y = top + SECTION_HEIGHT
    starts = range(GAP, ERROR_SHEET_WIDTH - TILE, TILE + GAP)
    colors = [tuple(int(v) for v in sheet[y + BORDER // 2, x + TILE // 2, ::-1]) for x in starts]
    return [color for color in colors if color != ERROR_BACKGROUND]


def test_error_sheet_shows_missed_faces_and_false_positives(result):
    faces = [(10, 10, 40), (90, 20, 30)]
    sheet = error_sheet(result(faces, [(10, 10, 40, 0.5), (10, 70, 40, 0.9), (70, 70, 40, 0.8)]), "title")
    row = TILE + TILE_CAPTION
    assert sheet.dtype == np.uint8 and sheet.shape == (TITLE_HEIGHT + 2 * (SECTION_HEIGHT + row) + GAP, 1168, 3)
    assert section_colors(sheet, TITLE_HEIGHT) == [ERROR_COLORS["missed"]] * 2
    assert section_colors(sheet, TITLE_HEIGHT + SECTION_HEIGHT + row) == [ERROR_COLORS["false positive"]] * 2


def test_error_sheet_without_errors_has_only_text(result):
    sheet = error_sheet(result([(10, 10, 40)], [(10, 10, 40, 0.9)]), "title")
    assert sheet.shape[0] == TITLE_HEIGHT + 2 * SECTION_HEIGHT + GAP
    assert (sheet < 150).any() and not any(
        (np.abs(sheet[..., ::-1].astype(int) - color).max(2) < 2).any() for color in ERROR_COLORS.values()
    )


def test_error_sheet_shows_a_limited_number_of_tiles_at_image_edges(result):
    detections = [(x, y, 12, 0.9) for x in range(0, 160, 16) for y in range(0, 120, 16)]
    sheet = error_sheet(result([], detections), "a long title " * 30)
    rows = 3 * (TILE + TILE_CAPTION)
    assert sheet.shape[0] == TITLE_HEIGHT + 2 * SECTION_HEIGHT + rows + GAP and len(detections) > 24
    assert (sheet[:, -GAP:] == np.array(ERROR_BACKGROUND)).all()

"""`Face.uncertainty`: what it covers on held-out faces, where it comes from, and its pictures."""

import json

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import read_faces
from facesr_edge.calibration.metrics.evaluate import lr_hr_pairs
from facesr_edge.calibration.uncertainty import luma_error, measure
from facesr_edge.engines.errors import EngineError, InputError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.sdk.live.results import LiveFace
from facesr_edge.sdk.pipeline.uncertainty import FULL_SCALE, legend, overlay
from facesr_edge.zoo import catalogue

NANO = "edge-nano-x4"


@pytest.fixture(scope="module")
def pipeline():
    with facesr_edge.load(NANO, uncertainty=True, engine="onnxruntime", precision="fp32", threads=2) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def frame(put_face):
    """Two faces of different sizes."""
    frame = np.full((300, 500, 3), 110, np.uint8)
    put_face(frame, 20, 20, 30)
    put_face(frame, 250, 40, 70)
    return frame


@pytest.fixture(scope="module")
def faces(pipeline, frame):
    faces = pipeline(frame).faces
    assert len({face.original.shape for face in faces}) == 2
    return faces


@pytest.mark.parametrize(
    ("model", "condition"), [(NANO, None), (catalogue.DEFAULT_MODEL, "h264-23"), (catalogue.DEFAULT_MODEL, "h264-33")]
)
def test_nine_in_ten_pixels_of_held_out_faces_lie_within_their_interval(shared, model, condition):
    from facesr_edge.training.data.degrade import DEGRADATIONS

    truth = read_faces(shared / "faces" / "test")[::2]
    low, high = lr_hr_pairs(truth, 4, DEGRADATIONS[condition] if condition else None)
    session = OrtSession(catalogue.find(model), 2)
    pixels = np.concatenate([session.infer(low[n : n + 8]) for n in range(0, len(low), 8)])
    session.close()
    with facesr_edge.load_uncertainty(model, threads=2) as head:
        result = measure(head.infer(low, pixels), luma_error(pixels, high), 0.9)
    assert result.coverage == pytest.approx(0.9, abs=0.03)
    assert result.correlation > 0.3 and result.pinball < 0.9 * result.constant_pinball


def test_every_face_has_a_width_for_each_pixel_and_the_pixels_are_those_without(pipeline, frame, faces):
    with facesr_edge.load(NANO, engine="onnxruntime", precision="fp32", threads=2) as plain:
        others = plain(frame).faces
    assert len(faces) == len(others) == 2
    for face, other in zip(faces, others, strict=True):
        assert face.uncertainty.shape == face.pixels.shape[:2] and face.uncertainty.dtype == np.uint8
        assert np.array_equal(face.pixels, other.pixels) and other.uncertainty is None


def test_each_face_has_its_own_widths(pipeline, faces):
    for face in faces:
        alone = facesr_edge.uncertainty_of(face, pipeline.uncertainty)
        assert np.abs(alone.astype(int) - face.uncertainty).max() <= 1


def test_edges_are_less_certain_than_plain_areas(faces):
    face = max(faces, key=lambda one: one.original.shape[0])
    gray = cv2.cvtColor(face.pixels, cv2.COLOR_BGR2GRAY).astype(np.float32)
    slope = cv2.blur(cv2.Laplacian(cv2.GaussianBlur(gray, (0, 0), 2), cv2.CV_32F) ** 2, (9, 9))
    busy, plain = slope > np.quantile(slope, 0.9), slope < np.quantile(slope, 0.3)
    assert face.uncertainty[busy].mean() > 1.3 * face.uncertainty[plain].mean()


def test_json_has_mean_and_percentile_only_where_they_are_known(faces):
    face = faces[0]
    figures = json.loads(json.dumps(face.to_dict()))["uncertainty"]
    assert figures["mean"] == pytest.approx(face.uncertainty.mean(), abs=0.01) and figures["p90"] >= figures["mean"]
    from dataclasses import replace

    assert "uncertainty" not in replace(face, uncertainty=None).to_dict()


def test_timing_has_a_stage_of_its_own_and_a_frame_without_faces_has_none(pipeline, frame, grey_frame):
    assert pipeline(frame).timings_ms["uncertainty"] > 0
    assert "uncertainty" not in pipeline(grey_frame).timings_ms


def test_streams_have_it_too(pipeline, frame):
    results = list(pipeline.stream([frame, frame]))
    assert all(face.uncertainty is not None for result in results for face in result.faces)


def test_network_without_calibration_is_refused_before_it_is_loaded():
    with pytest.raises(EngineError, match="not calibrated for srcnn-x4"):
        facesr_edge.load("srcnn-x4", uncertainty=True)


def test_network_of_another_scale_is_refused():
    with pytest.raises(EngineError, match="not calibrated for edge-tiny-x8"):
        facesr_edge.load("edge-tiny-x8", uncertainty=True)


def test_closed_pipeline_closes_the_head():
    with facesr_edge.load(NANO, uncertainty=True, engine="onnxruntime", precision="fp32") as loaded:
        session = loaded.uncertainty
    with pytest.raises(EngineError, match="closed"):
        session.infer(np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 128, 128, 3), np.uint8))


@pytest.mark.parametrize("treatment", ["reused", "small network", "bicubic"])
def test_live_face_that_the_network_did_not_upscale_has_none(pipeline, faces, treatment):
    one = faces[0]
    values = (one.box_xyxy, one.score, one.landmarks, one.window_xyxy, one.original, one.pixels, one.consistency_db)
    face = LiveFace(*values, 1, treatment, "", True, None)
    with pytest.raises(UsageError, match=treatment):
        facesr_edge.uncertainty_of(face, pipeline.uncertainty)


def test_live_face_of_the_network_has_that_of_its_crop(pipeline, faces):
    one = faces[0]
    values = (one.box_xyxy, one.score, one.landmarks, one.window_xyxy, one.original, one.pixels, one.consistency_db)
    face = LiveFace(*values, 1, "network", "", True, None)
    assert facesr_edge.uncertainty_of(face, pipeline.uncertainty).shape == one.pixels.shape[:2]


def test_overlay_is_gray_where_certain_and_has_color_where_not():
    pixels = np.full((8, 8, 3), (10, 200, 90), np.uint8)
    uncertainty = np.zeros((8, 8), np.uint8)
    uncertainty[:, 4:] = FULL_SCALE
    picture = overlay(pixels, uncertainty)
    assert picture.shape == (8, 8, 3) and picture.dtype == np.uint8
    assert (np.ptp(picture[:, :4].astype(int), axis=2) == 0).all() and np.ptp(picture[0, 7].astype(int)) > 50


def test_overlay_beyond_its_scale_has_the_last_color():
    pixels = np.full((2, 2, 3), 128, np.uint8)
    assert np.array_equal(*(overlay(pixels, np.full((2, 2), value, np.uint8)) for value in (FULL_SCALE, 255)))


@pytest.mark.parametrize(
    ("pixels", "uncertainty", "message"),
    [
        (np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8), "expected pixels"),
        (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), "expected pixels"),
        (np.zeros((0, 4, 3), np.uint8), np.zeros((0, 4), np.uint8), "expected pixels"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.uint8), "from the same face"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), "from the same face"),
    ],
)
def test_overlay_refuses_other_shapes_and_types(pixels, uncertainty, message):
    with pytest.raises(InputError, match=message):
        overlay(pixels, uncertainty)


def test_legend_shows_the_colors_of_the_overlay():
    picture = legend(100)
    assert picture.shape[1] == 100 and np.array_equal(
        picture[0, -1], overlay(np.full((1, 1, 3), 128, np.uint8), np.full((1, 1), FULL_SCALE, np.uint8))[0, 0]
    )
    with pytest.raises(InputError, match="at least 64"):
        legend(63)


def test_sheet_shows_camera_network_and_overlay_side_by_side(faces):
    face = faces[0]
    side = face.pixels.shape[0]
    picture = facesr_edge.uncertainty_sheet(face)
    assert picture.shape[1] == 3 * side + 8 and picture.shape[0] > side
    assert np.array_equal(picture[:side:4, :side:4], face.original)
    assert np.array_equal(picture[:side, side + 4 : 2 * side + 4], face.pixels)
    assert np.array_equal(picture[:side, 2 * side + 8 :], overlay(face.pixels, face.uncertainty))


def test_sheet_of_a_face_without_uncertainty_is_refused(sr, frame):
    with pytest.raises(InputError, match="uncertainty=True"):
        facesr_edge.uncertainty_sheet(sr(frame).faces[0])

"""Golden figures of the demo frame and of every model: a refactoring must not change them.

The JSON files hold figures, not pictures: kernels of other processors round differently, so pixels are compared by the
means of blocks, within the tolerances below.
"""

import json
from contextlib import closing
from pathlib import Path

import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import true_faces
from facesr_edge.calibration.metrics.evaluate import evaluate
from facesr_edge.engines.registry import open_session
from facesr_edge.sdk.demo import sample_frame
from facesr_edge.zoo import catalogue

FOLDER = Path(__file__).parent
DEMO = json.loads((FOLDER / "demo_frame.json").read_text())
MODELS = json.loads((FOLDER / "sample_faces.json").read_text())
LEVELS = 0.5
"""Tolerance of block means, in levels of 0 to 255."""
PIXELS = 0.5
"""Tolerance of boxes."""
DB = 0.01
"""Tolerance of PSNR."""


@pytest.fixture(scope="module")
def result():
    with facesr_edge.load(threads=1, engine="onnxruntime", precision="fp32") as sr:
        yield sr(sample_frame())


def block_means(pixels, rows, columns):
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    return pixels.astype(float).reshape(rows, height, columns, width, *pixels.shape[2:]).mean((1, 3))


def test_detections_of_the_demo_frame():
    detections = facesr_edge.load_detector(threads=1, engine="onnxruntime", precision="fp32")(sample_frame())
    np.testing.assert_allclose(detections.boxes_xyxy, DEMO["boxes_xyxy"], atol=PIXELS)
    np.testing.assert_allclose(detections.scores, DEMO["scores"], atol=0.01)


def test_composite_of_the_demo_frame(result):
    np.testing.assert_allclose(block_means(result.frame, 9, 16), DEMO["composite_block_means"], atol=LEVELS)


def test_faces_of_the_demo_frame(result):
    assert [len(face.pixels) for face in result.faces] == [face["side"] for face in DEMO["faces"]]
    for face, golden in zip(result.faces, DEMO["faces"], strict=True):
        np.testing.assert_allclose(block_means(face.pixels[:, :, 1], 4, 4), golden["block_means"], atol=LEVELS)
        assert face.pixels.std() == pytest.approx(golden["std"], abs=LEVELS)
        assert face.consistency_db == pytest.approx(golden["consistency_db"], abs=0.2)


@pytest.mark.parametrize("name", MODELS)
def test_psnr_of_a_model_on_the_sample_faces(name):
    with closing(open_session(catalogue.find(name), "onnxruntime", 1, "fp32")) as session:
        result = evaluate(session, true_faces(None)[0])
    assert result.psnr_y_db == pytest.approx(MODELS[name]["psnr_y_db"], abs=DB)
    assert result.gain_db == pytest.approx(MODELS[name]["gain_db"], abs=DB)


def test_every_model_has_golden_figures():
    assert sorted(MODELS) == [name for name in catalogue.names() if name != catalogue.DEFAULT_DETECTOR]

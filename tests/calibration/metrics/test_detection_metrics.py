"""Detector metrics on the card."""

import json

import pytest
from facesr_edge.calibration.metrics.detection import ALL, LARGE, SMALL
from facesr_edge.calibration.metrics.detection_metrics import describe_metrics, describe_sizes, detection_metrics
from facesr_edge.calibration.metrics.detection_report import detector_quality, predict_scenes
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.zoo import catalogue

from ..conftest import face, find_white


@pytest.mark.parametrize(("sizes", "name"), [(LARGE, "from 24 px"), (SMALL, "12 to 24 px"), (ALL, "all sizes")])
def test_size_ranges_have_names(sizes, name):
    assert describe_sizes(sizes) == name


def test_card_has_average_precision_by_size_of_all_images_and_of_scenes(scenes):
    labelled = scenes(
        {"scene_a": [face(10, 10, 40), face(100, 60, 16)], "portrait_b": [face(40, 20, 80)], "scene_c": []}
    )
    metrics = describe_metrics(detector_quality([predict_scenes(find_white, scene) for scene in labelled], 0.7))
    perfect = {"average_precision": 1.0, "recall_at_90_precision": 1.0}
    assert {key: metrics[key] for key in perfect} == perfect and metrics["faces"] == 3
    assert metrics["from 24 px"] == {**perfect, "faces": 2}
    assert metrics["natural scenes, 12 to 24 px"] == {**perfect, "faces": 1}
    assert metrics["false_positives"] == {"in_images_without_faces": 0, "images": 1}
    assert metrics["score_threshold"] == 0.7
    assert metrics["detected in grayscale"] == 1.0 and metrics["detected in 10 % of the light"] == 0.0
    assert metrics["landmark_error"]["median"] == pytest.approx(0, abs=1e-3)
    assert not any("portrait" in key or "mirrored" in key for key in metrics)
    json.dumps(metrics, allow_nan=False)


def test_engine_is_evaluated_and_timed(scenes):
    session = OrtSession(catalogue.find(catalogue.DEFAULT_DETECTOR), threads=1)
    metrics = detection_metrics(session, scenes({"scene_a": [face(10, 10, 40)]}), 0.7)
    assert set(metrics["network_ms"]) == {"640x384", "1920x1088"}
    assert 0 < metrics["network_ms"]["640x384"] < metrics["network_ms"]["1920x1088"]
    assert "ONNX Runtime" in metrics["timed_on"] and 0 <= metrics["average_precision"] <= 1

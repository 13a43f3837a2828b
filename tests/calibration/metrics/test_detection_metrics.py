"""What a card keeps of a detector's measurement."""

import json

import pytest
from facesr_edge.calibration.metrics.detection import ALL, LARGE, SMALL
from facesr_edge.calibration.metrics.detection_metrics import describe_metrics, detection_metrics, sides
from facesr_edge.calibration.metrics.detection_report import detector_quality, predict_scenes
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.zoo import catalogue

from ..conftest import face, find_white


@pytest.mark.parametrize(("band", "words"), [(LARGE, "from 24 px"), (SMALL, "12 to 24 px"), (ALL, "all sizes")])
def test_bands_are_told_in_words(band, words):
    assert sides(band) == words


def test_the_card_has_average_precision_by_size_of_all_pictures_and_of_scenes(scenes):
    labelled = scenes(
        {"scene_a": [face(10, 10, 40), face(100, 60, 16)], "portrait_b": [face(40, 20, 80)], "scene_c": []}
    )
    kept = describe_metrics(detector_quality([predict_scenes(find_white, scene) for scene in labelled], 0.7))
    perfect = {"average_precision": 1.0, "recall_at_90_precision": 1.0}
    assert {key: kept[key] for key in perfect} == perfect and kept["faces"] == 3
    assert kept["from 24 px"] == {**perfect, "faces": 2}
    assert kept["natural scenes, 12 to 24 px"] == {**perfect, "faces": 1}
    assert kept["false_alarms"] == {"in_pictures_without_faces": 0, "of": 1}
    assert kept["landmark_error"]["median"] == pytest.approx(0, abs=1e-3)
    assert not any("portrait" in key or "mirrored" in key for key in kept)
    json.dumps(kept, allow_nan=False)


def test_an_engine_is_judged_and_timed(scenes):
    session = OrtSession(catalogue.find(catalogue.DEFAULT_DETECTOR), threads=1)
    kept = detection_metrics(session, scenes({"scene_a": [face(10, 10, 40)]}), 0.7)
    assert set(kept["network_ms"]) == {"640x384", "1920x1088"}
    assert 0 < kept["network_ms"]["640x384"] < kept["network_ms"]["1920x1088"]
    assert "ONNX Runtime" in kept["timed_on"] and 0 <= kept["average_precision"] <= 1

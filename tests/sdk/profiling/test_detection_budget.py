"""What detection on a budget saves and misses."""

import json

import numpy as np
import pytest
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import DetectorUse, FrameResult
from facesr_edge.sdk.profiling.detection_budget import MAX_CHECKED, DetectionBudget, DetectionCounter


@pytest.fixture(scope="module")
def detector():
    import facesr_edge

    return facesr_edge.load_detector(threads=1)


def result(pixels, use, found):
    return FrameResult(Frame(pixels), None, (), found, detection=use)


def test_full_detections_and_pixels_are_counted(detector, astronaut):
    counter, found = DetectionCounter(), detector.detect(astronaut)
    for use in (DetectorUse("full", 0.2), DetectorUse("tracked", 0.05), DetectorUse("tracked", 0.05), None):
        counter.add(result(astronaut, use, found), 0.2)
    budget = counter.budget(detector)
    assert (budget.frames, budget.full, budget.checked, budget.missed_faces) == (4, 2, 1, 0)
    assert budget.saved == pytest.approx(1 - 0.5 / 0.8) and budget.recall == 1
    assert json.loads(json.dumps(budget.to_dict()))["recall"] == 1


def test_faces_missed_in_checked_frames_are_counted(detector, astronaut):
    counter = DetectionCounter()
    for _ in range(300):
        counter.add(result(astronaut, DetectorUse("tracked", 0.05), Detections.empty()), 0.2)
    budget = counter.budget(detector)
    assert budget.checked == MAX_CHECKED and budget.missed_faces == budget.faces >= MAX_CHECKED and budget.recall == 0


def test_without_checked_faces_there_is_no_recall(detector):
    counter = DetectionCounter()
    counter.add(result(np.zeros((64, 64, 3), np.uint8), DetectorUse("tracked", 0.0), Detections.empty()), 0.01)
    assert counter.budget(detector).recall is None


def test_a_budget_is_printed_in_one_line():
    assert str(DetectionBudget(100, 12, 44, 220, 9, 72, 1)) == (
        "full detections: 12 of 100 frames, 80% of the network pixels saved; "
        "71 of 72 faces found in 9 checked frames without one"
    )

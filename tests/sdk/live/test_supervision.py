"""Detections of supervision from results, and back."""

import sys
from types import SimpleNamespace

import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.errors import MissingDependencyError, UsageError
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.live.supervision import from_supervision, to_supervision
from facesr_edge.sdk.live.tracks.usability import yaw_deg
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import FrameResult
from support.live_results import live_face, live_result, skipped_face

sv = pytest.importorskip("supervision")


@pytest.fixture(scope="module")
def detected(astronaut):
    with_detector = facesr_edge.load_detector(threads=1)
    yield with_detector(astronaut)
    with_detector.close()


def live():
    return live_result(live_face(3, score=0.7), live_face(5, score=0.9, detected=False), skipped=(skipped_face(9),))


def frame_result(too_large):
    return FrameResult(Frame(np.zeros((180, 320, 3), np.uint8)), None, (live_face(1),), too_large)


def test_a_result_of_a_camera_has_tracks_scores_and_fields():
    found = to_supervision(live())
    assert found.tracker_id.tolist() == [3, 5, 9]
    assert found.confidence == pytest.approx([0.7, 0.9, 0.8])
    assert found.class_id.tolist() == [0, 0, 0] and found.data["class_name"].tolist() == ["face"] * 3
    assert found.data["treatment"].tolist() == ["network", "network", "skipped"]
    assert found.data["detected"].tolist() == [True, False, True]
    assert found.xyxy[0].tolist() == [20, 20, 52, 60]
    assert to_supervision(live(), scale=2).xyxy[0].tolist() == [40, 40, 104, 120]


def test_a_result_of_a_frame_has_the_faces_that_are_too_large_too(detected):
    found = to_supervision(frame_result(detected))
    assert len(found) == 1 + len(detected) and found.tracker_id is None
    assert found.data["treatment"].tolist() == ["network"] + ["skipped"] * len(detected)


@pytest.mark.parametrize("make", [live, lambda: frame_result(Detections.empty())])
def test_from_ultralytics_reads_results_as_to_supervision_does(make):
    read, written = sv.Detections.from_ultralytics(make()), to_supervision(make())
    assert len(read) > 0
    assert (read.xyxy == written.xyxy).all() and (read.confidence == written.confidence).all()
    assert read.data["class_name"].tolist() == written.data["class_name"].tolist()
    assert (read.tracker_id is None) == (written.tracker_id is None)
    assert read.tracker_id is None or (read.tracker_id == written.tracker_id).all()


@pytest.mark.parametrize(
    "empty", [live_result(), Detections.empty(), frame_result(Detections.empty())], ids=["camera", "detector", "frame"]
)
def test_results_without_faces_have_the_same_fields(empty):
    if isinstance(empty, FrameResult):
        empty = FrameResult(empty.source, None, (), empty.too_large)
    found = to_supervision(empty)
    assert len(found) == 0 and found.xyxy.shape == (0, 4) and "class_name" in found.data
    assert len(from_supervision(found)) == 0


def test_annotators_zones_and_filters_of_supervision_take_them():
    result = live()
    found = to_supervision(result, scale=result.outscale)
    picture = sv.BoxAnnotator().annotate(result.frame.copy(), found)
    labels = [f"{track} {kind}" for track, kind in zip(found.tracker_id, found.data["treatment"], strict=True)]
    picture = sv.LabelAnnotator().annotate(picture, found, labels)
    assert (picture != result.frame).any()
    zone = sv.PolygonZone(np.array([(0, 0), (200, 0), (200, 200), (0, 200)]))
    assert zone.trigger(found).tolist() == [True, True, False]
    assert found[found.data["treatment"] == "skipped"].tracker_id.tolist() == [9]


def test_detections_return_unchanged(detected):
    back = from_supervision(to_supervision(detected))
    for name in ("boxes_xyxy", "scores", "landmarks"):
        assert (getattr(back, name) == getattr(detected, name)).all()


def test_detections_of_another_detector_are_sorted_and_have_unknown_landmarks():
    other = sv.Detections(
        xyxy=np.array([[0, 0, 10, 12], [5, 5, 20, 25.0]]),
        confidence=np.array([0.4, 0.9]),
        data={"class_name": np.array(["Face", "face"])},
    )
    found = from_supervision(other)
    assert found.scores == pytest.approx([0.9, 0.4]) and found.boxes_xyxy[0].tolist() == [5, 5, 20, 25]
    assert np.isnan(found.landmarks).all() and np.isnan(yaw_deg(found.landmarks[0]))
    assert found.boxes_xyxy.dtype == found.scores.dtype == found.landmarks.dtype == np.float32
    points = np.arange(20.0).reshape(2, 5, 2)
    assert (from_supervision(other, points).landmarks == points[::-1]).all()


def test_without_confidence_or_names_all_are_faces_of_score_one():
    found = from_supervision(sv.Detections(xyxy=np.array([[0, 0, 10, 12.0]])))
    assert found.scores.tolist() == [1] and len(found) == 1


def test_other_classes_are_left_out_but_never_all_in_silence(caplog):
    names = np.array(["person", "face", "dog"])
    mixed = sv.Detections(xyxy=np.array([[0, 0, 9, 9], [1, 1, 8, 8], [2, 2, 7, 7.0]]), data={"class_name": names})
    assert from_supervision(mixed).boxes_xyxy[:, 0].tolist() == [1]
    assert from_supervision(mixed, class_name="dog").boxes_xyxy[:, 0].tolist() == [2]
    assert len(from_supervision(mixed, class_name=None)) == 3
    assert len(from_supervision(mixed[names != "face"])) == 0
    assert "no detection of class 'face' among dog, person; give class_name=" in caplog.text


def test_no_detections_need_no_landmarks():
    assert len(from_supervision(sv.Detections.empty(), sv.KeyPoints.empty().xy)) == 0


@pytest.mark.parametrize(
    ("detections", "landmarks", "message"),
    [
        (np.zeros((3, 4)), None, "expected supervision.Detections, got ndarray"),
        (SimpleNamespace(boxes=None), None, "expected supervision.Detections, got SimpleNamespace"),
        (sv.Detections(xyxy=np.array([[5, 5, 5, 9.0]])), None, "right > left"),
        (SimpleNamespace(xyxy=np.array([[5, 5, np.nan, 9]]), confidence=None, data={}), None, "finite"),
        (sv.Detections(xyxy=np.array([[5, 5, 8, 9.0]])), np.zeros((1, 17, 2)), r"landmarks of shape \(1, 5, 2\)"),
    ],
)
def test_what_is_not_usable_is_refused_in_words(detections, landmarks, message):
    with pytest.raises(UsageError, match=message):
        from_supervision(detections, landmarks)


def test_without_supervision_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(MissingDependencyError, match=r"facesr-edge\[supervision\]"):
        to_supervision(live())

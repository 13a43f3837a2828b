"""Comparison under several degradations and crop sizes: order, equality with single comparisons, and left out faces."""

import json

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.evaluate import METRICS
from facesr_edge.engines.errors import InputError, UnknownNameError, UsageError
from facesr_edge.sdk.evaluation.compare import compare
from facesr_edge.sdk.evaluation.conditions import compare_conditions, degradation_names
from facesr_edge.training.data.degrade import DEGRADATIONS

NANO = "edge-nano-x4"
PSNR_ONLY = {"psnr_y_db": METRICS["psnr_y_db"]}


@pytest.fixture(scope="module")
def faces():
    """Faces of 128, 160 and 256 px."""
    sizes = zip((128, 160, 256), sample_faces()[:3], strict=True)
    return [cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC) for side, face in sizes]


@pytest.fixture(scope="module")
def conditions(faces):
    return compare_conditions([NANO], faces, ("camera", "bicubic"), (32, 64), threads=1)


def test_every_crop_size_is_combined_with_every_degradation(conditions):
    order = [(one.crop, one.degradation) for one in conditions.comparisons]
    assert order == [(32, "camera"), (32, "bicubic"), (64, "camera"), (64, "bicubic")]
    assert conditions.degradations == ("camera", "bicubic") and conditions.crops == (32, 64)
    assert conditions.at("bicubic", 64) is conditions.comparisons[-1]


def test_each_condition_equals_a_comparison_of_its_own(conditions, faces):
    alone = compare([NANO], faces, degradation="camera", crop=32, threads=1)
    assert conditions.at("camera", 32).to_dict() == alone.to_dict()


def test_faces_too_small_for_a_crop_size_are_left_out_with_a_note(conditions):
    counts = [one.groups[0].faces for one in conditions.comparisons]
    assert counts == [3, 3, 1, 1] and all(one.faces == 3 for one in conditions.comparisons)
    assert conditions.notes == ("crops of 64 px at x4: 2 of 3 faces are smaller than 256x256 px and left out",)
    assert conditions.at("bicubic", 64).groups[0].small.shape == (1, 64, 64, 3)


@pytest.mark.parametrize(("face", "side"), [(144, 144), (128, 96)])
def test_another_side_than_128_px_has_a_note_and_is_in_the_json(faces, face, side):
    faces = [cv2.resize(one, (face, face), interpolation=cv2.INTER_AREA) for one in faces[:2]]
    results = compare_conditions(["edge-tiny-x3", NANO], faces, metrics=PSNR_ONLY, threads=1)
    note = f"crops of {side // 3} px at x3: the ground truth is {side}x{side} px, not 128x128"
    assert results.notes == (note,)
    assert [(scale["scale"], scale["side"]) for scale in results.to_dict()["scales"]] == [(3, side), (4, 128)]
    alone = compare_conditions(["edge-tiny-x3"], faces, metrics=PSNR_ONLY, threads=1)
    assert alone.to_dict()["side"] == side


def test_metrics_that_were_not_measured_on_all_faces_have_a_note(faces):
    def partly(sr, hr):
        return np.array([np.nan, *np.ones(len(hr) - 1)])

    metrics = {"psnr_y_db": METRICS["psnr_y_db"], "partly": partly}
    conditions = compare_conditions([NANO], faces, ("bicubic", "jpeg-75"), metrics=metrics, threads=1)
    assert conditions.notes == ("crops of 32 px at x4: partly was measured on 2 of 3 faces",)


def test_json_lists_the_evaluations(conditions):
    document = json.loads(json.dumps(conditions.to_dict(), allow_nan=False))
    keys = [(one["crop"], one["degradation"], one["faces"]) for one in document["evaluations"]]
    assert keys == [(32, "camera", 3), (32, "bicubic", 3), (64, "camera", 1), (64, "bicubic", 1)]
    assert all(
        0 < one["invented_detail"] < 1 and one["bicubic_invented_detail"] == 0 for one in document["evaluations"]
    )


def test_one_condition_is_the_comparison_itself(faces):
    conditions = compare_conditions([NANO], faces, threads=1)
    assert conditions.to_dict() == compare([NANO], faces, threads=1).to_dict() and conditions.notes == ()


def test_completed_evaluations_are_counted_over_all_conditions(faces):
    reported = []
    compare_conditions([NANO, "edge-tiny-x2"], faces[:1], ("bicubic", "camera"), report=reported.append, threads=1)
    assert reported == [1, 2, 3, 4]


def test_names_are_expanded_once_each():
    assert degradation_names(["camera", "all", "camera"]) == tuple(dict.fromkeys(("camera", *DEGRADATIONS)))


@pytest.mark.parametrize(
    ("degradations", "crops", "error", "message"),
    [
        (("bicubic", "camrea"), (), UnknownNameError, "did you mean 'camera'"),
        (("bicubic",), (32, 65), InputError, "crops of 65 px at x4 need faces of 260x260 px; all 3 are smaller"),
        (("bicubic",), (32, 10), UsageError, "at least 41 px"),
    ],
)
def test_conditions_are_checked_before_the_first_evaluation(faces, degradations, crops, error, message):
    reported = []
    with pytest.raises(error, match=message):
        compare_conditions([NANO], faces, degradations, crops, report=reported.append)
    assert reported == []


def test_crop_size_beyond_those_of_a_model_is_refused(faces):
    large = [cv2.resize(faces[0], (600, 600))]
    with pytest.raises(UsageError, match="edge-nano-x4 takes crops up to 128 px, got 144 px"):
        compare_conditions([NANO], large, crops=(144,))

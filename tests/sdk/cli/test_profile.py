"""``facesr-edge profile`` says how the detector looked at the frames."""

import json

import pytest


@pytest.mark.parametrize(
    ("min_face", "expected"),
    [
        (8, "detect: 160x120 whole at full size, 0.02 Mpx, faces from 8 px"),
        (20, "detect: 160x120 whole at 0.5 of its size, 0.01 Mpx, faces from 20 px"),
        (5, "detect: 160x120 whole at 2 times its size, 0.08 Mpx, faces from 5 px"),
    ],
)
def test_the_smallest_face_asked_for_sets_what_the_detector_is_shown(facesr, picture, bundle, min_face, expected):
    said = facesr("profile", picture, "--frames", 1, "--warm-up", 0, "--model", bundle, "--min-face", min_face)
    assert said.code == 0 and expected in said.out


def test_the_cost_of_detection_stands_in_the_json_too(facesr, picture, bundle):
    document = json.loads(facesr("profile", picture, "--frames", 1, "--json", "--model", bundle, "--min-face", 20).out)
    assert document["detect"]["kind"] == "reduced" and document["detect"]["scale"] == 0.5


@pytest.mark.parametrize("min_face", ["0", "-3", "nan", "inf", "small"])
def test_a_smallest_face_that_cannot_be_is_wrong_usage(facesr, picture, bundle, min_face):
    said = facesr("profile", picture, "--model", bundle, "--min-face", min_face)
    assert said.code == 2 and ("1 or more" in said.error or "not a valid float" in said.error)

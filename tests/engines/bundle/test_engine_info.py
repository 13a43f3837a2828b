"""What an engine was made for: each mismatch is told in words, and what TensorRT allows is allowed."""

from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.engine_info import EngineInfo, mismatches
from facesr_edge.engines.errors import BundleError

ORIN = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", "ab" * 32, jetpack="6.2")


def test_an_engine_runs_where_it_was_made():
    assert mismatches(ORIN, ORIN) == ()


@pytest.mark.parametrize(
    ("here", "told"),
    [
        ({"version": "10.7.0"}, "compiled by TensorRT 10.3.0, this is 10.7.0"),
        ({"runtime": "OpenVINO", "version": "2026.1"}, "compiled by TensorRT, this is OpenVINO"),
        ({"compute_capability": "9.0", "gpu": "H200"}, "compute capability 8.7 (Orin), this GPU has 9.0 (H200)"),
        ({"gpu": "A10"}, "compiled for Orin, this GPU is A10"),
        ({"onnx": "cd" * 32}, "from another graph than the one beside it"),
        ({"calibration": "ef" * 32}, "calibrated on other faces than the card says"),
    ],
)
def test_a_mismatch_is_told_in_words(here, told):
    (said,) = mismatches(ORIN, replace(ORIN, **here))
    assert told in said


def test_all_mismatches_are_told_at_once():
    here = replace(ORIN, version="11.4.0", compute_capability="11.0", gpu="Thor", onnx="cd" * 32)
    assert len(mismatches(ORIN, here)) == 3


@pytest.mark.parametrize("here", [{"driver": "13.0"}, {"jetpack": "6.1"}, {"board": {"power_mode": "15W"}}])
def test_another_driver_alone_is_no_mismatch(here):
    assert mismatches(ORIN, replace(ORIN, **here)) == ()


@pytest.mark.parametrize(
    ("version", "runs"),
    [
        ("10.3.0", True),
        ("10.16.1", True),
        ("11.4.0", True),
        ("10.2.0", False),
        ("12.0.0", False),
        ("10.3.0.post1", True),
    ],
)
def test_an_engine_for_any_version_runs_in_later_ones_of_this_major_and_the_next(version, runs):
    made = replace(ORIN, version_compatible=True)
    assert (mismatches(made, replace(ORIN, version=version)) == ()) is runs


@pytest.mark.parametrize(("capability", "runs"), [("8.0", True), ("9.0", True), ("11.0", True), ("7.5", False)])
def test_an_engine_for_any_gpu_runs_from_ampere_on(capability, runs):
    made = replace(ORIN, hardware_compatible=True)
    assert (mismatches(made, replace(ORIN, compute_capability=capability, gpu="other")) == ()) is runs


@pytest.mark.parametrize("odd", [{"gpu": ""}, {"onnx": 7}, {"version": None}, {"board": "MAXN"}])
def test_a_key_of_the_wrong_kind_is_refused(odd):
    with pytest.raises(BundleError, match="the key of an engine needs"):
        replace(ORIN, **odd)

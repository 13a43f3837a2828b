"""The session of the uncertainty head: calibrations that are valid, verified and of the right network; its inputs."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import CALIBRATION, WEIGHTS, open_bundle
from facesr_edge.engines.errors import BundleError, EngineError
from facesr_edge.engines.registry import open_session
from facesr_edge.engines.uncertainty import Calibration, UncertaintySession, calibration_for, calibrations
from facesr_edge.zoo import catalogue

GOOD = {"network": "a", "weights": "b", "raw": (1.0, 2.0), "calibrated": (2.0, 3.0)}


@pytest.fixture(scope="module")
def head():
    return catalogue.find(catalogue.UNCERTAINTY)


@pytest.fixture(scope="module")
def session(head):
    with UncertaintySession(head, catalogue.find("edge-nano-x4").card, 1) as opened:
        yield opened


def pair(count, side, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (count, k * side, k * side, 3), dtype=np.uint8) for k in (1, 4))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"network": ""}, "name and the SHA-256"),
        ({"raw": (1.0,), "calibrated": (1.0,)}, "at least two"),
        ({"raw": (1.0, 2.0, 3.0)}, "as many raw"),
        ({"raw": (2.0, 1.0)}, "must rise"),
        ({"calibrated": (3.0, 2.0)}, "must rise"),
        ({"raw": (1.0, float("nan"))}, "finite"),
        ({"calibrated": (-1.0, 2.0)}, "finite numbers of 0"),
        ({"calibrated": ("1", 2.0)}, "finite numbers"),
    ],
)
def test_invalid_calibration_is_rejected(wrong, message):
    with pytest.raises(BundleError, match=message):
        Calibration(**{**GOOD, **wrong})


def test_widths_are_interpolated_rounded_and_held_outside_of_the_calibration():
    own = Calibration("a", "b", (1.0, 3.0, 9.0), (2.0, 4.0, 300.0))
    assert own.apply(np.array([0.0, 1.0, 2.0, 3.0, 99.0])).tolist() == [2, 2, 3, 4, 255]


def test_shipped_head_is_calibrated_for_the_default_model_and_the_edge_networks(head):
    names = {one.network for one in calibrations(head).values()}
    expected = {f"edge-{size}-x4{kind}" for size in ("nano", "tiny", "small") for kind in ("", "-camera")}
    assert expected | {catalogue.DEFAULT_MODEL} <= names


def test_every_calibration_is_of_the_weights_in_the_package(head):
    for one in calibrations(head).values():
        assert catalogue.find(one.network).card.files[WEIGHTS] == one.weights


def test_network_without_calibration_is_refused_with_those_that_have_one(head):
    with pytest.raises(EngineError, match=r"not calibrated for vdsr-x4 .* edge-tiny-x4-camera"):
        UncertaintySession(head, catalogue.find("vdsr-x4").card)


def test_other_weights_under_the_same_name_are_refused(head):
    card = catalogue.find("edge-tiny-x4").card
    with pytest.raises(EngineError, match="not calibrated for edge-tiny-x4 and its weights"):
        calibration_for(head, replace(card, files={**card.files, WEIGHTS: 64 * "0"}))


def test_model_in_the_place_of_a_head_is_refused():
    model = catalogue.find("edge-nano-x4")
    with pytest.raises(EngineError, match="expected an uncertainty head, got a bundle for super-resolution"):
        UncertaintySession(model, model.card)


def test_head_in_the_place_of_a_model_is_refused(head):
    with pytest.raises(EngineError, match="runs beside a model"):
        open_session(head)


def test_altered_calibration_is_refused(head, tmp_path):
    folder = shutil.copytree(head.folder, tmp_path / "head")
    values = json.loads((folder / CALIBRATION).read_text())
    values["networks"][0]["calibrated"][-1] += 1
    (folder / CALIBRATION).write_text(json.dumps(values))
    with pytest.raises(BundleError, match=r"calibration\.json was altered"):
        open_bundle(folder)
    with pytest.raises(BundleError, match=r"calibration\.json was altered"):
        calibrations(replace(head, folder=folder))


def test_file_of_the_head_is_small(head):
    assert head.onnx.stat().st_size <= 100_000


@pytest.mark.parametrize("side", [32, 48])
def test_widths_have_the_size_of_the_upscaled_pixels_and_do_not_depend_on_the_batch(session, side):
    crops, pixels = pair(3, side)
    together = session.infer(crops, pixels)
    assert together.shape == (3, 4 * side, 4 * side) and together.dtype == np.uint8
    alone = np.concatenate([session.infer(crops[n : n + 1], pixels[n : n + 1]) for n in range(3)])
    assert np.abs(together.astype(int) - alone).max() <= 1  # sums in another order, before rounding


def test_batch_of_large_crops_is_split(session):
    crops, pixels = pair(3, 112)  # one call would have more than the limit
    assert session.infer(crops, pixels).shape == (3, 448, 448)


@pytest.mark.parametrize(
    ("crops", "pixels", "message"),
    [
        (np.zeros((1, 32, 32, 3), np.float32), np.zeros((1, 128, 128, 3), np.uint8), "expected crops"),
        (np.zeros((0, 32, 32, 3), np.uint8), np.zeros((0, 128, 128, 3), np.uint8), "expected crops"),
        (np.zeros((32, 32, 3), np.uint8), np.zeros((128, 128, 3), np.uint8), "expected crops"),
        (np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 64, 64, 3), np.uint8), "for networks of scale 4"),
        (np.zeros((1, 32, 32, 3), np.uint8), np.zeros((2, 128, 128, 3), np.uint8), "expected upscaled pixels"),
    ],
)
def test_other_shapes_and_types_are_refused(session, crops, pixels, message):
    with pytest.raises(EngineError, match=message):
        session.infer(crops, pixels)


def test_closed_session_raises(head):
    session = UncertaintySession(head, catalogue.find("edge-nano-x4").card, 1)
    session.close()
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.infer(*pair(1, 32))

"""Predictions for bundles and frames."""

from math import exp

import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.bench.predict.devices import DEVICES
from facesr_edge.sdk.bench.predict.fit import AnchorWork, read_anchors
from facesr_edge.sdk.bench.predict.predict import (
    HELD_OUT_FACTOR,
    SHARE,
    error_factor,
    predict_bundle,
    predict_frames,
)
from facesr_edge.sdk.bench.predict.roofline import COEFFICIENTS
from facesr_edge.zoo import catalogue

NANO, THOR = DEVICES["orin-nano-super"], DEVICES["agx-thor"]


@pytest.mark.parametrize("name", catalogue.names())
def test_every_bundle_of_the_zoo_is_predicted(name):
    bundle = catalogue.find(name)
    predictions = predict_bundle(bundle, [NANO], ["fp16"], batch=1)
    io_spec = bundle.card.io_spec
    assert len(predictions) == len(io_spec.crop_sizes or [(384, 640)] * 5)
    for p in predictions:
        assert 0 < p.launch_ms < p.low_ms < p.ms < p.high_ms < 1000
        assert p.kernels * COEFFICIENTS.launch_kcycles * 1e-3 / NANO.gpu_ghz == pytest.approx(p.launch_ms)
    assert [p.ms for p in predictions] == sorted(p.ms for p in predictions)


def test_int8_is_predicted_where_the_bundle_has_a_graph():
    fp16, int8 = predict_bundle(catalogue.find("edge-small-x4"), [NANO], batch=1)[::7]
    assert (fp16.precision, int8.precision) == ("fp16", "int8") and int8.ms < fp16.ms and int8.gmac == fp16.gmac
    assert {p.precision for p in predict_bundle(catalogue.find("srcnn-x4"), [NANO], batch=1)} == {"fp16"}


def test_batches_are_those_of_the_engine():
    bundle = catalogue.find("edge-nano-x4")
    predictions = predict_bundle(bundle, [NANO, THOR], ["fp16"])
    runs = {(p.height, p.batch) for p in predictions if p.device == "orin-nano-super"}
    assert runs == {(s, n) for s in bundle.card.io_spec.crop_sizes for n in bundle.card.io_spec.batches_of(s, s)}
    one, eight = (next(p for p in predictions if p.batch == n) for n in (1, 8))
    assert one.ms < eight.ms < 8 * one.ms and one.kernels == eight.kernels
    with pytest.raises(UsageError, match="edge-nano-x4 runs batches of 1, 2, 4, 8, got 3"):
        predict_bundle(bundle, [NANO], batch=3)


def test_a_frame_is_the_detector_and_the_faces_in_the_fewest_calls():
    both = [
        *predict_bundle(catalogue.find("detector"), [NANO]),
        *predict_bundle(catalogue.find("edge-nano-x4"), [NANO]),
    ]
    frame = next(f for f in predict_frames(both, 6) if (f.precision, f.side) == ("int8", 32))
    detector = max(p.ms for p in both if (p.model, p.precision) == ("detector", "int8"))
    calls = {p.batch: p.ms for p in both if (p.model, p.precision, p.height) == ("edge-nano-x4", "int8", 32)}
    assert frame.ms == pytest.approx(detector + calls[4] + calls[2]) and frame.low_ms < frame.ms < frame.high_ms
    assert predict_frames([p for p in both if p.model != "detector"], 6) == []


def test_anchors_lie_within_the_stated_bars():
    anchors = read_anchors()
    errors = AnchorWork(anchors).log_ratios(COEFFICIENTS)
    within = [exp(abs(e)) <= HELD_OUT_FACTOR[a.on.architecture] for a, e in zip(anchors, errors, strict=True)]
    assert sum(within) / len(within) >= SHARE
    assert all(exp(abs(e)) < 1.35 for e in errors)


def test_bars_widen_with_what_no_anchor_has():
    assert error_factor(NANO, 0, 0) == pytest.approx(HELD_OUT_FACTOR["ampere"])
    assert error_factor(NANO, 0, 0) < error_factor(NANO, 0.9, 0) < error_factor(NANO, 0.9, 0.1) < 1.4
    assert error_factor(NANO, 0.5, 0.3) < error_factor(THOR, 0.5, 0.3)

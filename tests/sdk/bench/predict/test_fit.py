"""The fit of the roofline model: reference networks, anchors, coefficients, and leave-one-out error."""

from collections import Counter
from dataclasses import astuple, replace

import numpy as np
import pytest
from facesr_edge.sdk.bench.predict.devices import DEVICES
from facesr_edge.sdk.bench.predict.fit import AnchorWork, factor, fit, held_out_log_ratios, read_anchors
from facesr_edge.sdk.bench.predict.predict import HELD_OUT_FACTOR, SHARE
from facesr_edge.sdk.bench.predict.reference_networks import REFERENCE_NETWORKS
from facesr_edge.sdk.bench.predict.roofline import COEFFICIENTS

ANCHORS = read_anchors()
PUBLISHED = {  # side, 10⁹ operations (two a multiply-add), 10⁶ parameters; from the networks' own documentation
    "yolov8n": (640, 8.7, 3.2),
    "yolov8s": (640, 28.6, 11.2),
    "yolov8m": (640, 78.9, 25.9),
    "yolo11n": (640, 6.5, 2.6),
    "yolo11s": (640, 21.5, 9.4),
    "yolo11m": (640, 68.0, 20.1),
    "yolo11l": (640, 86.9, 25.3),
    "yolo11x": (640, 194.9, 56.9),
    "yoloxn": (416, 1.08, 0.91),
    "yoloxt": (416, 6.45, 5.06),
    "yoloxs": (640, 26.8, 9.0),
    "yoloxm": (640, 73.8, 25.3),
}


@pytest.mark.parametrize("name", REFERENCE_NETWORKS)
def test_reference_networks_have_the_published_size(name):
    side, giga_operations, million_parameters = PUBLISHED[name]
    kernels = REFERENCE_NETWORKS[name](side, "fp16")
    assert 2e-9 * sum(k.macs for k in kernels) == pytest.approx(giga_operations, rel=0.035)  # some count normalization
    assert 1e-6 * sum(k.weights for k in kernels) == pytest.approx(million_parameters, rel=0.02)
    int8 = REFERENCE_NETWORKS[name](side, "int8")
    assert [k.macs for k in int8] == [k.macs for k in kernels]
    assert sum(k.bytes for k in int8) < 0.6 * sum(k.bytes for k in kernels)


def test_anchors_cover_devices_families_and_precisions():
    assert len(set(ANCHORS)) == len(ANCHORS) == 128
    assert {a.device for a in ANCHORS} == set(DEVICES) - {"orin-nano-25w"}
    assert {a.network for a in ANCHORS} == set(REFERENCE_NETWORKS)
    assert Counter(a.precision for a in ANCHORS) == {"fp16": 106, "int8": 22}
    (issue,) = (a for a in ANCHORS if (a.network, a.precision, a.device) == ("yolov8n", "int8", "orin-nano-super"))
    assert (issue.ms, issue.side) == (3.49, 640)


def test_coefficients_are_those_of_the_fit():
    assert astuple(fit(ANCHORS)) == pytest.approx(astuple(COEFFICIENTS), rel=0.02)
    errors = AnchorWork(ANCHORS).log_ratios(COEFFICIENTS)
    assert np.exp(np.sqrt(np.mean(errors**2))) < 1.08 and factor(errors.tolist(), 0.95) < 1.15


def test_error_bars_are_those_of_held_out_families():
    errors = held_out_log_ratios(ANCHORS, lambda anchor: anchor.family)
    assert len(errors) == len(ANCHORS)
    for architecture, bar in HELD_OUT_FACTOR.items():
        held_out = [e for anchor, e in errors.items() if anchor.on.architecture == architecture]
        assert factor(held_out, SHARE) == pytest.approx(bar, rel=0.01), architecture


def test_a_fit_recovers_the_coefficients_that_made_the_times():
    truth = COEFFICIENTS.__class__(0.5, 0.7, 8.0, 7.0, 0.8, 0.6)
    times = AnchorWork(ANCHORS).predicted_ms(truth)
    made = [a.__class__(*astuple(a)[:4], ms, a.source) for a, ms in zip(ANCHORS, times.tolist(), strict=True)]
    fitted = fit(made)
    assert fitted.cache_megabytes == pytest.approx(truth.cache_megabytes, rel=0.25)  # ten anchors, pulled to the start
    assert astuple(replace(fitted, cache_megabytes=8.0)) == pytest.approx(astuple(truth), rel=0.05)

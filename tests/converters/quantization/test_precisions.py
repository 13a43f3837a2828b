"""The card of an FP32 bundle has the accuracy drop of FP16 and INT8, or the reason they are rejected."""

import pytest
from facesr_edge.converters.build import build
from facesr_edge.converters.options import BuildOptions
from facesr_edge.converters.quantization import precisions
from facesr_edge.converters.quantization.precisions import report_precisions
from facesr_edge.converters.spec import resolve
from facesr_edge.engines.bundle.bundle import open_bundle


@pytest.fixture
def spec(tiny_weights):
    return resolve("idrn", tiny_weights(2), "tiny")


@pytest.fixture
def bundle(spec, tmp_path):
    return build(spec, tmp_path / "tiny")


def test_card_has_the_accuracy_drop_of_fp16_and_int8(spec, bundle, tmp_path):
    lines = []
    reported = report_precisions(bundle, report=lines.append)
    fp32, *others = open_bundle(reported.folder).card.evaluations
    metrics = {evaluation.precision: evaluation.metrics for evaluation in others}
    assert set(metrics) == {"fp16", "int8"} and (fp32,) == bundle.card.evaluations
    for precision, max_drop in precisions.MAX_DROP_DB.items():
        options = BuildOptions(precision=precision, engine="onnxruntime", max_psnr_drop=max_drop)
        built = build(spec, tmp_path / precision, options).card.evaluations[-1].metrics
        psnr_y_db, drop_db = metrics[precision]["psnr_y_db"], metrics[precision]["drop_db"]
        assert psnr_y_db == pytest.approx(built["psnr_y_db"], abs=1e-3)
        assert drop_db == pytest.approx(fp32.metrics["psnr_y_db"] - psnr_y_db, abs=1e-3)
        assert drop_db <= max_drop and any(line.startswith(precision) for line in lines)
    assert reported.onnx.read_bytes() == bundle.onnx.read_bytes()


def test_precision_beyond_the_limit_is_rejected_with_the_reason(bundle, monkeypatch):
    monkeypatch.setattr(precisions, "MAX_DROP_DB", {"fp16": -1.0, "int8": -1.0})
    _, *others = report_precisions(bundle).card.evaluations
    assert [evaluation.precision for evaluation in others] == ["fp16", "int8"]
    assert all("dB" in evaluation.metrics["rejected"] for evaluation in others)

"""Precisions that are added to an FP32 bundle: INT8 graphs, and the accuracy drop or the reason of a rejection."""

import numpy as np
import pytest
from facesr_edge.converters.build import build
from facesr_edge.converters.options import BuildOptions
from facesr_edge.converters.quantization import precisions
from facesr_edge.converters.quantization.precisions import add_precisions
from facesr_edge.converters.spec import resolve
from facesr_edge.engines.bundle.bundle import INT8_ONNX, INT8_VNNI_ONNX, open_bundle
from facesr_edge.engines.cpu import has_bf16, has_vnni
from facesr_edge.engines.onnxruntime.session import OrtSession


@pytest.fixture
def spec(tiny_weights):
    return resolve("idrn", tiny_weights(2), "tiny")


@pytest.fixture
def bundle(spec, tmp_path):
    return build(spec, tmp_path / "tiny")


def test_card_has_the_accuracy_drop_of_fp16_and_int8(spec, bundle, tmp_path):
    lines = []
    added = add_precisions(bundle, report=lines.append)
    fp32, *others = open_bundle(added.folder).card.evaluations
    metrics = {evaluation.precision: evaluation.metrics for evaluation in others}
    assert set(metrics) == {"fp16", "int8", *(["bf16"] if has_bf16() else [])}
    assert (fp32,) == bundle.card.evaluations
    for precision, max_drop in precisions.MAX_DROP_DB.items():
        options = BuildOptions(precision=precision, engine="onnxruntime", max_psnr_drop=max_drop)
        built = build(spec, tmp_path / precision, options).card.evaluations[-1].metrics
        psnr_y_db, drop_db = metrics[precision]["psnr_y_db"], metrics[precision]["drop_db"]
        assert psnr_y_db == pytest.approx(built["psnr_y_db"], abs=1e-3)
        assert drop_db == pytest.approx(fp32.metrics["psnr_y_db"] - psnr_y_db, abs=1e-3)
        assert drop_db <= max_drop and any(line.startswith(precision) for line in lines)
    assert added.onnx.read_bytes() == bundle.onnx.read_bytes()


def test_bundle_has_int8_graphs_beside_fp32(bundle):
    added = add_precisions(bundle)
    assert added.precisions == ("fp32", "int8")
    assert {INT8_ONNX, *([INT8_VNNI_ONNX] if has_vnni() else [])} <= set(added.card.files)
    assert added.graph("int8").name == (INT8_VNNI_ONNX if has_vnni() else INT8_ONNX)
    metrics = {evaluation.precision: evaluation.metrics for evaluation in added.card.evaluations}["int8"]
    assert ("vnni_drop_db" in metrics) == has_vnni()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    fp32, int8 = (OrtSession(added, precision=precision).infer_batches([pixels])[0] for precision in added.precisions)
    assert fp32.tensor.shape == int8.tensor.shape and not np.array_equal(fp32.tensor, int8.tensor)
    assert fp32.residual.shape == int8.residual.shape == (2,)


def test_precision_beyond_the_limit_is_rejected_with_the_reason(bundle, monkeypatch):
    monkeypatch.setattr(precisions, "MAX_DROP_DB", {"fp16": -1.0, "int8": -1.0})
    rejected = add_precisions(bundle)
    _, *others = rejected.card.evaluations
    assert [evaluation.precision for evaluation in others[:2]] == ["fp16", "int8"]
    assert all("dB" in evaluation.metrics["rejected"] for evaluation in others[:2])
    assert rejected.precisions == ("fp32",)

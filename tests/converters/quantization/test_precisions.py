"""What fewer bits cost stands on the card, or why a network is kept out of them."""

import pytest
from facesr_edge.calibration.data.faces import SAMPLE_NAME as SAMPLE
from facesr_edge.converters.build import build_from
from facesr_edge.converters.quantization import precisions
from facesr_edge.converters.quantization.precisions import report_precisions
from facesr_edge.converters.spec import build_spec
from facesr_edge.engines.bundle.bundle import open_bundle


@pytest.fixture
def plan(tiny_weights):
    return build_spec("idrn", tiny_weights(2), "tiny")


@pytest.fixture
def bundle(plan, tmp_path):
    return build_from(plan, tmp_path / "tiny")


def test_the_card_says_what_fp16_and_int8_lose(plan, bundle, tmp_path):
    lines = []
    told = report_precisions(bundle, report=lines.append)
    fewer = open_bundle(told.folder).card.quality["fewer bits"]
    assert set(fewer) == {"fp16", "int8"}
    plain = bundle.card.quality[SAMPLE]["psnr_y_db"]
    for precision, most in precisions.MAX_DROP_DB.items():
        built = build_from(plan, tmp_path / precision, precision=precision, target="onnxruntime", max_psnr_drop=most)
        assert fewer[precision]["psnr_y_db"] == pytest.approx(built.card.quality[SAMPLE]["psnr_y_db"], abs=1e-3)
        assert fewer[precision]["drop_db"] == pytest.approx(plain - fewer[precision]["psnr_y_db"], abs=1e-3)
        assert fewer[precision]["drop_db"] <= most and any(line.startswith(precision) for line in lines)
    assert told.onnx.read_bytes() == bundle.onnx.read_bytes()
    assert told.card.quality[SAMPLE] == bundle.card.quality[SAMPLE]


def test_a_network_that_loses_more_is_kept_out_with_the_reason(bundle, monkeypatch):
    monkeypatch.setattr(precisions, "MOST_DROP_DB", {"fp16": -1.0, "int8": -1.0})
    fewer = report_precisions(bundle).card.quality["fewer bits"]
    assert all("dB" in fewer[precision]["kept_out"] for precision in ("fp16", "int8"))

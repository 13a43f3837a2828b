"""What fewer bits cost stands on the card, or why a network is kept out of them."""

import pytest
from facesr_edge.converters import precisions
from facesr_edge.converters.blueprint import blueprint
from facesr_edge.converters.build import build_from
from facesr_edge.converters.precisions import measured, with_precisions
from facesr_edge.engines.bundle import open_bundle


@pytest.fixture
def plan(tiny_weights):
    return blueprint("idrn", tiny_weights(2), "tiny")


@pytest.fixture
def bundle(plan, tmp_path):
    return build_from(plan, tmp_path / "tiny")


def test_the_card_says_what_fp16_and_int8_lose(plan, bundle):
    lines = []
    told = with_precisions(bundle, plan, report=lines.append)
    fewer = open_bundle(told.folder).card.quality["fewer bits"]
    assert set(fewer) == {"fp16", "int8"}
    plain = measured(bundle, None)["psnr_y_db"]
    for precision, most in precisions.MOST_DROP_DB.items():
        assert fewer[precision]["drop_db"] == pytest.approx(plain - fewer[precision]["psnr_y_db"], abs=1e-3)
        assert fewer[precision]["drop_db"] <= most and any(line.startswith(precision) for line in lines)
    assert told.onnx.read_bytes() == bundle.onnx.read_bytes() and measured(told, None) == measured(bundle, None)


def test_a_network_that_loses_more_is_kept_out_with_the_reason(plan, bundle, monkeypatch):
    monkeypatch.setattr(precisions, "MOST_DROP_DB", {"fp16": -1.0, "int8": -1.0})
    fewer = with_precisions(bundle, plan).card.quality["fewer bits"]
    assert "loses" in fewer["fp16"]["kept_out"]
    assert "dB" in fewer["int8"]["kept_out"]

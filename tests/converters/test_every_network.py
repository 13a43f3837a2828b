"""Every network of the papers goes the whole way, in each precision, and gives the pixels of its contract."""

import numpy as np
import pytest
import torch
from facesr_edge.converters.build import build
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import Provenance, weights_bytes

SMALL = [
    ("crl", {"depth": 1, "width": 8, "scale": 8}),
    *(("edge", {"width": 8, "depth": 2, "scale": scale}) for scale in (2, 3, 4, 8)),
    ("mffcn", {"width": 8, "scale": 3}),
    ("sisn", {"groups": 1, "blocks": 1, "width": 8, "scale": 4}),
    ("srcnn", {"scale": 2}),
    ("srresnet", {"depth": 1, "width": 8, "scale": 4}),
    ("vdsr", {"depth": 3, "width": 8, "scale": 4}),
]


@pytest.mark.parametrize("precision", ["fp16", "int8"])  # each is made of FP32, whose parity stands on the card too
@pytest.mark.parametrize(("name", "config"), SMALL, ids=[f"{name}-x{config['scale']}" for name, config in SMALL])
def test_a_network_becomes_a_bundle_that_runs_at_each_of_its_windows(name, config, precision, tmp_path):
    torch.manual_seed(0)
    (weights := tmp_path / "w.safetensors").write_bytes(
        weights_bytes(build_network(name, config), name, config, Provenance({"data": "none: random weights"}))
    )
    bundle = build(name, tmp_path / "made", precision=precision, weights=weights, target="onnxruntime")
    card, scale = bundle.card, config["scale"]
    assert card.network == name and card.io_spec.scale == scale
    assert card.parity["simplified_largest_departure"] <= 1e-3
    session = OrtSession(bundle, threads=1)
    for side in card.io_spec.windows[:2]:
        pixels = session.infer(np.full((2, side, side, 3), 90, np.uint8))
        assert pixels.shape == (2, scale * side, scale * side, 3)
        assert np.abs(pixels.astype(int) - 90).mean() < 60  # random weights add something, not everything
    session.close()


def test_attention_over_all_pairs_of_positions_takes_no_large_crops(tmp_path):
    config = dict(SMALL)["crl"]
    (weights := tmp_path / "w.safetensors").write_bytes(
        weights_bytes(build_network("crl", config), "crl", config, Provenance())
    )
    assert build("crl", tmp_path / "made", weights=weights).card.io_spec.windows == (32, 48, 64)


@pytest.mark.parametrize(("scale", "least"), [(2, 32), (4, 32), (8, 16)])
def test_windows_begin_with_the_smallest_face_that_is_worth_it(scale, least):
    assert min(super_resolution(scale).windows) == least

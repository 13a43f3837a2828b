"""Weights in 16 bits: what is kept is what was measured, and a network that suffers keeps its 32."""

import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.build import build
from facesr_edge.converters.export.half_weights import MAX_LOSS_DB, half_weights
from facesr_edge.engines.bundle.bundle import WEIGHTS
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import Provenance, network_from, read_weights, weights_bytes
from facesr_edge.zoo import catalogue


def tiny():
    torch.manual_seed(0)
    return build_network("idrn", {"depth": 1, "width": 8, "scale": 4}).eval()


def test_rounding_leaves_values_that_16_bits_hold_and_the_original_alone():
    network = tiny()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    rounded, cost_db = half_weights(network, 4, sample_faces()[:2])
    assert all(torch.equal(value, value.half().float()) for value in rounded.state_dict().values())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert any(not torch.equal(value, before[key]) for key, value in rounded.state_dict().items())
    assert abs(cost_db) < MAX_LOSS_DB


def test_a_network_whose_weights_are_too_large_for_16_bits_is_told_by_the_cost():
    card = catalogue.find("idrn-x4").card
    network = network_from(read_weights(catalogue.FOLDER / "idrn-x4" / WEIGHTS), card.network, card.config)
    with torch.no_grad():  # the same function: the ReLU between them does not mind
        network.upsampling[3].weight *= 1e-8
        network.upsampling[3].bias *= 1e-8
        network.tail.weight *= 1e8
    _, cost_db = half_weights(network, 4, sample_faces()[:2])
    assert not cost_db < MAX_LOSS_DB


def test_a_bundle_keeps_16_bits_and_gives_what_they_give(tiny_weights, tmp_path):
    bundle = build("idrn", tmp_path / "made", weights=tiny_weights(2))
    kept = read_weights(bundle.folder / WEIGHTS)
    assert all(value.dtype == torch.float16 for value in kept.tensors.values())
    again = build("idrn", tmp_path / "again", weights=bundle.folder / WEIGHTS)
    assert again.onnx.read_bytes() == bundle.onnx.read_bytes()
    session = OrtSession(bundle, threads=1)
    assert session.infer(sample_faces()[0][None, :32, :32]).shape == (1, 64, 64, 3)
    session.close()


def test_weights_are_written_in_the_type_asked_for(tmp_path):
    network = build_network("srresnet", {"depth": 1, "width": 8})
    content = weights_bytes(network, "srresnet", {"depth": 1, "width": 8}, Provenance(), torch.float16)
    (path := tmp_path / "w.safetensors").write_bytes(content)
    read = read_weights(path)
    kinds = {value.dtype for value in read.tensors.values()}
    assert kinds == {torch.float16, torch.int64}  # a norm counts its batches
    assert network_from(read, "srresnet", {"depth": 1, "width": 8}).head[0].weight.dtype == torch.float32


def test_a_weight_without_end_is_never_kept_even_where_it_does_not_show():
    torch.manual_seed(0)
    network = build_network("sisn", {"groups": 1, "blocks": 1, "width": 8}).eval()
    with torch.no_grad():
        network.groups[0].structure.excite.bias[0] = 1e5  # a share of 1, in 16 bits as well
    _, cost_db = half_weights(network, 4, sample_faces()[:2])
    assert not cost_db < MAX_LOSS_DB

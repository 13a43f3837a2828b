"""FP16 storage of weights: used if the measured loss is negligible, otherwise weights stay FP32."""

import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.build import build
from facesr_edge.converters.export.half_weights import MAX_LOSS_DB, half_weights
from facesr_edge.engines.bundle.bundle import WEIGHTS
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.networks import build_network
from facesr_edge.networks.weights import Provenance, network_from, read_weights, weights_bytes
from facesr_edge.zoo import catalogue


def tiny():
    torch.manual_seed(0)
    return build_network("idrn", {"depth": 1, "width": 8, "scale": 4}).eval()


def test_rounded_weights_are_fp16_values_and_the_original_is_unchanged():
    network = tiny()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    rounded, loss_db = half_weights(network, super_resolution(4), sample_faces()[:2])
    assert all(torch.equal(value, value.half().float()) for value in rounded.state_dict().values())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert any(not torch.equal(value, before[key]) for key, value in rounded.state_dict().items())
    assert abs(loss_db) < MAX_LOSS_DB


def test_weights_that_underflow_in_fp16_have_a_loss():
    card = catalogue.find("idrn-x4").card
    network = network_from(read_weights(catalogue.FOLDER / "idrn-x4" / WEIGHTS), card.network, card.config)
    with torch.no_grad():  # the same function, as the ReLU between the layers is homogeneous
        network.upsampling[3].weight *= 1e-8
        network.upsampling[3].bias *= 1e-8
        network.tail.weight *= 1e8
    _, loss_db = half_weights(network, super_resolution(4), sample_faces()[:2])
    assert not loss_db < MAX_LOSS_DB


def test_bundle_of_fp16_weights_has_the_same_graph(tiny_bundle, tmp_path):
    bundle = tiny_bundle(2)
    stored = read_weights(bundle.folder / WEIGHTS)
    assert all(value.dtype == torch.float16 for value in stored.tensors.values())
    again = build("idrn", tmp_path / "again", weights=bundle.folder / WEIGHTS)
    assert again.onnx.read_bytes() == bundle.onnx.read_bytes()
    session = OrtSession(bundle, threads=1)
    assert session.infer(sample_faces()[0][None, :32, :32]).shape == (1, 64, 64, 3)
    session.close()


def test_weights_are_written_in_the_given_dtype(tmp_path):
    network = build_network("srresnet", {"depth": 1, "width": 8})
    content = weights_bytes(network, "srresnet", {"depth": 1, "width": 8}, Provenance(), torch.float16)
    (path := tmp_path / "w.safetensors").write_bytes(content)
    read = read_weights(path)
    dtypes = {value.dtype for value in read.tensors.values()}
    assert dtypes == {torch.float16, torch.int64}  # BatchNorm counts its batches
    assert network_from(read, "srresnet", {"depth": 1, "width": 8}).head[0].weight.dtype == torch.float32


def test_weight_that_overflows_is_rejected_even_without_effect_on_the_output():
    torch.manual_seed(0)
    network = build_network("sisn", {"groups": 1, "blocks": 1, "width": 8}).eval()
    with torch.no_grad():
        network.groups[0].structure.excite.bias[0] = 1e5  # saturates the sigmoid, in FP16 too
    _, loss_db = half_weights(network, super_resolution(4), sample_faces()[:2])
    assert not loss_db < MAX_LOSS_DB

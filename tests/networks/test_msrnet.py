"""MSRNet: effect of references, initialization, multiply-adds, exported graphs."""

import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from facesr_edge.converters.export.onnx import OPSET, strip_metadata
from facesr_edge.networks.layers.resample import enlarge
from facesr_edge.networks.msrnet.network import REFERENCES, MSRNet
from support.onnx_rules import unsupported
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

TINY = {"width": 8, "trunk": 1, "match_width": 4, "global_channels": 16, "side": 4}


def tiny(**config):
    """Small network with a large tail, so that its output differs clearly from the bicubic image."""
    network = MSRNet(**{**TINY, **config}).eval()
    for layer in (network.tail, *([network.doubling.tail] if network.doubling else [])):
        layer.weight.data.mul_(100)
    return network


def reference_features(network, faces, references):
    """Keys and values of random references for each face: (N, R, L, P), (N, R, L, V)."""
    with torch.inference_mode():
        images = torch.rand(faces * references, 3, network.large_side, network.large_side)
        return [tensor.unflatten(0, (faces, references)) for tensor in network.encode(images)]


@pytest.mark.parametrize(("scale", "side"), [(4, 8), (8, 4), (8, 6), (16, 4)])
@pytest.mark.parametrize("references", [0, 1, REFERENCES])
def test_the_output_is_larger_by_the_scale_with_any_number_of_references(scale, side, references):
    network = tiny(scale=scale, side=side)
    features = reference_features(network, 2, references) if references else ()
    with torch.inference_mode():
        assert network(torch.rand(2, 3, side, side), *features).shape == (2, 3, scale * side, scale * side)


@pytest.mark.parametrize("scale", [8, 16])
def test_empty_slots_give_exactly_the_output_without_references(scale):
    network, x = tiny(scale=scale), torch.rand(2, 3, 4, 4)
    keys, values = reference_features(network, 2, 3)
    with torch.inference_mode():
        alone = network(x)
        assert torch.equal(network(x, keys, values, torch.zeros(2, 3)), alone) and alone.isfinite().all()
        assert torch.equal(network(x, 0 * keys, 0 * values, torch.zeros(2, 3)), alone)
        assert (network(x, keys, values) - alone).abs().max() > 1e-3


def test_the_output_does_not_depend_on_empty_slots_and_the_order_of_references():
    network, x = tiny(), torch.rand(1, 3, 4, 4)
    keys, values = reference_features(network, 1, 4)
    with torch.inference_mode():
        two = network(x, keys[:, :2], values[:, :2])
        assert torch.allclose(network(x, keys, values, torch.tensor([[1.0, 1, 0, 0]])), two, atol=1e-6)
        assert torch.allclose(network(x, keys[:, [1, 0]], values[:, [1, 0]]), two, atol=1e-5)


def test_each_face_of_a_batch_has_its_own_references():
    network, x = tiny(), torch.rand(2, 3, 4, 4)
    keys, values = reference_features(network, 2, 2)
    with torch.inference_mode():
        both = network(x, keys, values)
        alone = torch.cat([network(x[n : n + 1], keys[n : n + 1], values[n : n + 1]) for n in range(2)])
    assert torch.allclose(both, alone, atol=1e-5)


def test_a_uniform_reference_has_no_detail():
    network = tiny()
    keys, values = network.encode(torch.full((1, 3, 32, 32), 0.4))  # 102 / 255: unchanged by rounding
    assert keys.shape == (1, 64, 9 * 4) and values.shape == (1, 64, 16 * 8 + 4 * 16 + 32)
    assert values.abs().max() < 1e-4
    _, detailed = network.encode(torch.rand(1, 3, 32, 32))
    assert detailed.abs().mean() > 0.05


@pytest.mark.parametrize("scale", [8, 16])
def test_every_weight_has_gradients_with_references(scale):
    network = tiny(scale=scale)
    keys, values = network.encode(torch.rand(4, 3, 32, 32))
    network(torch.rand(2, 3, 4, 4), *(t.unflatten(0, (2, 2)) for t in (keys, values))).square().mean().backward()
    unused = [key for key, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert unused == []


@pytest.mark.parametrize("scale", [8, 16])
def test_the_initial_output_is_near_the_bicubic_image(scale, astronaut):
    face = torch.from_numpy(astronaut[100:228:8, 96:224:8].copy()).permute(2, 0, 1)[None] / 255
    network = MSRNet(scale=scale, side=16, width=8)
    with torch.inference_mode():
        assert (network(face) - enlarge(face, scale)).square().mean().sqrt() < 0.05


def test_without_the_skip_a_zero_tail_gives_zeros():
    network = tiny(bicubic_skip=False)
    nn.init.zeros_(network.tail.weight)
    with torch.inference_mode():
        assert (network(torch.rand(1, 3, 4, 4)) == 0).all()


def test_the_embedding_finds_the_matching_reference():
    network = tiny()
    with torch.inference_mode():
        references = torch.rand(5, 3, 32, 32)
        library = network.embedding(network.downsampled(references))
        queries = network.embedding(network.downsampled((references + 0.05 * torch.rand(5, 3, 32, 32)).clamp(0, 1)))
    assert library.shape == (5, 16 * (8 + 16 + 32)) and library.dtype == torch.float32
    assert torch.cdist(queries, library, p=1).argmin(1).tolist() == [0, 1, 2, 3, 4]


def test_the_default_size_costs_less_than_1_2_gmac_with_four_references():
    with torch.device("meta"):
        network, x = MSRNet(), torch.zeros(1, 3, 16, 16)
        features = torch.zeros(1, 4, 1024, 9 * 16), torch.zeros(1, 4, 1024, 16 * 16 + 4 * 32 + 64)
        with FlopCounterMode(display=False) as counter:
            network(x, *features)
    assert 1.0e9 < counter.get_total_flops() / 2 < 1.2e9


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scale": 2}, "scale 2 is not supported; choose one of 4, 8, 16"),
        ({"side": 5}, "side 5 times 8 must be a multiple of 16, and 32 or more"),
        ({"side": 2}, "side 2 times 8"),
        ({"width": 0}, "width must be 1 or more, not 0"),
        ({"global_channels": 24, "scale": 16}, "global_channels must be a multiple of 16, not 24"),
    ],
)
def test_an_invalid_size_raises(config, message):
    with pytest.raises(ValueError, match=message):
        MSRNet(**config)


class EncodeReferences(nn.Module):
    """`encode` as a module for export."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, references):
        return self.network.encode(references)


def exported(module, inputs):
    """ONNX graph with a dynamic batch, traced with the first two samples."""
    batch = torch.export.Dim("batch", min=1, max=64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of the tracer
        example = tuple(tensor[:2] for tensor in inputs)
        program = torch.onnx.export(
            module, example, dynamo=True, opset_version=OPSET, verbose=False, dynamic_shapes=({0: batch},) * len(inputs)
        )
    return strip_metadata(program.model_proto)


@pytest.mark.parametrize(("scale", "part"), [(16, "forward"), (8, "encode")])
def test_exported_graphs_suit_tensorrt_and_agree_with_the_network(scale, part):
    """At ×16 the graph contains that of ×8."""
    network = tiny(scale=scale)
    if part == "encode":
        module, inputs = EncodeReferences(network), (torch.rand(3, 3, 32, 32),)
    else:
        present = torch.tensor([[1.0] * 5, [1, 0, 1, 0, 0], [0] * 5])
        module, inputs = network, (torch.rand(3, 3, 4, 4), *reference_features(network, 3, 5), present)
    inputs = tuple(tensor.clone() for tensor in inputs)
    model = exported(module, inputs)
    assert unsupported(model) == ()
    assert {"Col2Im", "GatherElements", "GatherND"}.isdisjoint(node.op_type for node in model.graph.node)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    outputs = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
    with torch.inference_mode():
        expected = module(*inputs)
    for output, reference in zip(outputs, expected if part == "encode" else (expected,), strict=True):
        assert np.abs(output - reference.numpy()).max() < 1e-3

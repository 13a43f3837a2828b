"""Quantization-aware training: which tensors are quantized and how, gradients, agreement with INT8 graphs, benefit."""

from copy import deepcopy

import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.export.convert import export_fp32, export_target
from facesr_edge.converters.export.wrapper import Uint8SRWrapper
from facesr_edge.converters.quantization.ptq import ptq_unchecked
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.networks.edge.network import Edge
from facesr_edge.networks.edge.track import EdgeTrack
from facesr_edge.training import qat
from facesr_edge.training.qat import QDQ_FORMATS, FakeQuantConv2d, prepare_qat, remove_fake_quant
from facesr_edge.zoo import catalogue
from torch import nn


def network(scale=4):
    net = Edge(8, 2, scale)
    nn.init.kaiming_normal_(net.tail.weight)
    return net


@pytest.fixture
def convolution_inputs(monkeypatch):
    """Inputs and weights of every convolution call, in order."""
    calls, conv = [], nn.functional.conv2d
    monkeypatch.setattr(nn.functional, "conv2d", lambda x, w, *rest: calls.append((x, w)) or conv(x, w, *rest))
    return calls


def test_all_but_the_first_convolution_are_quantized_in_alternating_formats(convolution_inputs):
    net = network()
    prepare_qat(net)
    x = torch.rand(2, 3, 8, 8)
    for n in range(4):
        net(x)
        assert len(convolution_inputs) == 4
        (_, first), *rest = [(x.detach(), w.detach()) for x, w in convolution_inputs]
        convolution_inputs.clear()
        activation_steps, weight_steps = QDQ_FORMATS[n % 2]
        for layer, (activation, weight) in zip([*net.body, net.tail], rest, strict=True):
            steps = activation / layer.amax * activation_steps
            assert torch.allclose(steps, steps.round(), atol=1e-2) and len(steps.round().unique()) > 20
            steps = weight / weight.abs().amax((1, 2, 3), keepdim=True) * weight_steps
            assert torch.allclose(steps, steps.round(), atol=1e-3)
        assert torch.equal(first, net.head.weight)


def test_training_quantizes_the_convolutions_that_builds_quantize():
    net = EdgeTrack(8, 2, 4)
    prepare_qat(net)
    trained = {name for name, layer in net.named_modules() if isinstance(layer, FakeQuantConv2d)}
    path = catalogue.FOLDER / "edge-tiny-x4-track" / "int8.onnx"
    graph = onnx.load(path).graph
    quantized = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    kept = [node for node in graph.node if node.op_type == "Conv" and node.input[0] not in quantized]
    assert trained == {"body.0", "body.1", "tail"}
    assert any(node.input[0] == "samples" for node in kept)


def test_a_last_convolution_with_few_channels_is_not_quantized(convolution_inputs):
    net = network(scale=2)
    prepare_qat(net)
    net(torch.rand(2, 3, 8, 8))
    (_, first), *_, (_, last) = convolution_inputs
    assert first is net.head.weight and last is net.tail.weight
    assert not hasattr(net.tail, "amax") and hasattr(net.body[-1], "amax")


def test_evaluation_uses_the_first_format_and_does_not_advance_it():
    net, x = network(), torch.rand(1, 3, 8, 8)
    prepare_qat(net)
    net(x)  # records the ranges
    net.eval()
    assert torch.equal(net(x), net(x)) and int(net.tail.format_index) == 1
    net.train()
    net(x)
    assert int(net.tail.format_index) == 0 and torch.equal(net(x), net.eval()(x))


def test_activations_above_the_recorded_range_are_clipped(convolution_inputs):
    net = network()
    prepare_qat(net)
    x = torch.rand(1, 3, 8, 8)
    net(x)
    net.eval()(3 * x)
    for layer, (activation, _) in zip([*net.body, net.tail], convolution_inputs[-3:], strict=True):
        assert torch.isclose(activation.max(), layer.amax)


def rms(error):
    return float(np.sqrt(np.mean(np.square(error))))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A network of some tens of levels, its export target, and its FP32 graph."""
    torch.manual_seed(0)
    net = Edge(16, 4, 4)
    for layer in (*net.body, net.tail):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(net.tail.weight, std=0.03)
    target = export_target(net, super_resolution(4), sample_faces())
    path = tmp_path_factory.mktemp("qat") / "fp32.onnx"
    export_fp32(target, path, lambda line: None)
    return net, target, path


@pytest.mark.parametrize("qdq_format", ["cpu", "tensorrt"])
def test_fake_quantization_matches_int8_graphs_of_the_same_format(monkeypatch, tmp_path, exported, qdq_format):
    net, target, fp32 = exported
    ptq_unchecked(target, fp32, tmp_path / "int8.onnx", [target.pixels], qdq_format)
    int8 = OrtGraph(tmp_path / "int8.onnx").run(target.pixels)[0].astype(float)

    def fake_quantized(steps):
        monkeypatch.setattr(qat, "QDQ_FORMATS", (steps,))
        wrapper = Uint8SRWrapper(deepcopy(net), 4)
        prepare_qat(wrapper.network)
        with torch.no_grad():
            wrapper.train()(torch.from_numpy(target.pixels))  # records the ranges
            return wrapper.eval()(torch.from_numpy(target.pixels))[0].numpy().astype(float)

    exact = OrtGraph(fp32).run(target.pixels)[0]
    same, other = (fake_quantized(steps) for steps in (QDQ_FORMATS if qdq_format == "cpu" else QDQ_FORMATS[::-1]))
    assert rms(same - exact) == pytest.approx(rms(int8 - exact), rel=0.1)
    assert rms(int8 - same) < 0.8 * rms(int8 - other)  # FP16 rounding changes many values of the TensorRT format


def test_gradients_pass_through_the_rounding():
    plain, quantized = network(), network()
    quantized.load_state_dict(plain.state_dict())
    prepare_qat(quantized)
    x = torch.rand(4, 3, 8, 8)
    for net in (plain, quantized):
        net(x).square().mean().backward()
    one, other = (net.body[1].weight.grad.flatten() for net in (plain, quantized))
    assert not torch.equal(one, other) and torch.cosine_similarity(one, other, dim=0) > 0.99


def test_remove_fake_quant_restores_the_plain_network():
    net, x = network(), torch.rand(1, 3, 8, 8)
    before = net(x)
    prepare_qat(net)
    assert not torch.equal(net(x), before)
    remove_fake_quant(net)
    assert torch.equal(net(x), before)
    Edge(8, 2, 4).load_state_dict(net.state_dict())


def test_evaluation_does_not_change_the_ranges():
    net = network()
    prepare_qat(net)
    x = torch.rand(1, 3, 8, 8)
    net(x)
    amax = net.tail.amax.clone()
    assert amax > 0
    net.eval()(10 * x)
    assert torch.equal(net.tail.amax, amax)


def test_zero_activations_do_not_divide_by_zero():
    net = network()
    prepare_qat(net)
    for weight in net.parameters():
        nn.init.zeros_(weight)
    assert np.isfinite(net(torch.rand(1, 3, 8, 8)).detach().numpy()).all()


def test_training_recovers_the_quantization_loss(monkeypatch):
    monkeypatch.setattr(qat, "QDQ_FORMATS", ((127, 4), (127, 4)))  # coarse, for a large quantization loss
    x, reference = torch.rand(16, 3, 8, 8), network()
    net = network()
    net.load_state_dict(reference.state_dict())
    prepare_qat(net)
    target = reference(x).detach()
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-4)
    losses = []
    for _ in range(60):
        loss = (net(x) - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[1]

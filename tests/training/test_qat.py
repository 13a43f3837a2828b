"""Learning in INT8's rounding: what is rounded and how, what the gradient is, and that it is worth it."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.converters.export.convert import convert, export_target
from facesr_edge.converters.export.wrapper import Uint8SRWrapper
from facesr_edge.converters.quantization.ptq import ptq_unchecked
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.onnxruntime.session import OrtGraph
from facesr_edge.networks.edge.network import Edge
from facesr_edge.training import qat as fewer_bits
from facesr_edge.training.qat import QDQ_FORMATS, prepare_qat, remove_fake_quant
from torch import nn


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def network(scale=4):
    net = Edge(8, 2, scale)
    nn.init.kaiming_normal_(net.tail.weight)
    return net


@pytest.fixture
def convolved(monkeypatch):
    """Inputs and weights of every convolution, in turn."""
    seen, conv = [], nn.functional.conv2d
    monkeypatch.setattr(nn.functional, "conv2d", lambda x, w, *rest: seen.append((x, w)) or conv(x, w, *rest))
    return seen


def test_all_but_the_first_convolution_round_what_comes_in_each_dialect_in_turn(convolved):
    net = network()
    prepare_qat(net)
    x = torch.rand(2, 3, 8, 8)
    for n in range(4):
        net(x)
        assert len(convolved) == 4
        (_, first), *rest = [(x.detach(), w.detach()) for x, w in convolved]
        convolved.clear()
        activation_steps, weight_steps = QDQ_FORMATS[n % 2]
        for layer, (entering, weight) in zip([*net.body, net.tail], rest, strict=True):
            steps = entering / layer.peak * activation_steps
            assert torch.allclose(steps, steps.round(), atol=1e-2) and len(steps.round().unique()) > 20
            steps = weight / weight.abs().amax((1, 2, 3), keepdim=True) * weight_steps
            assert torch.allclose(steps, steps.round(), atol=1e-3)
        assert torch.equal(first, net.head.weight)


def test_a_last_convolution_of_few_channels_is_left_alone(convolved):
    net = network(scale=2)
    prepare_qat(net)
    net(torch.rand(2, 3, 8, 8))
    (_, first), *_, (_, last) = convolved
    assert first is net.head.weight and last is net.tail.weight
    assert not hasattr(net.tail, "peak") and hasattr(net.body[-1], "peak")


def test_what_is_judged_is_judged_in_the_first_dialect_and_takes_no_turn():
    net, x = network(), torch.rand(1, 3, 8, 8)
    prepare_qat(net)
    net(x)  # sees the ranges
    net.eval()
    assert torch.equal(net(x), net(x)) and int(net.tail.turn) == 1
    net.train()
    net(x)
    assert int(net.tail.turn) == 0 and torch.equal(net(x), net.eval()(x))


def test_larger_activations_than_were_seen_are_cut_off_as_eight_bits_do(convolved):
    net = network()
    prepare_qat(net)
    x = torch.rand(1, 3, 8, 8)
    net(x)
    net.eval()(3 * x)
    for layer, (entering, _) in zip([*net.body, net.tail], convolved[-3:], strict=True):
        assert torch.isclose(entering.max(), layer.peak)


def rms(apart):
    return float(np.sqrt(np.mean(np.square(apart))))


@pytest.mark.parametrize("dialect", ["cpu", "tensorrt"])
def test_it_learns_in_the_rounding_that_the_graphs_of_a_dialect_have(monkeypatch, tmp_path, dialect):
    net = Edge(16, 4, 4)
    for layer in (*net.body, net.tail):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    nn.init.normal_(net.tail.weight, std=0.03)  # some tens of levels
    what = export_target(net, super_resolution(4), sample_faces())
    convert(what, tmp_path / "plain.onnx", lambda line: None)
    ptq_unchecked(what, tmp_path / "plain.onnx", tmp_path / "int8.onnx", [what.pixels], dialect)
    built = OrtGraph(tmp_path / "int8.onnx").run(what.pixels)[0].astype(float)

    def learnt_in(rounding):
        monkeypatch.setattr(fewer_bits, "DIALECTS", (rounding,))
        deployed = Uint8SRWrapper(deepcopy(net), 4)
        prepare_qat(deployed.network)
        with torch.no_grad():
            deployed.train()(torch.from_numpy(what.pixels))  # sees the ranges
            return deployed.eval()(torch.from_numpy(what.pixels)).numpy().astype(float)

    exact = OrtGraph(tmp_path / "plain.onnx").run(what.pixels)[0]
    own, other = (learnt_in(rounding) for rounding in (QDQ_FORMATS if dialect == "cpu" else QDQ_FORMATS[::-1]))
    assert rms(own - exact) == pytest.approx(rms(built - exact), rel=0.1)
    assert rms(built - own) < 0.8 * rms(built - other)  # FP16's own rounding turns many of TensorRT's the other way


def test_the_gradient_passes_the_rounding():
    plain, rounded = network(), network()
    rounded.load_state_dict(plain.state_dict())
    prepare_qat(rounded)
    x = torch.rand(4, 3, 8, 8)
    for net in (plain, rounded):
        net(x).square().mean().backward()
    one, other = (net.body[1].weight.grad.flatten() for net in (plain, rounded))
    assert not torch.equal(one, other) and torch.cosine_similarity(one, other, dim=0) > 0.99


def test_what_is_saved_is_what_a_plain_network_takes():
    net, x = network(), torch.rand(1, 3, 8, 8)
    before = net(x)
    prepare_qat(net)
    assert not torch.equal(net(x), before)
    remove_fake_quant(net)
    assert torch.equal(net(x), before)
    Edge(8, 2, 4).load_state_dict(net.state_dict())


def test_ranges_stay_where_they_are_while_it_is_judged():
    net = network()
    prepare_qat(net)
    x = torch.rand(1, 3, 8, 8)
    net(x)
    peak = net.tail.peak.clone()
    assert peak > 0
    net.eval()(10 * x)
    assert torch.equal(net.tail.peak, peak)


def test_a_network_that_gives_nothing_is_not_divided_by_nothing():
    net = network()
    prepare_qat(net)
    for weight in net.parameters():
        nn.init.zeros_(weight)
    assert np.isfinite(net(torch.rand(1, 3, 8, 8)).detach().numpy()).all()


def test_steps_with_the_rounding_win_back_what_it_costs(monkeypatch):
    monkeypatch.setattr(fewer_bits, "DIALECTS", ((127, 4), (127, 4)))  # so that it costs much
    x, wanted = torch.rand(16, 3, 8, 8), network()
    net = network()
    net.load_state_dict(wanted.state_dict())
    prepare_qat(net)
    target = wanted(x).detach()
    optimiser = torch.optim.Adam(net.parameters(), lr=3e-4)
    losses = []
    for _ in range(60):
        loss = (net(x) - target).square().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert losses[-1] < 0.7 * losses[1]

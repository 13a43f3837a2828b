"""Net2Net expansion: the larger network has the same function, and all its weights are trained."""

import pytest
import torch
from facesr_edge.networks.edge.net2net import net2net_expand
from facesr_edge.networks.edge.network import Edge


@pytest.fixture
def small():
    network = Edge(8, 4, 2)
    for weight in network.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    return network


def same(one, other):
    x = torch.rand(2, 3, 9, 12)
    return torch.allclose(one(x), other(x), atol=1e-5)


@pytest.mark.parametrize("branches", [False, True])
@pytest.mark.parametrize(("width", "depth"), [(12, 4), (8, 5), (12, 6), (16, 9)])
def test_an_expanded_network_has_the_same_function(small, width, depth, branches):
    large = Edge(width, depth, 2, branches)
    assert not same(large, small)
    large.load_state_dict(large.unfuse(net2net_expand(large, small.state_dict())))
    assert same(large, small)


def test_fp16_weights_are_expanded(small):
    halves = {name: weight.half() for name, weight in small.state_dict().items()}
    small.load_state_dict(halves)
    large = Edge(12, 6, 2)
    large.load_state_dict(net2net_expand(large, halves))
    assert same(large, small)


def test_all_weights_of_the_expanded_network_are_trained(small):
    large = Edge(12, 6, 2)
    large.load_state_dict(net2net_expand(large, small.state_dict()))
    before = {name: weight.clone() for name, weight in large.state_dict().items()}
    optimizer = torch.optim.SGD(large.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        large(torch.rand(2, 3, 8, 8)).square().mean().backward()
        optimizer.step()
    for name, weight in large.state_dict().items():
        change = (weight - before[name]).flatten(1) if weight.ndim > 1 else weight - before[name]
        assert change.abs().amax(dim=-1).min() > 0, name


def test_the_last_convolution_of_another_scale_is_not_expanded(small):
    large = Edge(12, 6, 4)
    expanded = net2net_expand(large, small.state_dict())
    assert large.state_dict().keys() - expanded.keys() == {"tail.weight", "tail.bias"}


@pytest.mark.parametrize(("width", "depth"), [(8, 4), (6, 4), (8, 3), (6, 9)])
def test_weights_of_a_network_that_is_not_smaller_are_unchanged(small, width, depth):
    weights = small.state_dict()
    expanded = net2net_expand(Edge(width, depth, 2), weights)
    assert expanded.keys() == weights.keys() and all(expanded[name] is weights[name] for name in weights)


def kernels(**shapes):
    return {name.replace("_", "."): torch.rand(*shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    "weights",
    [
        kernels(first_weight=(4, 3, 3, 3)),
        kernels(head_weight=(4, 3, 3, 3), body_0_weight=(4, 4, 3, 3)),
        {**Edge(4, 1, 2).state_dict(), "head.weight": torch.rand(4, 3, 5, 5)},
        {**Edge(4, 1, 2).state_dict(), "more": torch.rand(4)},
    ],
)
def test_weights_of_another_network_are_unchanged(weights):
    expanded = net2net_expand(Edge(8, 4, 2), weights)
    assert expanded.keys() == weights.keys() and all(expanded[name] is weights[name] for name in weights)


def test_expansion_replaces_the_function_of_a_trained_network(small):
    large = Edge(12, 6, 2)
    for weight in large.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    large.load_state_dict(net2net_expand(large, small.state_dict()))
    assert same(large, small)

"""A small network inside a larger one: the same function, and all of the larger one learns."""

import pytest
import torch
from facesr_edge.networks.edge.net2net import net2net_expand
from facesr_edge.networks.edge.network import Edge


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


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
def test_a_larger_network_does_at_first_what_the_small_one_did(small, width, depth, branches):
    large = Edge(width, depth, 2, branches)
    assert not same(large, small)
    large.load_state_dict(large.branched(net2net_expand(large, small.state_dict())))
    assert same(large, small)


def test_half_weights_grow(small):
    halves = {name: weight.half() for name, weight in small.state_dict().items()}
    small.load_state_dict(halves)
    large = Edge(12, 6, 2)
    large.load_state_dict(net2net_expand(large, halves))
    assert same(large, small)


def test_all_of_the_larger_network_learns(small):
    large = Edge(12, 6, 2)
    large.load_state_dict(net2net_expand(large, small.state_dict()))
    before = {name: weight.clone() for name, weight in large.state_dict().items()}
    optimiser = torch.optim.SGD(large.parameters(), lr=1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        large(torch.rand(2, 3, 8, 8)).square().mean().backward()
        optimiser.step()
    for name, weight in large.state_dict().items():
        moved = (weight - before[name]).flatten(1) if weight.ndim > 1 else weight - before[name]
        assert moved.abs().amax(dim=-1).min() > 0, name


def test_another_scale_keeps_its_own_last_convolution(small):
    large = Edge(12, 6, 4)
    found = net2net_expand(large, small.state_dict())
    assert large.state_dict().keys() - found.keys() == {"tail.weight", "tail.bias"}


@pytest.mark.parametrize(("width", "depth"), [(8, 4), (6, 4), (8, 3), (6, 9)])
def test_weights_of_no_smaller_network_stay_as_they_are(small, width, depth):
    theirs = small.state_dict()
    found = net2net_expand(Edge(width, depth, 2), theirs)
    assert found.keys() == theirs.keys() and all(found[name] is theirs[name] for name in theirs)


def kernels(**shapes):
    return {name.replace("_", "."): torch.rand(*shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    "theirs",
    [
        kernels(first_weight=(4, 3, 3, 3)),
        kernels(head_weight=(4, 3, 3, 3), body_0_weight=(4, 4, 3, 3)),
        {**Edge(4, 1, 2).state_dict(), "head.weight": torch.rand(4, 3, 5, 5)},
        {**Edge(4, 1, 2).state_dict(), "more": torch.rand(4)},
    ],
)
def test_weights_of_another_network_stay_as_they_are(theirs):
    found = net2net_expand(Edge(8, 4, 2), theirs)
    assert found.keys() == theirs.keys() and all(found[name] is theirs[name] for name in theirs)


def test_a_network_that_has_learnt_already_still_grows_to_what_the_small_one_does(small):
    large = Edge(12, 6, 2)
    for weight in large.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    large.load_state_dict(net2net_expand(large, small.state_dict()))
    assert same(large, small)

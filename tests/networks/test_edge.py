"""The network of our own: its sizes, and that a fold changes nothing but the speed."""

import pytest
import torch
from facesr_edge.networks.edge import SIZES, Edge
from facesr_edge.networks.resample import enlarge

LARGEST_GMAC = {"nano": 0.07, "tiny": 0.20, "small": 0.50}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def stirred(network):
    for weight in network.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    return network


@pytest.mark.parametrize("size", SIZES)
def test_each_size_keeps_to_its_arithmetic(size):
    width, depth = SIZES[size]
    weights = sum(weight.numel() for name, weight in Edge(width, depth).named_parameters() if "weight" in name)
    assert 0.8 * LARGEST_GMAC[size] < weights * 32 * 32 / 1e9 <= LARGEST_GMAC[size]


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_folded_and_unfolded_agree(scale):
    x = torch.rand(2, 3, 9, 12)
    network = stirred(Edge(8, 4, scale, branches=True)).double().eval()
    unfolded = network(x.double())
    folded = network.folded()
    assert unfolded.shape == (2, 3, 9 * scale, 12 * scale)
    assert (unfolded - enlarge(x.double(), scale)).abs().max() > 0.1
    assert (folded(x.double()) - unfolded).abs().max() < 1e-6  # a folded kernel is kept in 32 bits


def test_a_folded_network_is_one_of_plain_convolutions():
    folded = stirred(Edge(8, 4, 4, branches=True)).folded()
    plain = Edge(8, 4, 4)
    assert folded.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(folded.state_dict())
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(plain(x), folded(x))


def test_each_branch_learns():
    network = Edge(8, 4, 4, branches=True)
    network(torch.rand(1, 3, 8, 8)).square().mean().backward()
    assert all(weight.grad.abs().max() > 0 for weight in network.parameters())


@pytest.mark.parametrize("changes", [{"scale": 5}, {"depth": 0}, {"width": 0}])
def test_sizes_that_cannot_be_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Edge(**changes)

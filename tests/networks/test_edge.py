"""The network of our own: its sizes, and that a fold changes nothing but the speed."""

import pytest
import torch
from facesr_edge.networks.edge.network import SIZES, Edge
from facesr_edge.networks.layers.resample import enlarge

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


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_folded_and_unfolded_agree(scale, dtype, apart):
    x = torch.rand(2, 3, 9, 12, dtype=dtype)
    network = stirred(Edge(8, 4, scale, branches=True)).to(dtype).eval()
    folded, unfolded = network.folded(), network(x)
    assert unfolded.shape == (2, 3, 9 * scale, 12 * scale) and unfolded.dtype == dtype
    assert (unfolded - enlarge(x, scale)).abs().max() > 0.1
    assert (folded(x) - unfolded).abs().max() <= apart * unfolded.abs().max()
    assert len(network.state_dict()) > len(folded.state_dict())  # it is a copy


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

"""Edge network: multiply-adds of its sizes, and fused networks equal those with branches."""

import pytest
import torch
from facesr_edge.networks.edge.network import SIZES, Edge
from facesr_edge.networks.layers.resample import enlarge

MAX_GMAC = {"nano": 0.07, "tiny": 0.20, "small": 0.50}


def perturbed(network):
    for weight in network.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    return network


@pytest.mark.parametrize("size", SIZES)
def test_each_size_keeps_its_multiply_add_budget(size):
    width, depth = SIZES[size]
    weights = sum(weight.numel() for name, weight in Edge(width, depth).named_parameters() if "weight" in name)
    assert 0.8 * MAX_GMAC[size] < weights * 32 * 32 / 1e9 <= MAX_GMAC[size]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_fused_and_branched_networks_agree(scale, dtype, tolerance):
    x = torch.rand(2, 3, 9, 12, dtype=dtype)
    network = perturbed(Edge(8, 4, scale, branches=True)).to(dtype).eval()
    fused, expected = network.fused(), network(x)
    assert expected.shape == (2, 3, 9 * scale, 12 * scale) and expected.dtype == dtype
    assert (expected - enlarge(x, scale)).abs().max() > 0.1
    assert (fused(x) - expected).abs().max() <= tolerance * expected.abs().max()
    assert len(network.state_dict()) > len(fused.state_dict())  # it is a copy


def test_a_fused_network_has_plain_convolutions():
    fused = perturbed(Edge(8, 4, 4, branches=True)).fused()
    plain = Edge(8, 4, 4)
    assert fused.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(fused.state_dict())
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(plain(x), fused(x))


def test_every_branch_has_gradients():
    network = Edge(8, 4, 4, branches=True)
    network(torch.rand(1, 3, 8, 8)).square().mean().backward()
    assert all(weight.grad.abs().max() > 0 for weight in network.parameters())


@pytest.mark.parametrize("changes", [{"scale": 5}, {"depth": 0}, {"width": 0}])
def test_invalid_sizes_raise(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        Edge(**changes)

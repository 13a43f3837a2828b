"""Edge network of a track: an Edge without samples, exact copies, and channels in the order of the samples."""

import pytest
import torch
from facesr_edge.engines.multiframe.accumulation import channels
from facesr_edge.networks import build_network
from facesr_edge.networks.edge.net2net import net2net_expand
from facesr_edge.networks.edge.network import SIZES, Edge
from facesr_edge.networks.edge.track import EdgeTrack
from torch.nn import functional as F

SCALES = (2, 3, 4, 8)


def perturbed(network):
    for weight in network.parameters():
        weight.data.add_(0.05 * torch.randn_like(weight))
    return network.eval()


def inputs(scale, side=(9, 12)):
    return torch.rand(2, 3, *side), torch.randn(2, channels(scale), *side)


def macs_per_pixel(network):
    return sum(weight.numel() for name, weight in network.named_parameters() if "weight" in name)


def test_the_samples_add_seven_percent_of_multiply_adds_to_edge_tiny():
    ratio = macs_per_pixel(build_network("edge-track", {})) / macs_per_pixel(Edge(*SIZES["tiny"]))
    assert ratio == pytest.approx(1.07, abs=0.01)


@pytest.mark.parametrize("scale", SCALES)
def test_samples_change_the_output_and_zeros_do_not(scale):
    network = perturbed(EdgeTrack(8, 3, scale))
    x, samples = inputs(scale)
    with torch.inference_mode():
        without, zeros, with_samples = network(x), network(x, torch.zeros_like(samples)), network(x, samples)
    assert without.shape == (2, 3, 9 * scale, 12 * scale)
    assert torch.equal(without, zeros) and (with_samples - without).abs().max() > 0.01


@pytest.mark.parametrize("scale", SCALES)
def test_a_new_network_with_the_weights_of_an_edge_has_its_function(scale):
    edge, track = perturbed(Edge(8, 3, scale)), EdgeTrack(8, 3, scale)
    missing = track.load_state_dict(edge.state_dict(), strict=False)
    assert missing.missing_keys == ["seen.weight"] and not missing.unexpected_keys
    x, samples = inputs(scale)
    with torch.inference_mode():
        assert torch.equal(track(x, samples), edge(x))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_fused_and_branched_networks_agree(dtype, tolerance):
    x, samples = (part.to(dtype) for part in inputs(4))
    network = perturbed(EdgeTrack(8, 3, 4, branches=True)).to(dtype)
    fused, expected = network.fused(), network(x, samples)
    assert isinstance(fused, EdgeTrack) and fused.state_dict().keys() == EdgeTrack(8, 3, 4).state_dict().keys()
    assert (fused(x, samples) - expected).abs().max() <= tolerance * expected.abs().max()
    again = EdgeTrack(8, 3, 4, branches=True).to(dtype)
    again.load_state_dict(again.unfuse(fused.state_dict()))
    assert (again(x, samples) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("scale", SCALES)
def test_the_bgr_copy_takes_bgr_and_the_same_samples(scale):
    network = perturbed(EdgeTrack(8, 2, scale))
    x, samples = inputs(scale)
    with torch.inference_mode():
        expected = F.pixel_shuffle(network.sub_pixels(x, samples), scale)
        sub_pixels = network.in_bgr().sub_pixels(x.flip(1), samples)
    blocks = sub_pixels.view(2, scale, scale, 3, 9, 12)  # row, column, color BGR
    in_rgb = blocks.permute(0, 3, 4, 1, 5, 2).reshape(2, 3, 9 * scale, 12 * scale).flip(1)
    torch.testing.assert_close(in_rgb, expected, atol=1e-5, rtol=0)


def test_every_branch_has_gradients_from_the_first_step():
    network = EdgeTrack(8, 3, 4, branches=True)
    x, samples = inputs(4)
    network(x, samples).square().mean().backward()
    assert all(weight.grad.abs().max() > 0 for weight in network.parameters())


@pytest.mark.parametrize("kind", [Edge, EdgeTrack])
@pytest.mark.parametrize(("width", "depth"), [(12, 3), (8, 5), (12, 6)])
def test_an_expanded_network_has_the_function_of_the_smaller_one(kind, width, depth):
    small, large = perturbed(kind(8, 3, 2)), perturbed(EdgeTrack(width, depth, 2))
    torch.nn.init.zeros_(large.seen.weight)
    large.load_state_dict(net2net_expand(large, small.state_dict()))
    x, samples = inputs(2)
    with torch.inference_mode():
        expected = small(x, samples) if kind is EdgeTrack else small(x)
        torch.testing.assert_close(large(x, samples), expected, atol=1e-5, rtol=0)

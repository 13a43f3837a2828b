"""Sub-pixel upsampling and the initialization of residual networks."""

import pytest
import torch
from facesr_edge.networks.layers.sub_pixel import STEPS, check_sizes, init_residual, sub_pixel
from torch import nn


@pytest.mark.parametrize("scale", sorted(STEPS))
def test_features_are_larger_by_the_scale(scale):
    with torch.inference_mode():
        assert sub_pixel(4, scale)(torch.rand(2, 4, 5, 7)).shape == (2, 4, 5 * scale, 7 * scale)


def test_four_channels_of_a_position_become_2x2_pixels():
    step = sub_pixel(1, 2)
    nn.init.zeros_(step[0].weight)
    step[0].bias.data = torch.tensor([1.0, 2.0, 3.0, 4.0])
    with torch.inference_mode():
        assert step(torch.zeros(1, 1, 1, 1))[0, 0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("scale", "convolutions"), [(2, [16]), (3, [36]), (4, [16, 16]), (8, [16, 16, 16])])
def test_large_scales_have_several_steps_each_with_an_activation(scale, convolutions):
    steps = sub_pixel(4, scale, nn.PReLU)
    assert [layer.out_channels for layer in steps if isinstance(layer, nn.Conv2d)] == convolutions
    assert sum(isinstance(layer, nn.PReLU) for layer in steps) == len(convolutions)


def test_unsupported_scales_raise():
    with pytest.raises(ValueError, match="scale 5 is not supported; choose one of 2, 3, 4, 8"):
        sub_pixel(4, 5)
    with pytest.raises(ValueError, match=r"scale 8 is not supported; choose one of 2, 3$"):
        sub_pixel(4, 8, scales=(2, 3))


def test_sizes_below_1_raise_with_their_name():
    check_sizes(depth=1, width=1)
    with pytest.raises(ValueError, match="width must be 1 or more, not 0"):
        check_sizes(depth=1, width=0)


def test_he_initialization_with_branch_ends_at_a_tenth():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 1, bias=False))
    init_residual(network, [network[1]])
    std = (2 / (64 * 9)) ** 0.5
    assert [float(layer.weight.detach().std()) for layer in network] == pytest.approx(
        [std, std / 10, (2 / 64) ** 0.5], rel=0.05
    )
    assert not network[0].bias.any() and not network[1].bias.any()

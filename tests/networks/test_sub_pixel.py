"""Sub-pixel steps and the start that residual networks share."""

import pytest
import torch
from facesr_edge.networks.layers.sub_pixel import STEPS, check_sizes, init_residual, sub_pixel
from torch import nn


@pytest.mark.parametrize("scale", sorted(STEPS))
def test_features_come_out_larger_by_the_scale(scale):
    with torch.inference_mode():
        assert sub_pixel(4, scale)(torch.rand(2, 4, 5, 7)).shape == (2, 4, 5 * scale, 7 * scale)


def test_four_channels_of_a_position_become_the_four_pixels_it_covers():
    step = sub_pixel(1, 2)
    nn.init.zeros_(step[0].weight)
    step[0].bias.data = torch.tensor([1.0, 2.0, 3.0, 4.0])
    with torch.inference_mode():
        assert step(torch.zeros(1, 1, 1, 1))[0, 0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("scale", "convolutions"), [(2, [16]), (3, [36]), (4, [16, 16]), (8, [16, 16, 16])])
def test_large_steps_are_made_of_small_ones_each_with_its_activation(scale, convolutions):
    steps = sub_pixel(4, scale, nn.PReLU)
    assert [layer.out_channels for layer in steps if isinstance(layer, nn.Conv2d)] == convolutions
    assert sum(isinstance(layer, nn.PReLU) for layer in steps) == len(convolutions)


def test_scales_that_are_not_to_be_had_are_told():
    with pytest.raises(ValueError, match="scale 5 is not to be had; it is one of 2, 3, 4, 8"):
        sub_pixel(4, 5)
    with pytest.raises(ValueError, match=r"scale 8 is not to be had; it is one of 2, 3$"):
        sub_pixel(4, 8, scales=(2, 3))


def test_sizes_below_one_are_told_by_name():
    check_sizes(depth=1, width=1)
    with pytest.raises(ValueError, match="width must be 1 or more, not 0"):
        check_sizes(depth=1, width=0)


def test_convolutions_start_as_he_says_and_the_damped_at_a_tenth():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 1, bias=False))
    init_residual(network, [network[1]])
    spread = (2 / (64 * 9)) ** 0.5
    assert [float(layer.weight.detach().std()) for layer in network] == pytest.approx(
        [spread, spread / 10, (2 / 64) ** 0.5], rel=0.05
    )
    assert not network[0].bias.any() and not network[1].bias.any()

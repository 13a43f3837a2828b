"""IDRN against its paper: size, sum of features, units, shapes."""

import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import UnknownNameError
from facesr_edge.networks import NETWORKS, build_network
from facesr_edge.networks.idrn import IDRN, DenseResidualUnit
from facesr_edge.networks.layers.bicubic import resize_batch
from torch import nn


def parameters(**config):
    return sum(p.numel() for p in IDRN(**config).parameters())


@pytest.mark.parametrize(
    ("config", "count"),
    [
        ({"depth": 8, "width": 64, "scale": 4}, 1_184_707),
        ({"depth": 8, "width": 64, "scale": 2}, 1_036_995),
        ({"depth": 8, "width": 64, "scale": 3}, 1_221_635),
        ({"depth": 16, "width": 128, "scale": 4}, 8_269_699),
        ({"depth": 1, "width": 8, "scale": 4}, 6_859),
    ],
)
def test_the_number_of_parameters_follows_from_depth_width_and_scale(config, count):
    depth, width = config["depth"], config["width"]
    unit = 9 * width * width + width + 9 * 2 * width * width + width
    steps = [2, 2] if config["scale"] == 4 else [config["scale"]]
    upsampling = sum(9 * width * width * step**2 + width * step**2 for step in steps)
    assert 9 * 3 * width + width + depth * unit + upsampling + 9 * width * 3 + 3 == count
    assert parameters(**config) == count


def test_a_32_pixel_crop_costs_about_1_7_gmac():
    network, macs = IDRN(depth=8, width=64, scale=4), []

    def count(layer, _, output):
        macs.append(layer.weight[0].numel() * output.numel())

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 32, 32))
    assert len(macs) == 1 + 2 * 8 + 2 + 1
    assert sum(macs) / 1e9 == pytest.approx(1.7, abs=0.1)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_upsampling_gets_the_sum_of_all_features(depth):
    network, features, upsampling_inputs = IDRN(depth, 8, 2), [], []
    network.units[0].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))  # X0
    for unit in network.units:
        unit.register_forward_hook(lambda _, __, output: features.append(output))  # X1 ... XN
    network.upsampling.register_forward_pre_hook(lambda _, inputs: upsampling_inputs.append(inputs[0]))
    x = torch.rand(2, 3, 10, 12)
    with torch.inference_mode():
        network(x)
        shallow = torch.relu(network.head(x))
    assert len(features) == depth + 1 and torch.equal(features[0], shallow)
    assert torch.allclose(upsampling_inputs[0], sum(features), atol=1e-5)
    assert not torch.allclose(upsampling_inputs[0], features[-1], atol=1e-2)


def test_each_unit_gets_the_output_of_the_previous_one():
    network, calls = IDRN(3, 8, 2), []
    for unit in network.units:
        unit.register_forward_hook(lambda _, inputs, output: calls.append((inputs[0], output)))
    with torch.inference_mode():
        network(torch.rand(1, 3, 8, 8))
    assert all(torch.equal(calls[n][1], calls[n + 1][0]) for n in range(2))


def test_the_second_convolution_of_a_unit_gets_input_and_first_output_concatenated():
    unit, calls = DenseResidualUnit(8), []
    unit.second.register_forward_pre_hook(lambda _, inputs: calls.append(inputs[0]))
    x = torch.rand(1, 8, 6, 6)
    with torch.inference_mode():
        y = unit(x)
        inner = torch.relu(unit.first(x))
        assert torch.equal(calls[0], torch.cat((x, inner), 1))
        assert torch.allclose(y, torch.relu(x + unit.second(calls[0])))


def test_the_output_of_a_unit_is_not_negative():
    unit, x = DenseResidualUnit(8), torch.randn(4, 8, 16, 16)
    with torch.inference_mode():
        assert unit(x).min() == 0


def test_there_is_no_batch_normalization():
    kinds = {type(layer) for layer in IDRN(2, 8, 4).modules()}
    assert kinds == {IDRN, nn.ModuleList, DenseResidualUnit, nn.Sequential, nn.Conv2d, nn.PixelShuffle, nn.ReLU}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_with_a_zero_tail_the_output_is_the_bicubic_image(scale, astronaut):
    network = IDRN(1, 8, scale, bicubic_skip=True)
    nn.init.zeros_(network.tail.weight)
    small = astronaut[100:124, 200:232]
    with torch.inference_mode():
        output = network(torch.from_numpy(small).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).numpy()
    assert np.abs(output * 255 - resize_batch(small[None], 24 * scale, 32 * scale)[0]).max() < 1e-2


def test_without_the_skip_a_zero_tail_gives_zeros():
    network = IDRN(1, 8, 2, bicubic_skip=False)
    nn.init.zeros_(network.tail.weight)
    with torch.inference_mode():
        assert (network(torch.rand(1, 3, 8, 8)) == 0).all()


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_of_the_registry_has_defaults(name):
    assert isinstance(build_network(name, {}), nn.Module)


def test_an_unknown_network_raises_with_a_suggestion():
    with pytest.raises(UnknownNameError, match="unknown network 'idnr'; did you mean 'idrn'"):
        build_network("idnr", {})

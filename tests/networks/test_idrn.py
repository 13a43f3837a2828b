"""IDRN as the paper describes it: its size, its sum of features, its units, its shapes."""

import numpy as np
import pytest
import torch
from facesr_edge.engines.errors import UnknownNameError
from facesr_edge.networks import NETWORKS, build_network
from facesr_edge.networks.idrn import IDRN, DenseResidualUnit
from facesr_edge.networks.layers.bicubic import resize_batch
from torch import nn


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


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


def test_the_smallest_window_costs_about_1_7_gmac():
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


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("bicubic_skip", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 3, 9, 14)])
def test_pictures_come_out_larger_by_the_scale(scale, bicubic_skip, shape):
    n, c, height, width = shape
    with torch.inference_mode():
        assert IDRN(1, 8, scale, bicubic_skip)(torch.rand(shape)).shape == (n, c, scale * height, scale * width)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_upsampling_is_fed_the_sum_of_all_features(depth):
    network, features, fed = IDRN(depth, 8, 2), [], []
    network.units[0].register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))  # X0
    for unit in network.units:
        unit.register_forward_hook(lambda _, __, output: features.append(output))  # X1 ... XN
    network.upsampling.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
    x = torch.rand(2, 3, 10, 12)
    with torch.inference_mode():
        network(x)
        shallow = torch.relu(network.head(x))
    assert len(features) == depth + 1 and torch.equal(features[0], shallow)
    assert torch.allclose(fed[0], sum(features), atol=1e-5)
    assert not torch.allclose(fed[0], features[-1], atol=1e-2)


def test_each_unit_is_fed_the_output_of_the_one_before():
    network, seen = IDRN(3, 8, 2), []
    for unit in network.units:
        unit.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    with torch.inference_mode():
        network(torch.rand(1, 3, 8, 8))
    assert all(torch.equal(seen[n][1], seen[n + 1][0]) for n in range(2))


def test_a_units_second_convolution_sees_the_input_beside_the_first_ones_output():
    unit, seen = DenseResidualUnit(8), []
    unit.second.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    x = torch.rand(1, 8, 6, 6)
    with torch.inference_mode():
        y = unit(x)
        inner = torch.relu(unit.first(x))
        assert torch.equal(seen[0], torch.cat((x, inner), 1))
        assert torch.allclose(y, torch.relu(x + unit.second(seen[0])))


def test_a_unit_never_gives_a_negative_value_though_its_sum_is_negative_somewhere():
    unit, x = DenseResidualUnit(8), torch.randn(4, 8, 16, 16)
    with torch.inference_mode():
        assert unit(x).min() == 0


def test_there_is_no_batch_normalisation():
    kinds = {type(layer) for layer in IDRN(2, 8, 4).modules()}
    assert kinds == {IDRN, nn.ModuleList, DenseResidualUnit, nn.Sequential, nn.Conv2d, nn.PixelShuffle, nn.ReLU}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"scale": 1}, "scale 1 is not to be had; it is one of 2, 3, 4"),
        ({"scale": 5}, "scale 5 is not to be had"),
        ({"scale": 8}, "scale 8 is not to be had; it is one of 2, 3, 4"),
        ({"depth": 0}, "depth must be 1 or more, not 0"),
        ({"width": 0}, "width must be 1 or more, not 0"),
        ({"depth": -1}, "depth must be 1 or more, not -1"),
    ],
)
def test_a_size_that_cannot_be_is_refused(config, told):
    with pytest.raises(ValueError, match=told):
        IDRN(**config)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_with_nothing_learnt_the_output_is_the_bicubic_picture(scale, astronaut):
    network = IDRN(1, 8, scale, bicubic_skip=True)
    nn.init.zeros_(network.tail.weight)
    small = astronaut[100:124, 200:232]
    with torch.inference_mode():
        output = network(torch.from_numpy(small).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).numpy()
    assert np.abs(output * 255 - resize_batch(small[None], 24 * scale, 32 * scale)[0]).max() < 1e-2


def test_without_the_skip_the_network_is_on_its_own():
    network = IDRN(1, 8, 2, bicubic_skip=False)
    nn.init.zeros_(network.tail.weight)
    with torch.inference_mode():
        assert (network(torch.rand(1, 3, 8, 8)) == 0).all()


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_network_of_the_registry_can_be_built_as_it_is(name):
    assert isinstance(build_network(name, {}), nn.Module)


def test_an_unknown_network_is_refused_with_the_one_close_by():
    with pytest.raises(UnknownNameError, match="unknown network 'idnr'; did you mean 'idrn'"):
        build_network("idnr", {})

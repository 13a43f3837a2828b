"""LPIPS against its formula, written with single operations, and the bounds of any distance."""

import pytest
import torch
from facesr_edge.networks.perceptual import LPIPS
from torch.nn import functional as F


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = LPIPS().eval()
        for name, weight in made.named_parameters():
            if name.startswith("lin"):
                torch.nn.init.uniform_(weight)
    return made


@pytest.fixture(scope="module")
def pair():
    generator = torch.Generator().manual_seed(1)
    return torch.rand((2, 2, 3, 64, 64), generator=generator)


def by_formula(weights, a, b):
    def stages(x):
        x = (2 * x - 1 - torch.tensor([-0.030, -0.088, -0.188])[:, None, None]) / torch.tensor([0.458, 0.448, 0.450])[
            :, None, None
        ]
        for number, stride, padding, pooled in ((0, 4, 2, False), (3, 1, 2, True), (6, 1, 1, True), (8, 1, 1, False)):
            x = F.max_pool2d(x, 3, 2) if pooled else x
            name = f"features.{number}"
            x = F.relu(F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride, padding))
            yield F.normalize(x, dim=1, eps=1e-10)
        x = F.relu(F.conv2d(x, weights["features.10.weight"], weights["features.10.bias"], 1, 1))
        yield F.normalize(x, dim=1, eps=1e-10)

    total = 0.0
    for n, (x, y) in enumerate(zip(stages(a), stages(b), strict=True)):
        total += torch.einsum("nchw,c->nhw", (x - y) ** 2, weights[f"lin{n}.model.1.weight"].flatten()).mean((1, 2))
    return total


def test_it_follows_its_formula(network, pair):
    with torch.no_grad():
        expected = by_formula(network.state_dict(), *pair)
        assert network(*pair).tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_equal_pictures_are_no_distance_apart_and_it_does_not_matter_which_comes_first(network, pair):
    with torch.no_grad():
        assert network(pair[0], pair[0]).tolist() == [0, 0]
        assert network(*pair).tolist() == pytest.approx(network(*pair.flip(0)).tolist())


def test_the_weights_are_named_as_in_the_published_files():
    names = {name: tuple(tensor.shape) for name, tensor in LPIPS().state_dict().items()}
    assert names["features.0.weight"] == (64, 3, 11, 11) and names["features.10.bias"] == (256,)
    assert names["lin0.model.1.weight"] == (1, 64, 1, 1) and names["lin4.model.1.weight"] == (1, 256, 1, 1)
    assert len(names) == 15

"""Adam and Muon: division of the weights, updates against formulas, and resuming from a state dict."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from facesr_edge.networks import build_network
from facesr_edge.networks.detector import Detector
from facesr_edge.training.optimizer import Optimizer, hidden_matrices, orthogonalize
from facesr_edge.training.recipe import Recipe
from torch import nn


def recipe(learning_rate: float, muon: float, **fields: Any) -> Recipe:
    return Recipe("detector", {}, 1, 1, 1, learning_rate, muon=muon, **fields)


@pytest.mark.parametrize("shape", [(16, 16), (8, 32), (32, 8)])
def test_orthogonalize_keeps_singular_vectors_and_equalizes_singular_values(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(shape) @ torch.diag(torch.logspace(0, -1.5, shape[1]))
    before, after = torch.linalg.svd(matrix, full_matrices=False), torch.linalg.svdvals(orthogonalize(matrix))
    assert float(after.max() / after.min()) < 0.6 * float(before.S.max() / before.S.min())
    assert 0.5 < float(after.median()) <= float(after.max()) < 1.4
    ideal = before.U @ before.Vh
    assert float((ideal * orthogonalize(matrix)).sum() / ideal.norm() / orthogonalize(matrix).norm()) > 0.95


def test_muon_trains_the_hidden_matrices_and_adam_the_rest() -> None:
    network = Detector(width=8)
    matrices = hidden_matrices(network, "pointwise")
    assert matrices and all(weight.shape[2:] == (1, 1) and weight.shape[0] != 15 for weight in matrices)
    optimizer = Optimizer(network, recipe(1e-3, 0.02))
    adam_weights = [weight for group in optimizer.adam.param_groups for weight in group["params"]]
    assert len(adam_weights) + len(matrices) == len(list(network.parameters()))
    assert not {id(weight) for weight in adam_weights} & {id(weight) for weight in matrices}
    assert Optimizer(network, recipe(1e-3, 0.0)).matrices == []


def test_hidden_matrices_exclude_layers_with_rgb_input_or_output() -> None:
    network = build_network("crl", {"depth": 2, "width": 16, "scale": 4})
    hidden = {id(weight) for weight in hidden_matrices(network, "hidden")}
    others = [name for name, weight in network.named_parameters() if weight.ndim > 1 and id(weight) not in hidden]
    # f and g of the attention have two output channels, fewer than RGB
    narrow = [f"blocks.{n}.attention.{layer}.weight" for n in (0, 1) for layer in "fg"]
    assert others == ["head.weight", *narrow, "tail.weight"]


def small() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 1))


def steps(network: nn.Module, optimizer: Optimizer, first: int, last: int) -> list[float]:
    losses = []
    for step in range(first, last):
        x = torch.rand((8, 4, 6, 6), generator=torch.Generator().manual_seed(step))
        loss = (network(x) - x.mean(1, keepdim=True)).square().mean()
        loss.backward()
        optimizer.step(1 - step / 60)
        assert all(weight.grad is None for weight in network.parameters())
        losses.append(float(loss.detach()))
    return losses


@pytest.mark.parametrize("muon", [0.0, 0.05])
def test_training_resumes_exactly_from_the_state(muon: float) -> None:
    network = small()
    optimizer = Optimizer(network, recipe(1e-2, muon))
    losses = steps(network, optimizer, 0, 30)
    saved = deepcopy((network.state_dict(), optimizer.state_dict()))
    steps(again := small(), other := Optimizer(again, recipe(1e-2, muon)), 0, 1)
    again.load_state_dict(saved[0])
    other.load_state_dict(saved[1])
    resumed = steps(again, other, 30, 50)
    assert resumed == pytest.approx(steps(network, optimizer, 30, 50))
    assert resumed[-1] < 0.5 * losses[0]


def test_a_learning_rate_of_0_changes_nothing() -> None:
    network = small()
    before = [weight.clone() for weight in network.parameters()]
    network(torch.rand(2, 4, 3, 3)).sum().backward()
    Optimizer(network, recipe(1e-2, 0.05)).step(0.0)
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize(("beta1", "decay"), [(0.9, 0.0), (0.5, 0.0), (0.9, 0.1)])
def test_adam_follows_its_formula(beta1: float, decay: float) -> None:
    network = nn.Conv2d(3, 3, 1, bias=False)
    weight, mean, square = network.weight.detach().clone(), 0.0, 0.0
    optimizer = Optimizer(network, recipe(1e-2, 0.0, beta1=beta1, weight_decay=decay))
    for step in range(1, 4):
        gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(step))
        network.weight.grad = gradient.clone()
        optimizer.step(1.0)
        gradient = gradient + decay * weight
        mean, square = beta1 * mean + (1 - beta1) * gradient, 0.999 * square + 0.001 * gradient**2
        weight = weight - 1e-2 * (mean / (1 - beta1**step)) / ((square / (1 - 0.999**step)) ** 0.5 + 1e-8)
    assert torch.allclose(network.weight, weight, atol=1e-6)


def test_weight_decay_applies_to_muon_weights_only() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 3, 1))
    before = [layer.weight.detach().clone() for layer in network]
    optimizer = Optimizer(network, recipe(1e-2, 0.1, muon_on="hidden", muon_decay=0.5))
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    optimizer.step(0.2)
    factors = (1.0, 1 - 0.2 * 0.1 * 0.5, 1.0)
    assert all(torch.allclose(layer.weight, w * k) for layer, w, k in zip(network, before, factors, strict=True))

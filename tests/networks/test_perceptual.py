"""LPIPS from files: random AlexNets of the right shapes, and files that are none."""

import importlib.util
import re

import numpy as np
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.engines.errors import InputError, MissingDependencyError
from facesr_edge.networks import perceptual
from facesr_edge.networks.perceptual import LPIPS, lpips
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def alexnet():
    """What torchvision's file holds, as far as it matters, and a piece of its classifier."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tensors = LPIPS().state_dict()
    kept = {name: tensor for name, tensor in tensors.items() if name.startswith("features")}
    return {**kept, "classifier.6.bias": torch.zeros(10)}


@pytest.fixture
def factors(tmp_path, monkeypatch):
    """A torchmetrics of which nothing is there but the factors."""
    folder = tmp_path / "torchmetrics"
    path = folder / perceptual.FACTORS
    path.parent.mkdir(parents=True)
    sizes = (64, 192, 384, 256, 256)
    torch.save({f"lin{n}.model.1.weight": torch.full((1, size, 1, 1), 0.5) for n, size in enumerate(sizes)}, path)
    spec = importlib.util.spec_from_loader("torchmetrics", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(perceptual, "find_spec", lambda name: spec)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_equal_faces_are_no_distance_apart_and_noise_moves_them_away(tmp_path, alexnet, factors, suffix):
    path = tmp_path / f"alexnet{suffix}"
    torch.save(alexnet, path) if suffix == ".pth" else save_file(alexnet, path)
    distance = lpips(path)
    true = np.stack(sample_faces() * 3)[:19]  # more than a batch
    noise = np.random.default_rng(0).normal(0, 1, true.shape)
    steps = [distance(np.clip(true + n * noise, 0, 255).astype(np.uint8), true) for n in (0, 8, 24, 64)]
    assert steps[0].tolist() == [0] * 19
    assert (np.diff(np.stack(steps), axis=0) > 0).all()


def test_the_factors_that_torchmetrics_ships_fit(alexnet, tmp_path):
    pytest.importorskip("torch")
    if importlib.util.find_spec("torchmetrics") is None:
        pytest.skip("needs torchmetrics")
    torch.save(alexnet, tmp_path / "alexnet.pth")
    true = np.stack(sample_faces()[:2])
    distances = lpips(tmp_path / "alexnet.pth")(255 - true, true)
    assert (distances > 0).all() and np.isfinite(distances).all()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"features.3.weight": torch.zeros(192, 64, 3, 3)}, "features.3.weight should be 192x64x5x5 and is 192x64x3x3"),
        ({"features.10.bias": None}, "features.10.bias should be 256 and is not there"),
    ],
)
def test_another_network_is_told_in_one_line(tmp_path, alexnet, factors, change, told):
    tensors = {name: tensor for name, tensor in {**alexnet, **change}.items() if tensor is not None}
    torch.save(tensors, tmp_path / "other.pth")
    with pytest.raises(InputError, match=re.escape(told)) as error:
        lpips(tmp_path / "other.pth")
    assert "\n" not in str(error.value) and "other.pth" in str(error.value)


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_file_that_holds_no_weights_is_told_in_one_line(tmp_path, content):
    if content:
        (tmp_path / "alexnet.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"alexnet\.pth") as error:
        lpips(tmp_path / "alexnet.pth")
    assert "\n" not in str(error.value)


def test_without_torchmetrics_the_remedy_is_named(tmp_path, alexnet, monkeypatch):
    torch.save(alexnet, tmp_path / "alexnet.pth")
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"LPIPS needs torchmetrics.*facesr-edge\[build\]"):
        lpips(tmp_path / "alexnet.pth")

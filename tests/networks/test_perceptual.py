"""LPIPS: formula, properties of a distance, weights files."""

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
from torch.nn import functional as F


@pytest.fixture(scope="module")
def alexnet():
    """Tensors of torchvision's file with random values, and one of its classifier."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tensors = LPIPS().state_dict()
    features = {name: tensor for name, tensor in tensors.items() if name.startswith("features")}
    return {**features, "classifier.6.bias": torch.zeros(10)}


@pytest.fixture
def linear_weights(tmp_path, monkeypatch):
    """A stub of torchmetrics with the linear weights only."""
    folder = tmp_path / "torchmetrics"
    path = folder / perceptual.LINEAR_WEIGHTS
    path.parent.mkdir(parents=True)
    sizes = (64, 192, 384, 256, 256)
    torch.save({f"lin{n}.model.1.weight": torch.full((1, size, 1, 1), 0.5) for n, size in enumerate(sizes)}, path)
    spec = importlib.util.spec_from_loader("torchmetrics", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(perceptual, "find_spec", lambda name: spec)
    return path


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_the_distance_is_0_for_equal_faces_and_grows_with_noise(tmp_path, alexnet, linear_weights, suffix):
    path = tmp_path / f"alexnet{suffix}"
    torch.save(alexnet, path) if suffix == ".pth" else save_file(alexnet, path)
    distance = lpips(path)
    true = np.stack(sample_faces() * 3)[:19]  # more than a batch
    noise = np.random.default_rng(0).normal(0, 1, true.shape)
    steps = [distance(np.clip(true + n * noise, 0, 255).astype(np.uint8), true) for n in (0, 8, 24, 64)]
    assert steps[0].tolist() == [0] * 19
    assert (np.diff(np.stack(steps), axis=0) > 0).all()


def test_the_linear_weights_of_torchmetrics_fit(alexnet, tmp_path):
    if importlib.util.find_spec("torchmetrics") is None:
        pytest.skip("needs torchmetrics")
    torch.save(alexnet, tmp_path / "alexnet.pth")
    true = np.stack(sample_faces()[:2])
    distances = lpips(tmp_path / "alexnet.pth")(255 - true, true)
    assert (distances > 0).all() and np.isfinite(distances).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"features.3.weight": torch.zeros(192, 64, 3, 3)},
            "features.3.weight is (192, 64, 3, 3), expected (192, 64, 5, 5) of",
        ),
        ({"features.10.bias": None}, "features.10.bias is missing, expected (256,)"),
    ],
)
def test_another_network_raises(tmp_path, alexnet, linear_weights, change, message):
    tensors = {name: tensor for name, tensor in {**alexnet, **change}.items() if tensor is not None}
    torch.save(tensors, tmp_path / "other.pth")
    with pytest.raises(InputError, match=re.escape(message)) as error:
        lpips(tmp_path / "other.pth")
    assert "\n" not in str(error.value) and "other.pth" in str(error.value)


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_missing_or_invalid_file_raises(tmp_path, content):
    if content:
        (tmp_path / "alexnet.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"alexnet\.pth") as error:
        lpips(tmp_path / "alexnet.pth")
    assert "\n" not in str(error.value)


def test_a_missing_torchmetrics_raises_with_the_extra_to_install(tmp_path, alexnet, monkeypatch):
    torch.save(alexnet, tmp_path / "alexnet.pth")
    monkeypatch.setattr(perceptual, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"LPIPS needs torchmetrics.*facesr-edge\[build\]"):
        lpips(tmp_path / "alexnet.pth")


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = LPIPS().eval()
        for name, weight in network.named_parameters():
            if name.startswith("lin"):
                torch.nn.init.uniform_(weight)
    return network


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


def test_lpips_follows_its_formula(network, pair):
    with torch.no_grad():
        expected = by_formula(network.state_dict(), *pair)
        assert network(*pair).tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_distance_is_symmetric_and_0_for_equal_images(network, pair):
    with torch.no_grad():
        assert network(pair[0], pair[0]).tolist() == [0, 0]
        assert network(*pair).tolist() == pytest.approx(network(*pair.flip(0)).tolist())


def test_weights_are_named_as_in_the_published_files():
    names = {name: tuple(tensor.shape) for name, tensor in LPIPS().state_dict().items()}
    assert names["features.0.weight"] == (64, 3, 11, 11) and names["features.10.bias"] == (256,)
    assert names["lin0.model.1.weight"] == (1, 64, 1, 1) and names["lin4.model.1.weight"] == (1, 256, 1, 1)
    assert len(names) == 15

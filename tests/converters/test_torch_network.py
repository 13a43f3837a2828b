"""The network of a bundle in PyTorch: the pixels of its graph, and the network alone as a graph."""

import numpy as np
import pytest
import torch
import torch._inductor.config
from facesr_edge.converters.torch_network import export_network, torch_call
from facesr_edge.engines.errors import BuildError
from facesr_edge.engines.onnxruntime.session import OrtSession, plain_session


@pytest.fixture
def crops():
    return np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def threads():
    """The number of threads of PyTorch in this process is the same afterwards."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_pixels_are_those_of_the_graph(tiny_bundle, crops):
    bundle = tiny_bundle()
    difference = torch_call(bundle, 1)(crops).astype(int) - OrtSession(bundle, 1).infer(crops)
    assert np.abs(difference).max() <= 1
    assert torch.get_num_threads() == 1


def test_a_machine_without_a_compiler_raises_a_build_error(tiny_bundle, crops, monkeypatch):
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(torch._inductor.config, "force_disable_caches", True)
    with pytest.raises(BuildError, match=r"PyTorch .* failed: .*compiler"):
        torch_call(tiny_bundle(), 1, compiled=True)(crops)


def test_a_network_that_fails_raises_a_build_error(tiny_bundle):
    with pytest.raises(BuildError, match=r"PyTorch .* failed: "):
        torch_call(tiny_bundle(), 1)(np.zeros((1, 32, 32, 5), np.uint8))


def test_the_network_alone_is_exported(tiny_bundle, crops, tmp_path, export_cache):
    export_network(tiny_bundle(), 32, tmp_path / "network.onnx")
    planes = crops.transpose(0, 3, 1, 2).astype(np.float32) / 255
    output = plain_session(tmp_path / "network.onnx", 1)(planes)[0]
    assert output.shape == (2, 3, 128, 128) and np.isfinite(output).all()

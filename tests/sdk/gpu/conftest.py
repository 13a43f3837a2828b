"""Runs the tests of this folder on a real or emulated GPU, with the fixtures of ``tests/engines/cuda/gpu``."""

import importlib.util
from pathlib import Path

import pytest
from facesr_edge.engines.bundle.bundle import ONNX, open_bundle, write_bundle
from facesr_edge.zoo import catalogue

GPU_FIXTURES = Path(__file__).parents[2] / "engines" / "cuda" / "gpu" / "conftest.py"
spec = importlib.util.spec_from_file_location("gpu_fixtures", GPU_FIXTURES)
gpu_fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu_fixtures)

library, workers, bindings, gpu, machine, emulated = (
    getattr(gpu_fixtures, name) for name in ("library", "workers", "bindings", "gpu", "machine", "emulated")
)
pytest_generate_tests, pytest_pyfunc_call = gpu_fixtures.pytest_generate_tests, gpu_fixtures.pytest_pyfunc_call


@pytest.fixture(scope="session")
def network(request):
    """Folder of a ×4 bundle: a tiny one, or the shipped one if bundles cannot be built here."""
    if importlib.util.find_spec("onnxsim") is None:
        return str(catalogue.find("idrn-x4").folder)
    return str(request.getfixturevalue("tiny_bundle")(4).folder)


@pytest.fixture(scope="session")
def track_network(request):
    """Folder of a multi-frame bundle."""
    pytest.importorskip("onnxsim")
    return str(request.getfixturevalue("tiny_track_bundle").folder)


@pytest.fixture(scope="session")
def network_of_mean(request):
    """Folder of a ×4 bundle whose residual is the mean of a crop's pixels."""
    pytest.importorskip("onnxsim")
    return str(request.getfixturevalue("residual_bundle").folder)


@pytest.fixture(scope="session")
def network_of_one_output(network, tmp_path_factory):
    """Folder of the bundle of `network` as exported by earlier releases, without the residual."""
    onnx = pytest.importorskip("onnx")
    bundle = open_bundle(network)
    model = onnx.load(bundle.onnx)
    del model.graph.output[1:]
    folder = tmp_path_factory.mktemp("one output") / "bundle"
    return str(write_bundle(folder, bundle.card, {ONNX: model.SerializeToString()}).folder)


@pytest.fixture(scope="session")
def network_x2(request):
    """Folder of a tiny ×2 bundle."""
    pytest.importorskip("onnxsim")
    return str(request.getfixturevalue("tiny_bundle")(2).folder)

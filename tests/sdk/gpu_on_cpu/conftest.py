"""Runs the tests of this folder where there is a GPU played by the CPU, as those of the GPU itself are."""

import importlib.util
from pathlib import Path

import pytest

PLAYED = Path(__file__).parents[2] / "engines" / "cuda_on_cpu" / "conftest.py"
spec = importlib.util.spec_from_file_location("cuda_on_cpu", PLAYED)
played = importlib.util.module_from_spec(spec)
spec.loader.exec_module(played)

library, workers, bindings, gpu, machine = (
    getattr(played, name) for name in ("library", "workers", "bindings", "gpu", "machine")
)
pytest_pyfunc_call = played.pytest_pyfunc_call


@pytest.fixture(scope="session")
def network(tiny_bundle):
    """Folder of a network that makes faces four times larger."""
    return str(tiny_bundle(4).folder)


@pytest.fixture(scope="session")
def network_x2(tiny_bundle):
    """The same for twice."""
    return str(tiny_bundle(2).folder)

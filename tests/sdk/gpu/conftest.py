"""Runs the tests of this folder where there is a GPU, or one played by the CPU, as those of the GPU itself are."""

import importlib.util
from pathlib import Path

import pytest
from facesr_edge.zoo import catalogue

SEATS = Path(__file__).parents[2] / "engines" / "cuda" / "gpu" / "conftest.py"
spec = importlib.util.spec_from_file_location("seats", SEATS)
seats = importlib.util.module_from_spec(spec)
spec.loader.exec_module(seats)

library, workers, bindings, gpu, machine, played = (
    getattr(seats, name) for name in ("library", "workers", "bindings", "gpu", "machine", "played")
)
pytest_generate_tests, pytest_pyfunc_call = seats.pytest_generate_tests, seats.pytest_pyfunc_call


@pytest.fixture(scope="session")
def network(request):
    """Folder of a network that makes faces four times larger: a tiny one, or the shipped one where none can be made."""
    if importlib.util.find_spec("onnxsim") is None:
        return str(catalogue.find("idrn-x4").folder)
    return str(request.getfixturevalue("tiny_bundle")(4).folder)


@pytest.fixture(scope="session")
def network_x2(request):
    """A tiny one for twice."""
    pytest.importorskip("onnxsim")
    return str(request.getfixturevalue("tiny_bundle")(2).folder)

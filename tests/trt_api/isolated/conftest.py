"""Within one release: the module that stands for TensorRT, and bundles that it compiles and runs."""

import os
import sys

import pytest


@pytest.fixture(scope="session")
def real():
    """The real bindings. The package that users install re-exports them as `tensorrt`, but depends on the libraries;
    the bindings alone are called `tensorrt_bindings`."""
    import tensorrt_bindings

    assert tensorrt_bindings.__version__.startswith(os.environ["TENSORRT_RELEASE"])
    return tensorrt_bindings


@pytest.fixture
def simulation():
    from gpu_double import Simulation

    return Simulation()


@pytest.fixture
def said(real, simulation):
    from simulated import Said

    return Said(real, simulation)


@pytest.fixture
def trt(real, said, monkeypatch):
    """TensorRT as the package imports it."""
    from double import Module
    from simulated import makers

    module = Module(real, makers(said))
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


@pytest.fixture
def build(trt, simulation, monkeypatch):
    """`compile_engine` with the GPU's double."""
    from facesr_edge.engines.tensorrt import builder as trt_build

    monkeypatch.setattr(trt_build, "Gpu", lambda: simulation.gpu)
    return trt_build.compile_engine


@pytest.fixture(scope="session")
def idrn():
    from facesr_edge.zoo.catalogue import find

    return find("idrn-x4")


@pytest.fixture(scope="session")
def detector():
    from facesr_edge.zoo.catalogue import find

    return find("detector")

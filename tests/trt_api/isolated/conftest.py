"""Fixtures of one release: the mocked TensorRT module, and bundles to compile and run."""

import functools
import os
import sys
from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import REFERENCES, Bundle, write_bundle
from facesr_edge.engines.tensorrt.loader import current_engine_info
from facesr_edge.engines.tensorrt.options import CompileOptions
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="session")
def real():
    """The real bindings, `tensorrt_bindings`; the `tensorrt` package that re-exports them requires the libraries."""
    import tensorrt_bindings

    assert tensorrt_bindings.__version__.startswith(os.environ["TENSORRT_RELEASE"])
    return tensorrt_bindings


@pytest.fixture
def simulation():
    from strict_mock_gpu import Simulation

    return Simulation()


@pytest.fixture
def scenario(real, simulation):
    from stubs import Scenario

    return Scenario(real, simulation)


@pytest.fixture
def trt(real, scenario, monkeypatch):
    """TensorRT as the package imports it."""
    from strict_mock import MockModule
    from stubs import factories

    module = MockModule(real, factories(scenario))
    monkeypatch.setitem(sys.modules, "tensorrt", module)
    return module


@pytest.fixture
def build(trt, simulation, monkeypatch):
    """`compile_engine` with the mocked GPU and the static graphs of a bundle."""
    from facesr_edge.converters.static_graph import static_graph
    from facesr_edge.engines.tensorrt import builder

    monkeypatch.setattr(builder, "Gpu", lambda: simulation.gpu)

    def compile_engine(bundle, *args, graph=None, **options):
        graph = graph or bundle.onnx.read_bytes()
        return builder.compile_engine(bundle, functools.partial(static_graph, graph), *args, **options)

    return compile_engine


@pytest.fixture
def compiled(build, simulation, tmp_path):
    """Compile a bundle; returns it with engine and `EngineInfo`."""

    def compile_bundle(bundle, **options):
        result = build(bundle, CompileOptions(**options))
        recorded = {name: value for name, value in options.items() if name in ("version_compatible", "dla")}
        info = replace(current_engine_info(bundle, simulation.gpu), **recorded)
        contents = {"model.onnx": bundle.onnx.read_bytes(), **result.files}
        return write_bundle(tmp_path / bundle.card.name, replace(bundle.card, engine=info), contents)

    return compile_bundle


@pytest.fixture(scope="session")
def idrn():
    from facesr_edge.zoo.catalogue import find

    return find("idrn-x4")


@pytest.fixture(scope="session")
def msrnet():
    """A shipped network that takes references, with few batch sizes."""
    from facesr_edge.zoo.catalogue import find

    bundle = find("msrnet-x8")
    return Bundle(bundle.folder, replace(bundle.card, io_spec=replace(bundle.card.io_spec, batches=(1, 2))))


@pytest.fixture(scope="session")
def references(msrnet):
    """Number of faces and of slots -> features of references, of which the last slot of the last face is empty."""
    from facesr_edge.calibration.data.faces import sample_faces
    from facesr_edge.engines.onnxruntime.session import OrtGraph

    encoded = OrtGraph(msrnet.folder / REFERENCES).run(np.stack(sample_faces()[:4]))

    def features(count, slots):
        index = (np.arange(count)[:, None] + np.arange(slots)) % 4
        keys, values = (part.astype(np.float16)[index] for part in encoded)
        present = np.ones((count, slots), np.float32)
        present[-1, -1] = 0
        return {"keys": keys, "values": values, "present": present}

    return features


@pytest.fixture(scope="session")
def detector():
    from facesr_edge.zoo.catalogue import find

    return find("detector")


@pytest.fixture(scope="session")
def tiny(idrn, tmp_path_factory):
    """A bundle of two crop sizes with a bilinear resize as network, and without a consistency residual."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["float", "", "scales"], ["large"], mode="linear"),
        helper.make_node("Cast", ["large"], ["enlarged"], to=TensorProto.UINT8),
    ]
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", "height", "width", 3])]
    outputs = [helper.make_tensor_value_info("enlarged", TensorProto.UINT8, ["batch", "4*height", "4*width", 3])]
    scales = [numpy_helper.from_array(np.array([1, 4, 4, 1], np.float32), "scales")]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, scales)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    card = replace(idrn.card, name="tiny", io_spec=replace(idrn.card.io_spec, crop_sizes=(32, 48)))
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny", card, {"model.onnx": model.SerializeToString()})


@pytest.fixture(scope="session")
def track(idrn, tmp_path_factory):
    """A bundle of two crop sizes whose graph adds the samples of each pixel's cells to a nearest-neighbor resize."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["float", "", "scales"], ["large"], mode="nearest"),
        helper.make_node("Slice", ["samples", "start", "end", "axis"], ["differences"]),
        helper.make_node("DepthToSpace", ["differences"], ["cells"], blocksize=4, mode="DCR"),
        helper.make_node("Transpose", ["cells"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Mul", ["last", "levels"], ["added"]),
        helper.make_node("Add", ["large", "added"], ["sum"]),
        helper.make_node("Clip", ["sum", "low", "levels"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["enlarged"], to=TensorProto.UINT8),
    ]
    inputs = [
        helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", "side", "side", 3]),
        helper.make_tensor_value_info("samples", TensorProto.FLOAT, ["batch", 32, "side", "side"]),
    ]
    outputs = [helper.make_tensor_value_info("enlarged", TensorProto.UINT8, ["batch", "4*side", "4*side", 3])]
    constants = {
        "scales": np.array([1, 4, 4, 1], np.float32),
        **{name: np.array([value], np.int64) for name, value in (("start", 0), ("end", 16), ("axis", 1))},
        "levels": np.float32(255),
        "low": np.float32(0),
    }
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "track", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    card = replace(idrn.card, name="track", io_spec=replace(idrn.card.io_spec, crop_sizes=(32, 48), frames=7))
    return write_bundle(tmp_path_factory.mktemp("bundles") / "track", card, {"model.onnx": model.SerializeToString()})


@pytest.fixture(scope="session")
def edge(tmp_path_factory):
    """A shipped network with two crop sizes; its graph outputs the consistency residual."""
    from facesr_edge.zoo.catalogue import find

    bundle = find("edge-nano-x4")
    card = replace(bundle.card, name="edge", io_spec=replace(bundle.card.io_spec, crop_sizes=(32, 48)))
    return write_bundle(tmp_path_factory.mktemp("bundles") / "edge", card, {"model.onnx": bundle.onnx.read_bytes()})

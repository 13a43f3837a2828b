"""`cast_first`: the output stays bit-exact, and only Cast reads uint8 inputs."""

import numpy as np
import onnx
import onnxruntime
import pytest
from facesr_edge.converters.export.onnx import cast_first
from facesr_edge.zoo import catalogue
from onnx import TensorProto, helper
from support.onnx_rules import unsupported

UINT8, FLOAT, INT64 = TensorProto.UINT8, TensorProto.FLOAT, TensorProto.INT64


def graph_of(nodes, outputs):
    """A model of nodes that read "pixels" (1, H, W, 3)."""
    pixels = helper.make_tensor_value_info("pixels", UINT8, [1, "H", "W", 3])
    infos = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    graph = helper.make_graph(nodes, "graph", [pixels], infos)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model, pixels):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": pixels})


def consumers(model):
    return {node.op_type for node in model.graph.node if "pixels" in node.input}


@pytest.mark.parametrize(("name", "shape"), [("idrn-x4", (2, 48, 48, 3)), ("detector", (1, 64, 96, 3))])
def test_output_of_zoo_models_stays_bit_exact(name, shape):
    model = onnx.load(catalogue.FOLDER / name / "model.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    before, *_ = run(model, pixels)
    changed = cast_first(model)
    onnx.checker.check_model(changed, full_check=True)
    assert consumers(changed) == {"Cast"}
    assert np.array_equal(run(changed, pixels)[0], before)
    assert unsupported(changed) == ()


def test_shape_and_transpose_read_the_cast():
    nodes = [
        helper.make_node("Shape", ["pixels"], ["size"], "shape"),
        helper.make_node("Transpose", ["pixels"], ["planes"], "transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], "cast", to=FLOAT),
    ]
    model = graph_of(nodes, {"size": INT64, "floats": FLOAT})
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 4, 2, 3)
    before = run(model, pixels)
    assert len(unsupported(model)) == 3
    changed = cast_first(model)
    assert unsupported(changed) == () and changed.graph.node[0].op_type == "Cast"
    for actual, expected in zip(run(changed, pixels), before, strict=True):
        assert np.array_equal(actual, expected)


def test_second_call_changes_nothing():
    model = cast_first(onnx.load(catalogue.FOLDER / "detector" / "model.onnx"))
    once = model.SerializeToString(deterministic=True)
    assert cast_first(model).SerializeToString(deterministic=True) == once


def test_transpose_with_other_consumers_is_left_unchanged():
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["planes"], "transpose", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], "cast", to=FLOAT),
        helper.make_node("Shape", ["planes"], ["size"], "shape"),
    ]
    changed = cast_first(graph_of(nodes, {"floats": FLOAT, "size": INT64}))
    assert consumers(changed) == {"Transpose"}
    assert any(line.startswith("transpose: Transpose of UINT8") for line in unsupported(changed))

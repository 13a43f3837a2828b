"""Cast before everything: what the graph computes stays the same to the bit, and only Cast reads bytes."""

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
    """A model of nodes that reads "pixels" (1, H, W, 3)."""
    given = helper.make_tensor_value_info("pixels", UINT8, [1, "H", "W", 3])
    made = [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()]
    graph = helper.make_graph(nodes, "graph", [given], made)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model, pixels):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"pixels": pixels})


def readers(model):
    return {node.op_type for node in model.graph.node if "pixels" in node.input}


@pytest.mark.parametrize(("name", "shape"), [("idrn-x4", (2, 48, 48, 3)), ("detector", (1, 64, 96, 3))])
def test_the_networks_that_ship_give_the_same_to_the_bit(name, shape):
    model = onnx.load(catalogue.FOLDER / name / "model.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    (before,) = run(model, pixels)
    changed = cast_first(model)
    onnx.checker.check_model(changed, full_check=True)
    assert readers(changed) == {"Cast"}
    assert np.array_equal(run(changed, pixels)[0], before)
    assert unsupported(changed) == ()


def test_shapes_and_turns_come_after_the_cast():
    nodes = [
        helper.make_node("Shape", ["pixels"], ["size"], "shape"),
        helper.make_node("Transpose", ["pixels"], ["turned"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["numbers"], "cast", to=FLOAT),
    ]
    model = graph_of(nodes, {"size": INT64, "numbers": FLOAT})
    pixels = np.arange(24, dtype=np.uint8).reshape(1, 4, 2, 3)
    before = run(model, pixels)
    assert len(unsupported(model)) == 3
    changed = cast_first(model)
    assert unsupported(changed) == () and changed.graph.node[0].op_type == "Cast"
    for ours, theirs in zip(run(changed, pixels), before, strict=True):
        assert np.array_equal(ours, theirs)


def test_done_twice_it_changes_nothing_more():
    model = cast_first(onnx.load(catalogue.FOLDER / "detector" / "model.onnx"))
    once = model.SerializeToString(deterministic=True)
    assert cast_first(model).SerializeToString(deterministic=True) == once


def test_a_turn_whose_bytes_others_read_too_stays_and_is_told():
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["turned"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["numbers"], "cast", to=FLOAT),
        helper.make_node("Shape", ["turned"], ["size"], "shape"),
    ]
    changed = cast_first(graph_of(nodes, {"numbers": FLOAT, "size": INT64}))
    assert readers(changed) == {"Transpose"}
    assert any(line.startswith("turn: Transpose of UINT8") for line in unsupported(changed))

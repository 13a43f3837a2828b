"""Which layers go to INT8: all but the first and a thin last, and what lies between them, and nothing else."""

import onnx
import pytest
from facesr_edge.converters.quantization.layers import (
    MIN_INT8_CHANNELS,
    described,
    excluded_nodes,
    int8_mac_share,
    quantizable,
    stages,
)
from onnx import TensorProto, helper

SHAPE = ["batch", "height", "width", 3]


def model_of(*nodes):
    """Nodes as (operator, inputs, output); a convolution's weights, the second input, are named for its stage."""
    made = [helper.make_node(kind, inputs, [output], name=output) for kind, inputs, output in nodes]
    for node in made:
        if node.op_type == "Conv":
            node.attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
    weights = {node.input[1] for node in made if node.op_type == "Conv"}
    tensors = [helper.make_tensor(name, TensorProto.FLOAT, [3, 3, 3, 3], [0.0] * 81) for name in sorted(weights)]
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, SHAPE)
    out = helper.make_tensor_value_info(nodes[-1][2], TensorProto.FLOAT, None)
    graph = helper.make_graph(made, "g", [pixels], [out], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


@pytest.fixture
def model():
    return model_of(
        ("Transpose", ["pixels"], "planes"),
        ("Cast", ["planes"], "x"),
        ("Conv", ["x", "network.head.weight"], "a"),
        ("Relu", ["a"], "ar"),
        ("Conv", ["ar", "network.units.0.first.weight"], "b"),
        ("Relu", ["b"], "br"),
        ("Conv", ["br", "network.units.0.second.weight"], "c"),
        ("Add", ["ar", "c"], "d"),
        ("Conv", ["d", "network.units.1.first.weight"], "e"),
        ("Sigmoid", ["e"], "f"),
        ("Conv", ["f", "network.tail.weight"], "g"),
        ("Add", ["g", "x"], "y"),
    )


def test_convolutions_are_grouped_by_where_their_weights_come_from(model):
    assert stages(model) == {"head": ["a"], "units.0": ["b", "c"], "units.1": ["e"], "tail": ["g"]}


def test_the_first_and_a_thin_last_convolution_stay_in_floats(model):
    assert excluded_nodes(model) == {"a", "g"}


def test_several_heads_are_all_last():
    two = model_of(
        ("Conv", ["pixels", "w.0"], "a"),
        ("Conv", ["a", "w.1"], "b"),
        ("Conv", ["b", "w.2"], "c"),
        ("Conv", ["b", "w.3"], "d"),
        ("Concat", ["c", "d"], "y"),
    )
    assert excluded_nodes(two) == {"a", "c", "d"} and quantizable(two, excluded_nodes(two)) == ["b"]


def test_only_what_stands_between_two_quantised_convolutions_goes_with_them(model):
    low = quantizable(model, excluded_nodes(model))
    assert low == ["b", "br", "c", "d", "e"]  # no ReLU of the head, no sum after the tail
    assert quantizable(model, {"a", "g", "e"}) == ["b", "br", "c"]
    assert quantizable(model, {"a", "b", "c", "e", "g"}) == []


def test_the_share_is_of_multiply_adds(model):
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 3
    before = onnx.ModelProto()
    before.CopyFrom(model)
    model.graph.node[0].attribute.append(helper.make_attribute("perm", [0, 3, 1, 2]))
    model.graph.node[1].attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    assert int8_mac_share(model, ["a", "b", "c", "e", "g"]) == 1 and int8_mac_share(model, []) == 0
    assert int8_mac_share(model, ["b", "e"]) == pytest.approx(2 / 5)
    assert model.graph.input == before.graph.input and model.graph.output == before.graph.output


def test_the_share_is_counted_where_shapes_depend_on_arithmetic():
    """The second convolution sees a quarter of the first one's places."""
    model = model_of(
        ("Cast", ["pixels"], "x"),
        ("Transpose", ["x"], "planes"),
        ("Conv", ["planes", "network.a"], "a"),
        ("Shape", ["a"], "shape"),
        ("Div", ["shape", "divisor"], "smaller"),
        ("Slice", ["a", "begin", "smaller", "axes"], "part"),
        ("Conv", ["part", "network.b"], "b"),
    )
    model.graph.node[0].attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    model.graph.node[1].attribute.append(helper.make_attribute("perm", [0, 3, 1, 2]))
    for name, values in (("divisor", [1, 1, 2, 2]), ("begin", [0] * 4), ("axes", [0, 1, 2, 3])):
        model.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [4], values))
    assert int8_mac_share(model, ["b"]) == pytest.approx(1 / 5)


@pytest.mark.parametrize(("channels", "kept"), [(MIN_INT8_CHANNELS - 1, {"a", "c"}), (MIN_INT8_CHANNELS, {"a"})])
def test_a_last_convolution_of_many_channels_does_not(channels, kept):
    many = model_of(("Conv", ["pixels", "w.0"], "a"), ("Conv", ["a", "w.1"], "b"), ("Conv", ["b", "w.2"], "c"))
    (last,) = [tensor for tensor in many.graph.initializer if tensor.name == "w.2"]
    last.CopyFrom(helper.make_tensor("w.2", TensorProto.FLOAT, [channels, 3, 3, 3], [0.0] * channels * 27))
    assert excluded_nodes(many) == kept
    assert quantizable(many, excluded_nodes(many)) == ["b", "c"][: 3 - len(kept)]
    assert described(many) == ("first convolution" if len(kept) == 1 else "first and last convolutions")

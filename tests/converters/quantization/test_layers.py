"""Selection of the nodes to quantize: all convolutions but the first and a narrow last one, and nodes between them."""

import onnx
import pytest
from facesr_edge.converters.quantization.layers import (
    MIN_INT8_CHANNELS,
    excluded_description,
    excluded_nodes,
    int8_mac_share,
    quantizable,
    stages,
)
from onnx import TensorProto, helper

SHAPE = ["batch", "height", "width", 3]


def model_of(*nodes):
    """Nodes as (operator, inputs, output); the weights of a convolution, its second input, are named for its stage."""
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


def test_convolutions_are_grouped_by_the_prefix_of_their_weights(model):
    assert stages(model) == {"head": ["a"], "units.0": ["b", "c"], "units.1": ["e"], "tail": ["g"]}


def test_first_and_narrow_last_convolution_are_excluded(model):
    assert excluded_nodes(model) == {"a", "g"}


def test_depthwise_convolutions_are_excluded_for_tensorrt(model):
    depthwise = next(node for node in model.graph.node if node.name == "c")
    depthwise.attribute.append(helper.make_attribute("group", 3))
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == depthwise.input[1])
    weights.CopyFrom(helper.make_tensor(weights.name, TensorProto.FLOAT, [3, 1, 3, 3], [0.0] * 27))
    assert excluded_nodes(model) == {"a", "g"} and excluded_nodes(model, for_gpu=True) == {"a", "c", "g"}
    assert excluded_description(model, for_gpu=True).endswith(", depthwise convolutions")


def test_all_of_several_heads_are_last_convolutions():
    two = model_of(
        ("Conv", ["pixels", "w.0"], "a"),
        ("Conv", ["a", "w.1"], "b"),
        ("Conv", ["b", "w.2"], "c"),
        ("Conv", ["b", "w.3"], "d"),
        ("Concat", ["c", "d"], "y"),
    )
    assert excluded_nodes(two) == {"a", "c", "d"} and quantizable(two, excluded_nodes(two)) == ["b"]


def test_only_nodes_between_two_quantized_convolutions_are_quantized(model):
    nodes = quantizable(model, excluded_nodes(model))
    assert nodes == ["b", "br", "c", "d", "e"]  # not the ReLU of the head, not the addition after the tail
    assert quantizable(model, {"a", "g", "e"}) == ["b", "br", "c"]
    assert quantizable(model, {"a", "b", "c", "e", "g"}) == []


def test_int8_share_counts_macs(model):
    model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 3
    before = onnx.ModelProto()
    before.CopyFrom(model)
    model.graph.node[0].attribute.append(helper.make_attribute("perm", [0, 3, 1, 2]))
    model.graph.node[1].attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
    assert int8_mac_share(model, ["a", "b", "c", "e", "g"]) == 1 and int8_mac_share(model, []) == 0
    assert int8_mac_share(model, ["b", "e"]) == pytest.approx(2 / 5)
    assert model.graph.input == before.graph.input and model.graph.output == before.graph.output


def test_int8_share_follows_shapes_that_the_graph_computes():
    """The second convolution has a quarter of the first one's positions."""
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


@pytest.mark.parametrize(("channels", "excluded"), [(MIN_INT8_CHANNELS - 1, {"a", "c"}), (MIN_INT8_CHANNELS, {"a"})])
def test_wide_last_convolution_is_quantized(channels, excluded):
    wide = model_of(("Conv", ["pixels", "w.0"], "a"), ("Conv", ["a", "w.1"], "b"), ("Conv", ["b", "w.2"], "c"))
    (last,) = [tensor for tensor in wide.graph.initializer if tensor.name == "w.2"]
    last.CopyFrom(helper.make_tensor("w.2", TensorProto.FLOAT, [channels, 3, 3, 3], [0.0] * channels * 27))
    assert excluded_nodes(wide) == excluded
    assert quantizable(wide, excluded_nodes(wide)) == ["b", "c"][: 3 - len(excluded)]
    assert excluded_description(wide) == ("first convolution" if len(excluded) == 1 else "first and last convolutions")

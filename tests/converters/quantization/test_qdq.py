"""Q/DQ graphs for TensorRT: position of the pairs, and their scales."""

import numpy as np
import onnx
import onnxruntime
import pytest
from facesr_edge.converters.export.storage import load_graph
from facesr_edge.converters.quantization.layers import KINDS, excluded_nodes
from facesr_edge.converters.quantization.qdq import insert_qdq, transfer_ranges
from facesr_edge.engines.errors import BuildError
from onnx import TensorProto, helper, numpy_helper

TYPES = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16}
RANGES = {"x": (-1.0, 1.0), "a": (0.0, 4.0), "b": (0.0, 8.0), "c": (-2.0, 1.0), "d": (-3.0, 3.0), "e": (0.0, 6.0)}
CHANNELS = 4


def graph_of(dtype, *nodes, node_name="made {}"):
    """Nodes as (operator, inputs, output) with input x, (1, 4, 8, 8); weights w… are random with a fixed seed."""
    rng = np.random.default_rng(0)
    made = [
        helper.make_node(kind, inputs, [out], name=node_name.format(out), **({"axis": 1} if kind == "Concat" else {}))
        for kind, inputs, out in nodes
    ]
    tensors = []
    for node in made:
        if node.op_type == "Conv":
            node.attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
            width = 2 * CHANNELS if node.input[0] == "joined" else CHANNELS
            values = rng.normal(size=(CHANNELS, width, 3, 3)) * rng.uniform(0.01, 1, (CHANNELS, 1, 1, 1))
            tensors.append(numpy_helper.from_array(values.astype(dtype), node.input[1]))
            tensors.append(numpy_helper.from_array(rng.normal(size=CHANNELS).astype(dtype), node.input[2]))
    x = helper.make_tensor_value_info("x", TYPES[dtype], [1, CHANNELS, 8, 8])
    out = helper.make_tensor_value_info(nodes[-1][2], TYPES[dtype], [1, CHANNELS, 8, 8])
    graph = helper.make_graph(made, "g", [x], [out], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def unit(dtype, **options):
    """ReLU, convolution with ReLU, both concatenated for a second convolution with a residual addition, a third one."""
    return graph_of(
        dtype,
        ("Relu", ["x"], "a"),
        ("Conv", ["a", "w1", "b1"], "conv1"),
        ("Relu", ["conv1"], "b"),
        ("Concat", ["a", "b"], "joined"),
        ("Conv", ["joined", "w2", "b2"], "c"),
        ("Add", ["a", "c"], "d"),
        ("Relu", ["d"], "e"),
        ("Conv", ["e", "w3", "b3"], "y"),
        **options,
    )


def chain(dtype):
    """Convolutions without activation between them, as depthwise and pointwise ones."""
    return graph_of(
        dtype,
        ("Relu", ["x"], "a"),
        ("Conv", ["a", "w1", "b1"], "conv1"),
        ("Conv", ["conv1", "w2", "b2"], "c"),
        ("Conv", ["c", "w3", "b3"], "y"),
    )


def quantized(model, *outputs):
    ranges = {**RANGES, "joined": (0.0, 8.0), "conv1": (-5.0, 8.0)}
    return insert_qdq(model, [f"made {name}" for name in outputs], ranges)


def producers(model):
    return {name: node for node in model.graph.node for name in node.output}


def initializers(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def run(model, x, path):
    onnx.save(model, path)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.parametrize("dtype", TYPES)
def test_input_and_weights_have_pairs_and_the_bias_stays_floating_point(dtype):
    model = quantized(unit(dtype), "conv1", "c", "y")
    made, values = producers(model), initializers(model)
    for node in model.graph.node:
        if node.op_type == "Conv":
            for name in node.input[:2]:
                assert made[name].op_type == "DequantizeLinear"
                assert made[made[name].input[0]].op_type == "QuantizeLinear"
            assert values[node.input[2]].dtype == dtype
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        scale, zero = (values[name] for name in node.input[1:])
        assert scale.dtype == dtype and (scale > 0).all()
        assert zero.dtype == np.int8 and zero.shape == scale.shape and (zero == 0).all()
        axis = [a.i for a in node.attribute if a.name == "axis"]
        assert (axis, scale.shape) == (([0], (CHANNELS,)) if node.input[0].startswith("w") else ([], ()))
    assert next(opset.version for opset in model.opset_import if opset.domain == "") == 19


def test_relu_and_addition_stay_fusible_and_the_other_operand_is_quantized():
    made = producers(quantized(unit(np.float16), "conv1", "c", "y"))
    assert [made[made[name].input[0]].op_type for name in ("b", "d")] == ["Conv", "DequantizeLinear"]
    assert list(made["b"].input) == ["conv1"] and list(made["d"].input) == ["a.dequantized", "c"]
    assert "d.quantized" not in made and "c.quantized" not in made


def test_concatenated_tensors_share_the_largest_scale():
    values = initializers(quantized(unit(np.float32), "conv1", "c", "y"))
    (scale,) = {float(values[f"{name}.scale"]) for name in ("a", "b", "joined")}
    assert scale == pytest.approx(8 / 127)
    assert float(values["e.scale"]) == pytest.approx(6 / 127)


def test_excluded_nodes_have_no_pair():
    model = quantized(unit(np.float16), "y")
    names = {node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert names == {"e", "w3"}


@pytest.mark.parametrize("dtype", TYPES)
def test_weights_are_rounded_by_at_most_half_a_step_within_127_steps(dtype):
    model = unit(dtype)
    next(t for t in model.graph.initializer if t.name == "w1").CopyFrom(
        numpy_helper.from_array(
            np.stack([np.full((CHANNELS, 3, 3), amax) for amax in (0.0, 1e-7, 3e-4, 50.0)]).astype(dtype), "w1"
        )
    )
    values = initializers(quantized(model, "conv1"))
    weights, steps = values["w1"].astype(np.float64), values["w1.scale"].astype(np.float64)[:, None, None, None]
    rounded = np.rint(weights / steps)
    assert np.abs(rounded).max() <= 127 and (np.abs(rounded * steps - weights) <= steps / 2).all()
    assert (np.abs(rounded[2:]) > 120).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_quantized_graph_runs_with_a_small_error(dtype, tmp_path):
    x = np.random.default_rng(1).uniform(-1, 1, (1, CHANNELS, 8, 8)).astype(dtype)
    model = unit(dtype)
    tensors = {
        name: run(with_output(model, name), x, tmp_path / "tap.onnx") for name in ("a", "b", "joined", "c", "d", "e")
    }
    ranges = {name: (float(t.min()), float(t.max())) for name, t in tensors.items()}
    expected = run(model, x, tmp_path / "plain.onnx").astype(np.float64)
    actual = run(insert_qdq(model, ["made conv1", "made c", "made y"], ranges), x, tmp_path / "low.onnx")
    assert actual.dtype == dtype
    assert 0 < np.abs(actual - expected).max() < 0.05 * np.abs(expected).max()


def with_output(model, name):
    """The model with another output."""
    new = onnx.ModelProto()
    new.CopyFrom(model)
    del new.graph.output[:]
    new.graph.output.append(helper.make_tensor_value_info(name, model.graph.input[0].type.tensor_type.elem_type, None))
    return new


@pytest.mark.parametrize("layout", [unit, chain])
def test_onnx_runtime_computes_fp16_graphs_in_floating_point(layout, tmp_path):
    """Its output equals exact accumulation: in 16 bits, which some CPUs use, products of 8-bit weights overflow."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    model = quantized(layout(np.float16), "conv1", "c", "y").SerializeToString()
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert "QuantizeLinear" in kinds and not {kind for kind in kinds if kind.startswith(("QLinear", "ConvInteger"))}


def test_original_model_is_not_changed():
    model = unit(np.float16)
    before = model.SerializeToString()
    quantized(model, "c")
    assert model.SerializeToString() == before


def test_ranges_are_transferred_to_the_same_network_with_other_names():
    other = unit(np.float16, node_name="other {}")
    for node in other.graph.node:
        node.input[:] = [name if name[0] in "wb" and len(name) == 2 else f"{name}'" for name in node.input]
        node.output[:] = [f"{name}'" for name in node.output]
    ranges = transfer_ranges({"a": (0, 1), "c": (-2, 3)}, unit(np.float32), other, KINDS)
    assert ranges == {"a'": (0, 1), "c'": (-2, 3)}


def test_ranges_are_not_transferred_to_another_network():
    other = graph_of(np.float16, ("Relu", ["x"], "a"), ("Conv", ["a", "w1", "b1"], "y"))
    with pytest.raises(BuildError, match=r"have different structure; build with --fp16"):
        transfer_ranges({"a": (0, 1)}, unit(np.float32), other, KINDS)


def test_zoo_models_are_quantized_except_excluded_nodes(zoo_graph):
    model = zoo_graph
    convolutions = {node.name for node in model.graph.node if node.op_type == "Conv"}
    ranges = {name: (-1.0, 1.0) for node in model.graph.node for name in (*node.input, *node.output)}
    quantized_model = insert_qdq(model, convolutions - excluded_nodes(model), ranges)
    made = producers(quantized_model)
    for node in quantized_model.graph.node:
        if node.op_type == "Conv":
            pairs = [made[name].op_type == "DequantizeLinear" if name in made else False for name in node.input[:2]]
            assert node.name in excluded_nodes(model) or pairs == [True, True]


@pytest.fixture(params=["idrn-x4", "edge-tiny-x4", "detector"])
def zoo_graph(request):
    from facesr_edge.zoo import catalogue

    return load_graph(catalogue.FOLDER / request.param / "model.onnx")

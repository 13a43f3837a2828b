"""INT8 as TensorRT takes it: where the pairs stand, and what their scales are."""

import numpy as np
import onnx
import onnxruntime
import pytest
from facesr_edge.converters.quantization.layers import KINDS, excluded_nodes
from facesr_edge.converters.quantization.qdq import insert_qdq, transfer_ranges
from facesr_edge.engines.errors import BuildError
from onnx import TensorProto, helper, numpy_helper

TYPES = {np.float32: TensorProto.FLOAT, np.float16: TensorProto.FLOAT16}
RANGES = {"x": (-1.0, 1.0), "a": (0.0, 4.0), "b": (0.0, 8.0), "c": (-2.0, 1.0), "d": (-3.0, 3.0), "e": (0.0, 6.0)}
CHANNELS = 4


def graph_of(dtype, *nodes, named="made {}"):
    """Nodes as (operator, inputs, output) on x, (1, 4, 8, 8); weights w… are random and always the same."""
    seed = np.random.default_rng(0)
    made = [
        helper.make_node(kind, inputs, [out], name=named.format(out), **({"axis": 1} if kind == "Concat" else {}))
        for kind, inputs, out in nodes
    ]
    tensors = []
    for node in made:
        if node.op_type == "Conv":
            node.attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))
            width = 2 * CHANNELS if node.input[0] == "joined" else CHANNELS
            values = seed.normal(size=(CHANNELS, width, 3, 3)) * seed.uniform(0.01, 1, (CHANNELS, 1, 1, 1))
            tensors.append(numpy_helper.from_array(values.astype(dtype), node.input[1]))
            tensors.append(numpy_helper.from_array(seed.normal(size=CHANNELS).astype(dtype), node.input[2]))
    x = helper.make_tensor_value_info("x", TYPES[dtype], [1, CHANNELS, 8, 8])
    out = helper.make_tensor_value_info(nodes[-1][2], TYPES[dtype], [1, CHANNELS, 8, 8])
    graph = helper.make_graph(made, "g", [x], [out], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def unit(dtype, **options):
    """A ReLU, a convolution with a ReLU, both joined for another one, its sum with what came in, a convolution."""
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
    """Convolutions with nothing between them, as a depthwise one and the one that mixes its channels."""
    return graph_of(
        dtype,
        ("Relu", ["x"], "a"),
        ("Conv", ["a", "w1", "b1"], "conv1"),
        ("Conv", ["conv1", "w2", "b2"], "c"),
        ("Conv", ["c", "w3", "b3"], "y"),
    )


def quantised(model, *outputs):
    ranges = {**RANGES, "joined": (0.0, 8.0), "conv1": (-5.0, 8.0)}
    return insert_qdq(model, [f"made {name}" for name in outputs], ranges)


def makers(model):
    return {name: node for node in model.graph.node for name in node.output}


def values(model):
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def run(model, x, path):
    onnx.save(model, path)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


@pytest.mark.parametrize("dtype", TYPES)
def test_a_quantised_convolution_takes_pairs_for_its_input_and_its_weights_and_a_float_bias(dtype):
    model = quantised(unit(dtype), "conv1", "c", "y")
    made, given = makers(model), values(model)
    for node in model.graph.node:
        if node.op_type == "Conv":
            for name in node.input[:2]:
                assert made[name].op_type == "DequantizeLinear"
                assert made[made[name].input[0]].op_type == "QuantizeLinear"
            assert given[node.input[2]].dtype == dtype
    pairs = [node for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for node in pairs:
        step, zero = (given[name] for name in node.input[1:])
        assert step.dtype == dtype and (step > 0).all()
        assert zero.dtype == np.int8 and zero.shape == step.shape and (zero == 0).all()
        along = [a.i for a in node.attribute if a.name == "axis"]
        assert (along, step.shape) == (([0], (CHANNELS,)) if node.input[0].startswith("w") else ([], ()))
    assert next(opset.version for opset in model.opset_import if opset.domain == "") == 19


def test_a_convolution_stays_next_to_its_relu_and_its_sum_whose_other_input_is_quantised():
    made = makers(quantised(unit(np.float16), "conv1", "c", "y"))
    assert [made[made[name].input[0]].op_type for name in ("b", "d")] == ["Conv", "DequantizeLinear"]
    assert list(made["b"].input) == ["conv1"] and list(made["d"].input) == ["a.dequantised", "c"]
    assert "d.quantised" not in made and "c.quantised" not in made


def test_what_is_joined_has_one_scale_that_holds_the_largest():
    given = values(quantised(unit(np.float32), "conv1", "c", "y"))
    (scale,) = {float(given[f"{name}.scale"]) for name in ("a", "b", "joined")}
    assert scale == pytest.approx(8 / 127)
    assert float(given["e.scale"]) == pytest.approx(6 / 127)


def test_what_is_kept_high_has_no_pair():
    model = quantised(unit(np.float16), "y")
    low = {node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    assert low == {"e", "w3"}


@pytest.mark.parametrize("dtype", TYPES)
def test_no_weight_is_rounded_by_more_than_half_a_step_nor_takes_more_than_127_steps(dtype):
    model = unit(dtype)
    next(t for t in model.graph.initializer if t.name == "w1").CopyFrom(
        numpy_helper.from_array(
            np.stack([np.full((CHANNELS, 3, 3), peak) for peak in (0.0, 1e-7, 3e-4, 50.0)]).astype(dtype), "w1"
        )
    )
    given = values(quantised(model, "conv1"))
    weights, steps = given["w1"].astype(np.float64), given["w1.scale"].astype(np.float64)[:, None, None, None]
    taken = np.rint(weights / steps)
    assert np.abs(taken).max() <= 127 and (np.abs(taken * steps - weights) <= steps / 2).all()
    assert (np.abs(taken[2:]) > 120).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_it_runs_and_is_near_to_what_it_was_made_from(dtype, tmp_path):
    x = np.random.default_rng(1).uniform(-1, 1, (1, CHANNELS, 8, 8)).astype(dtype)
    model = unit(dtype)
    taps = {name: run(_to(model, name), x, tmp_path / "tap.onnx") for name in ("a", "b", "joined", "c", "d", "e")}
    ranges = {name: (float(t.min()), float(t.max())) for name, t in taps.items()}
    expected = run(model, x, tmp_path / "plain.onnx").astype(np.float64)
    got = run(insert_qdq(model, ["made conv1", "made c", "made y"], ranges), x, tmp_path / "low.onnx")
    assert got.dtype == dtype
    assert 0 < np.abs(got - expected).max() < 0.05 * np.abs(expected).max()


def _to(model, name):
    """The model with another output."""
    new = onnx.ModelProto()
    new.CopyFrom(model)
    del new.graph.output[:]
    new.graph.output.append(helper.make_tensor_value_info(name, model.graph.input[0].type.tensor_type.elem_type, None))
    return new


@pytest.mark.parametrize("layout", [unit, chain])
def test_in_fp16_onnx_runtime_runs_none_of_it_in_integers(layout, tmp_path):
    """So its figures are those of exact sums: in 16 bits, as some CPUs sum, 8-bit weights would overflow."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    low = quantised(layout(np.float16), "conv1", "c", "y").SerializeToString()
    onnxruntime.InferenceSession(low, options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert "QuantizeLinear" in kinds and not {kind for kind in kinds if kind.startswith(("QLinear", "ConvInteger"))}


def test_the_original_is_left_as_it_was():
    model = unit(np.float16)
    before = model.SerializeToString()
    quantised(model, "c")
    assert model.SerializeToString() == before


def test_ranges_are_carried_to_the_same_network_under_other_names():
    other = unit(np.float16, named="other {}")
    for node in other.graph.node:
        node.input[:] = [name if name[0] in "wb" and len(name) == 2 else f"{name}'" for name in node.input]
        node.output[:] = [f"{name}'" for name in node.output]
    found = transfer_ranges({"a": (0, 1), "c": (-2, 3)}, unit(np.float32), other, KINDS)
    assert found == {"a'": (0, 1), "c'": (-2, 3)}


def test_ranges_are_not_carried_to_another_network():
    other = graph_of(np.float16, ("Relu", ["x"], "a"), ("Conv", ["a", "w1", "b1"], "y"))
    with pytest.raises(BuildError, match=r"not laid out alike; build with --fp16"):
        transfer_ranges({"a": (0, 1)}, unit(np.float32), other, KINDS)


def test_every_network_that_ships_can_be_quantised_but_for_what_stays_in_floats(zoo_graph):
    model = zoo_graph
    convolutions = {node.name for node in model.graph.node if node.op_type == "Conv"}
    ranges = {name: (-1.0, 1.0) for node in model.graph.node for name in (*node.input, *node.output)}
    made = makers(low := insert_qdq(model, convolutions - excluded_nodes(model), ranges))
    for node in low.graph.node:
        if node.op_type == "Conv":
            pairs = [made[name].op_type == "DequantizeLinear" if name in made else False for name in node.input[:2]]
            assert node.name in excluded_nodes(model) or pairs == [True, True]


@pytest.fixture(params=["idrn-x4", "edge-tiny-x4", "detector"])
def zoo_graph(request):
    from facesr_edge.zoo import catalogue

    return onnx.load(catalogue.FOLDER / request.param / "model.onnx")

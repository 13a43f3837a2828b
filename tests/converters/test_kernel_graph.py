"""Kernels of a graph: what TensorRT fuses, what is free, and their size at any input."""

import numpy as np
import onnx
import pytest
from facesr_edge.converters.kernel_graph import KernelGraph, crop_kernels, frame_kernels, interpolated
from facesr_edge.converters.macs import macs_of
from facesr_edge.zoo import catalogue
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def write_graph(tmp_path):
    """Function: nodes and constants -> `KernelGraph` of (N, H, W, 3) uint8 "pixels" -> "out"."""

    def write(nodes, **constants):
        graph = helper.make_graph(
            [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
            "test",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "h", "w", 3])],
            [helper.make_tensor_value_info("out", 0, None)],
            [numpy_helper.from_array(np.asarray(value), name.replace("_", ".")) for name, value in constants.items()],
        )
        path = tmp_path / "graph.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        return KernelGraph(path)

    return write


HEAD = [
    ("Cast", ["pixels"], ["float"], {"to": TensorProto.FLOAT}),
    ("Transpose", ["float"], ["planes"], {"perm": [0, 3, 1, 2]}),
    ("Conv", ["planes", "first"], ["x"], {"pads": [1, 1, 1, 1]}),
]
FIRST, SECOND = np.zeros((8, 3, 3, 3), np.float32), np.zeros((8, 8, 3, 3), np.float32)


def kernels_of(graph, side=16):
    return graph.kernels(graph.shapes(side, side))


def test_a_convolution_takes_activation_and_residual_along(write_graph):
    nodes = [
        *HEAD,
        ("Relu", ["x"], ["y"]),
        ("Conv", ["y", "second"], ["z"], {"pads": [1, 1, 1, 1]}),
        ("Add", ["z", "y"], ["sum"]),
        ("Relu", ["sum"], ["out"]),
    ]
    cast, transpose, first, second = kernels_of(write_graph(nodes, first=FIRST, second=SECOND))
    assert [k.name for k in (cast, transpose, first, second)] == ["elementwise", "Transpose", "Conv", "Conv"]
    pixels, maps = 16 * 16 * 3, 16 * 16 * 8
    assert (cast.traffic, transpose.traffic) == (pixels * (1 + 4), pixels * 8)
    assert (first.traffic, second.traffic) == (4 * pixels + 2 * maps, (2 + 4) * maps)  # FP32 after the last convolution
    assert (first.rows, first.channels, first.depth, first.weights, first.precision) == (256, 8, 27, 216, "fp16")
    assert second.macs == 256 * 8 * 72


def test_an_activation_with_two_readers_of_the_convolution_is_its_own_kernel(write_graph):
    nodes = [*HEAD, ("Relu", ["x"], ["y"]), ("Concat", ["x", "y"], ["out"], {"axis": 1})]
    names = [k.name for k in kernels_of(write_graph(nodes, first=FIRST))]
    assert names == ["elementwise", "Transpose", "Conv", "elementwise", "Concat"]


def test_elementwise_operators_in_a_row_are_one_kernel_and_reshapes_none(write_graph):
    nodes = [
        *HEAD,
        ("Sigmoid", ["x"], ["a"]),
        ("Reshape", ["a", "flat"], ["b"]),
        ("Mul", ["b", "two"], ["c"]),
        ("Exp", ["c"], ["out"]),
    ]
    graph = write_graph(nodes, first=FIRST, flat=np.array([1, 8, -1]), two=np.float32(2))
    names = [k.name for k in kernels_of(graph)]
    assert names == ["elementwise", "Transpose", "Conv", "elementwise"]


def test_what_depends_on_the_size_alone_is_a_constant(write_graph):
    nodes = [
        *HEAD,
        ("Shape", ["x"], ["size"]),
        ("Cast", ["size"], ["sizes"], {"to": TensorProto.FLOAT}),
        ("Exp", ["sizes"], ["unused"]),
        ("Relu", ["x"], ["out"]),
    ]
    assert [k.name for k in kernels_of(write_graph(nodes, first=FIRST))] == ["elementwise", "Transpose", "Conv"]


def test_quantized_convolutions_are_int8_and_the_projection_is_fp32(write_graph):
    nodes = [
        *HEAD,
        ("Relu", ["x"], ["y"]),
        ("QuantizeLinear", ["y", "scale", "zero"], ["q"]),
        ("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        ("DequantizeLinear", ["second", "scale", "zero"], ["weight"]),
        ("Conv", ["d", "weight"], ["z"], {"pads": [1, 1, 1, 1]}),
        ("Conv", ["z", "projection.down"], ["out"]),
    ]
    constants = {
        "first": FIRST,
        "second": SECOND.astype(np.int8),
        "projection_down": np.zeros((3, 8, 1, 1), np.float32),
    }
    *_, first, second, down = kernels_of(write_graph(nodes, scale=np.float32(0.1), zero=np.int8(0), **constants))
    assert [k.precision for k in (first, second, down)] == ["fp16", "int8", "fp32"]
    maps = 16 * 16 * 8
    assert first.traffic == 16 * 16 * 3 * 4 + maps and second.traffic == maps + 2 * maps


@pytest.mark.parametrize("name", ["edge-nano-x4-camera", "idrn-x2"])
def test_shapes_at_other_sizes_are_those_of_a_run(name):
    bundle = catalogue.find(name)
    graph = KernelGraph(bundle.onnx)
    known = {side: graph.shapes(side, side) for side in (32, 40, 48)}
    assert interpolated(known, 80) == graph.shapes(80, 80)


def test_multiply_adds_are_those_of_the_graph():
    bundle = catalogue.find("idrn-x4")
    kernels = crop_kernels(bundle, bundle.onnx)
    assert set(kernels) == set(bundle.card.io_spec.crop_sizes)
    constant = 2 * 32 * 32 * 128  # products of matrices that depend on the size alone
    assert sum(k.macs for k in kernels[32]) == pytest.approx(macs_of(bundle.onnx, 32), abs=2 * constant)


def test_a_detector_has_kernels_for_any_frame():
    small, wide = frame_kernels(catalogue.find("detector").onnx, [(96, 96), (96, 192)]).values()
    assert len(small) == len(wide) and 1.9 < sum(k.macs for k in wide) / sum(k.macs for k in small) < 2.1

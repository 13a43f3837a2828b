"""Identity similarity with a synthetic recognizer: input layout, normalization, and invalid graphs."""

import cv2
import numpy as np
import onnx
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.identity import identity_similarity
from facesr_edge.engines.errors import EngineError
from onnx import TensorProto, helper, numpy_helper

SIDE = 112


@pytest.fixture(scope="module")
def faces():
    return np.stack(sample_faces()[:2])


@pytest.fixture
def recognizer(tmp_path):
    """Write a graph whose embedding is its input pooled to 7×7 per channel: 147 values, channels R, G, B."""

    def write(shape=("n", 3, SIDE, SIDE), dtype=TensorProto.FLOAT, normalizing=False, flat=True, inputs=1):
        channels_last = len(shape) == 4 and shape[-1] == 3
        nodes = [helper.make_node("Cast", ["face"], ["float"], to=TensorProto.FLOAT)]
        value = "float"
        if normalizing:
            nodes += [
                helper.make_node("Sub", [value, "mean"], ["centered"]),
                helper.make_node("Mul", ["centered", "scale"], ["normalized"]),
            ]
            value = "normalized"
        if channels_last:
            nodes.append(helper.make_node("Transpose", [value], ["nchw"], perm=[0, 3, 1, 2]))
            value = "nchw"
        nodes.append(helper.make_node("AveragePool", [value], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]))
        nodes.append(helper.make_node("Reshape", ["pooled", "shape"], ["out"]))
        graph_inputs = [helper.make_tensor_value_info("face", dtype, shape)]
        graph_inputs += [helper.make_tensor_value_info(f"other{n}", dtype, [1]) for n in range(1, inputs)]
        if inputs > 1:
            nodes.append(helper.make_node("Identity", ["other1"], ["unused"]))
        sizes = [1, 147] if flat else [1, 3, 49]
        constants = [
            numpy_helper.from_array(np.array(sizes, np.int64), "shape"),
            numpy_helper.from_array(np.float32(127.5), "mean"),
            numpy_helper.from_array(np.float32(1 / 127.5), "scale"),
        ]
        out = [helper.make_tensor_value_info("out", TensorProto.FLOAT, sizes)]
        graph = helper.make_graph(nodes, "recognizer", graph_inputs, out, constants)
        path = tmp_path / "recognizer.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        return path

    return write


def expected_similarity(a, b, normalize=True):
    def embedding(face):
        small = cv2.resize(face[..., ::-1], (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
        small = (small - 127.5) / 127.5 if normalize else small
        return small.reshape(7, 16, 7, 16, 3).mean((1, 3)).transpose(2, 0, 1).ravel()

    x, y = embedding(a), embedding(b)
    return x @ y / np.sqrt((x @ x) * (y @ y))


def test_equal_faces_have_similarity_one(recognizer, faces):
    assert identity_similarity(recognizer(), 1)(faces, faces) == pytest.approx([1, 1], abs=1e-6)


def test_similarity_falls_with_degradation(recognizer, faces):
    similarity = identity_similarity(recognizer(), 1)
    steps = [similarity(np.clip(faces.astype(int) + 40 * n, 0, 255).astype(np.uint8), faces) for n in range(4)]
    assert (np.diff(np.stack(steps), axis=0) < 0).all()
    assert similarity(255 - faces, faces) == pytest.approx([-1, -1], abs=1e-5)


@pytest.mark.parametrize(
    "shape",
    [("n", 3, SIDE, SIDE), (1, 3, SIDE, SIDE), (1, SIDE, SIDE, 3), ("n", "h", "w", 3), (None, 3, None, None)],
)
def test_input_layout_is_read_from_the_graph(recognizer, faces, shape):
    (similarity,) = identity_similarity(recognizer(shape), 1)(faces[:1], faces[1:])
    assert similarity == pytest.approx(expected_similarity(faces[0], faces[1]), abs=1e-5)


@pytest.mark.parametrize(
    "options", [{"dtype": TensorProto.UINT8}, {"normalizing": True}, {"dtype": TensorProto.FLOAT16}]
)
def test_pixels_are_normalized_once(recognizer, faces, options):
    (similarity,) = identity_similarity(recognizer(**options), 1)(faces[:1], faces[1:])
    normalize = options.get("dtype") != TensorProto.UINT8
    assert similarity == pytest.approx(expected_similarity(faces[0], faces[1], normalize), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": (1, 1, SIDE, SIDE)}, r"takes \[1, 1, 112, 112\]; expected an ArcFace-like graph"),
        ({"shape": (1, 3, SIDE, 96)}, r"takes \[1, 3, 112, 96\]"),
        ({"shape": (4, 3, SIDE, SIDE)}, r"takes \[4, 3, 112, 112\]"),
        ({"dtype": TensorProto.DOUBLE}, r"takes tensor\(double\)"),
        ({"inputs": 2}, "has 2 inputs"),
        ({"flat": False}, r"returned shape \(1, 3, 49\)"),
    ],
)
def test_unsupported_graph_raises_a_one_line_error(recognizer, faces, options, message):
    with pytest.raises(EngineError, match=message) as error:
        identity_similarity(recognizer(**options), 1)(faces, faces)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"not a graph"])
def test_invalid_file_raises_a_one_line_error(tmp_path, content):
    path = tmp_path / "recognizer.onnx"
    if content:
        path.write_bytes(content)
    with pytest.raises(EngineError, match=r"recognizer\.onnx") as error:
        identity_similarity(path)
    assert "\n" not in str(error.value)

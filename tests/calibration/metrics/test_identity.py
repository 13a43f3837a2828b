"""A recogniser made here: how its input is found, what it is given, and what is said of a file that is none."""

import cv2
import numpy as np
import onnx
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.identity import recognition
from facesr_edge.engines.errors import EngineError
from onnx import TensorProto, helper, numpy_helper

SIDE = 112


@pytest.fixture(scope="module")
def faces():
    return np.stack(sample_faces()[:2])


@pytest.fixture
def recogniser(tmp_path):
    """A graph whose embedding is its input, shrunk to 7×7 means of a channel: 147 numbers, R before G before B."""

    def made(shape=("n", 3, SIDE, SIDE), kind=TensorProto.FLOAT, normalising=False, flat=True, inputs=1):
        last = len(shape) == 4 and shape[-1] == 3
        nodes = [helper.make_node("Cast", ["face"], ["real"], to=TensorProto.FLOAT)]
        value = "real"
        if normalising:
            nodes += [
                helper.make_node("Sub", [value, "middle"], ["less"]),
                helper.make_node("Mul", ["less", "share"], ["own"]),
            ]
            value = "own"
        if last:
            nodes.append(helper.make_node("Transpose", [value], ["first"], perm=[0, 3, 1, 2]))
            value = "first"
        nodes.append(helper.make_node("AveragePool", [value], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]))
        nodes.append(helper.make_node("Reshape", ["pooled", "row"], ["out"]))
        given = [helper.make_tensor_value_info("face", kind, shape)]
        given += [helper.make_tensor_value_info(f"other{n}", kind, [1]) for n in range(1, inputs)]
        if inputs > 1:
            nodes.append(helper.make_node("Identity", ["other1"], ["ignored"]))
        sizes = [1, 147] if flat else [1, 3, 49]
        constants = [
            numpy_helper.from_array(np.array(sizes, np.int64), "row"),
            numpy_helper.from_array(np.float32(127.5), "middle"),
            numpy_helper.from_array(np.float32(1 / 127.5), "share"),
        ]
        out = [helper.make_tensor_value_info("out", TensorProto.FLOAT, sizes)]
        graph = helper.make_graph(nodes, "recogniser", given, out, constants)
        path = tmp_path / "recogniser.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
        return path

    return made


def by_hand(a, b, centred=True):
    def embedding(face):
        small = cv2.resize(face[..., ::-1], (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
        small = (small - 127.5) / 127.5 if centred else small
        return small.reshape(7, 16, 7, 16, 3).mean((1, 3)).transpose(2, 0, 1).ravel()

    x, y = embedding(a), embedding(b)
    return x @ y / np.sqrt((x @ x) * (y @ y))


def test_the_same_face_is_the_same_person(recogniser, faces):
    assert recognition(recogniser(), 1)(faces, faces) == pytest.approx([1, 1], abs=1e-6)


def test_the_less_is_left_of_a_face_the_less_alike_it_is(recogniser, faces):
    alike = recognition(recogniser(), 1)
    steps = [alike(np.clip(faces.astype(int) + 40 * n, 0, 255).astype(np.uint8), faces) for n in range(4)]
    assert (np.diff(np.stack(steps), axis=0) < 0).all()
    assert alike(255 - faces, faces) == pytest.approx([-1, -1], abs=1e-5)


@pytest.mark.parametrize(
    "shape",
    [("n", 3, SIDE, SIDE), (1, 3, SIDE, SIDE), (1, SIDE, SIDE, 3), ("n", "h", "w", 3), (None, 3, None, None)],
)
def test_the_layout_is_found_in_the_graph(recogniser, faces, shape):
    (found,) = recognition(recogniser(shape), 1)(faces[:1], faces[1:])
    assert found == pytest.approx(by_hand(faces[0], faces[1]), abs=1e-5)


@pytest.mark.parametrize("options", [{"kind": TensorProto.UINT8}, {"normalising": True}, {"kind": TensorProto.FLOAT16}])
def test_pixels_are_centred_once_and_no_more(recogniser, faces, options):
    (found,) = recognition(recogniser(**options), 1)(faces[:1], faces[1:])
    centred = options.get("kind") != TensorProto.UINT8
    assert found == pytest.approx(by_hand(faces[0], faces[1], centred), abs=1e-3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"shape": (1, 1, SIDE, SIDE)}, r"takes \[1, 1, 112, 112\]; expected an ArcFace-like graph"),
        ({"shape": (1, 3, SIDE, 96)}, r"takes \[1, 3, 112, 96\]"),
        ({"shape": (4, 3, SIDE, SIDE)}, r"takes \[4, 3, 112, 112\]"),
        ({"kind": TensorProto.DOUBLE}, r"takes tensor\(double\)"),
        ({"inputs": 2}, "has 2 inputs"),
        ({"flat": False}, r"answered with \(1, 3, 49\)"),
    ],
)
def test_a_graph_that_is_no_recogniser_is_told_in_one_line(recogniser, faces, options, told):
    with pytest.raises(EngineError, match=told) as error:
        recognition(recogniser(**options), 1)(faces, faces)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [None, b"no graph"])
def test_a_file_that_is_no_graph_is_told_in_one_line(tmp_path, content):
    path = tmp_path / "recogniser.onnx"
    if content:
        path.write_bytes(content)
    with pytest.raises(EngineError, match=r"recogniser\.onnx") as error:
        recognition(path)
    assert "\n" not in str(error.value)

"""``facesr-edge eval`` of super-resolution models: the table, JSON, the sheet, and wrong usage."""

import json
import shutil

import cv2
import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.evaluate import MEASURES
from facesr_edge.networks.perceptual import LPIPS
from facesr_edge.sdk.evaluation.compare import super_resolution_models
from facesr_edge.zoo import catalogue
from onnx import TensorProto, helper


@pytest.fixture
def faces(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for n, face in enumerate(sample_faces()[:3]):
        cv2.imwrite(str(folder / f"{n}.png"), face)
    return folder


@pytest.fixture
def twin(tmp_path):
    """The same model by another name."""
    return shutil.copytree(catalogue.FOLDER / "idrn-x4", tmp_path / "twin-x4")


@pytest.fixture
def recogniser(tmp_path):
    """A graph whose embedding is 147 means of its input."""
    nodes = [
        helper.make_node("AveragePool", ["face"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["out"]),
    ]
    given = helper.make_tensor_value_info("face", TensorProto.FLOAT, [1, 3, 112, 112])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 147])
    graph = helper.make_graph(nodes, "recogniser", [given], [out])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "arcface.onnx"
    )
    return tmp_path / "arcface.onnx"


def test_a_model_stands_below_bicubic(facesr, faces):
    said = facesr("eval", "--faces", faces, "--threads", 1)
    rows = [line.split() for line in said.out.splitlines()[2:]]
    assert said.code == 0 and [row[:2] for row in rows] == [["x4", "bicubic"], [catalogue.DEFAULT_MODEL, rows[1][1]]]
    assert "LPIPS" not in said.out and "same" not in said.out and "VIF" in said.out
    assert "seed 0" in said.err and rows[1][-1].startswith("0.19") and "188 k" in said.out
    assert max(map(len, said.out.splitlines())) <= 100


def test_several_models_are_one_table_and_all_are_those_of_the_zoo(facesr, faces, twin):
    said = facesr("eval", "--faces", faces, "--model", "idrn-x4", "--model", twin, "--threads", 1)
    assert said.code == 0 and said.out.count("bicubic") == 1 and "idrn-x4" in said.out and "twin-x4" in said.out
    said = facesr("eval", "--faces", faces, "--all", "--threads", 1, "--json")
    document = json.loads(said.out)
    models = [document] if "scales" not in document else [m for s in document["scales"] for m in s["models"]]
    assert sorted(model["model"] for model in models) == super_resolution_models()


def test_json_of_several_goes_to_a_file_and_the_table_is_shown(facesr, faces, twin, tmp_path):
    options = ["--model", "idrn-x4", "--model", twin, "--degradation", "camera", "--json", tmp_path / "figures.json"]
    said = facesr("eval", "--faces", faces, *options, "--threads", 1)
    document = json.loads((tmp_path / "figures.json").read_text())
    assert said.code == 0 and "gain" in said.out and document["degradation"] == "camera" and document["seed"] == 0
    ((first, second),) = (scale["models"] for scale in document["scales"])
    assert {name: first[name] for name in MEASURES} == {name: second[name] for name in MEASURES}


def test_what_its_network_is_given_for_is_measured_too(facesr, faces, recogniser, tmp_path):
    pytest.importorskip("torchmetrics")
    torch.save({k: v for k, v in LPIPS().state_dict().items() if k.startswith("features")}, tmp_path / "alexnet.pth")
    options = ["--recognizer", recogniser, "--lpips-weights", tmp_path / "alexnet.pth", "--json"]
    document = json.loads(facesr("eval", "--faces", faces, *options, "--threads", 1).out)
    assert document["mps"] == pytest.approx(0.5 * (document["ssim_y"] + 1 - document["lpips"]), abs=1e-4)
    assert 0.5 < document["bicubic_recognition"] < document["recognition"] <= 1
    shown = facesr("eval", "--faces", faces, *options[:-1], "--threads", 1).out
    assert all(word in shown for word in ("LPIPS", "MPS", "same")) and max(map(len, shown.splitlines())) <= 120


def test_a_sheet_shows_the_faces(facesr, faces, tmp_path):
    said = facesr("eval", "--faces", faces, "--sheet", tmp_path / "sheet.png", "--threads", 1)
    assert said.code == 0 and "sheet.png" in said.err
    sheet, face = cv2.imread(str(tmp_path / "sheet.png")), sample_faces()[0]
    wide = face.repeat(2, axis=0).repeat(2, axis=1)
    found = cv2.matchTemplate(sheet, wide, cv2.TM_SQDIFF)
    y, x = np.unravel_index(found.argmin(), found.shape)
    assert (sheet[y : y + 256, x : x + 256] == wide).all() and x > sheet.shape[1] - 300  # the truth, at the right


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--all", "--model", "idrn-x4"], 2, "--model cannot be given with --all"),
        (["--sheet", "sheet.jpg"], 2, "ends in .png"),
        (["--degradation", "camrea"], 2, "did you mean 'camera'?"),
        (["--model", "idrn-x4", "--model", "detector"], 1, "detector is no super-resolution network"),
        (["--recognizer", "missing.onnx"], 1, "there is no recogniser missing.onnx"),
        (["--lpips-weights", "missing.pth"], 1, "there is no file missing.pth"),
        (["--recognizer", catalogue.FOLDER / "idrn-x4" / "model.onnx"], 1, "expected an ArcFace-like graph"),
    ],
)
def test_what_cannot_be_measured_is_one_line(facesr, faces, options, code, told):
    said = facesr("eval", "--faces", faces, *options)
    assert said.code == code and told in said.error and said.out == ""


def test_options_of_faces_and_of_scenes_do_not_mix(facesr):
    said = facesr("eval", "--scenes", "s", "--all", "--sheet", "s.png")
    assert said.code == 2 and "--all, --sheet cannot be given with --scenes" in said.error

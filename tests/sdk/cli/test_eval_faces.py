"""``facesr-edge eval`` of super-resolution models: table, JSON, contact sheet, and usage errors."""

import json
import shutil

import cv2
import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.evaluate import METRICS
from facesr_edge.networks.perceptual import LPIPS
from facesr_edge.zoo import catalogue
from onnx import TensorProto, helper

BOTH = ("--degradation", "bicubic", "--degradation", "camera")


@pytest.fixture
def faces(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    for n, face in enumerate(sample_faces()[:3]):
        cv2.imwrite(str(folder / f"{n}.png"), face)
    return folder


@pytest.fixture
def copy_of_idrn(tmp_path):
    """Copy of a model under another name."""
    return shutil.copytree(catalogue.FOLDER / "idrn-x4", tmp_path / "copy-x4")


@pytest.fixture
def recognizer(tmp_path):
    """Graph whose embedding is the pooled input, 147 values."""
    nodes = [
        helper.make_node("AveragePool", ["face"], ["pooled"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["pooled"], ["out"]),
    ]
    graph_input = helper.make_tensor_value_info("face", TensorProto.FLOAT, [1, 3, 112, 112])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 147])
    graph = helper.make_graph(nodes, "recognizer", [graph_input], [out])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "arcface.onnx"
    )
    return tmp_path / "arcface.onnx"


def test_model_is_printed_below_bicubic(facesr, faces):
    result = facesr("eval", "--faces", faces, "--threads", 1)
    rows = [line.split() for line in result.out.splitlines()[2:]]
    assert result.code == 0 and [row[:2] for row in rows] == [["x4", "bicubic"], [catalogue.DEFAULT_MODEL, rows[1][1]]]
    assert "LPIPS" not in result.out and "ID cos" not in result.out and "VIF" in result.out
    assert "seed 0" in result.err and rows[1][-1].startswith("0.20") and "188 k" in result.out
    assert max(map(len, result.out.splitlines())) <= 100


def test_several_models_are_one_table_and_all_selects_the_zoo(facesr, faces, copy_of_idrn, monkeypatch):
    result = facesr("eval", "--faces", faces, "--model", "idrn-x4", "--model", copy_of_idrn, "--threads", 1)
    assert result.code == 0 and result.out.count("bicubic") == 1 and "idrn-x4" in result.out and "copy-x4" in result.out
    names = [catalogue.DEFAULT_MODEL, "idrn-x4"]
    monkeypatch.setattr("facesr_edge.sdk.evaluation.compare.super_resolution_models", lambda crop=0: names)
    document = json.loads(facesr("eval", "--faces", faces, "--all", "--threads", 1, "--json").out)
    assert [model["model"] for scale in document["scales"] for model in scale["models"]] == names


def test_json_file_and_table_of_several_models(facesr, faces, copy_of_idrn, tmp_path):
    options = ["--model", "idrn-x4", "--model", copy_of_idrn, "--degradation", "camera"]
    result = facesr("eval", "--faces", faces, *options, "--json", tmp_path / "metrics.json", "--threads", 1)
    document = json.loads((tmp_path / "metrics.json").read_text())
    assert result.code == 0 and "gain" in result.out and document["degradation"] == "camera" and document["seed"] == 0
    ((first, second),) = (scale["models"] for scale in document["scales"])
    assert {name: first[name] for name in METRICS} == {name: second[name] for name in METRICS}


def test_optional_metrics_are_measured_if_their_network_is_given(facesr, faces, recognizer, tmp_path):
    pytest.importorskip("torchmetrics")
    torch.save({k: v for k, v in LPIPS().state_dict().items() if k.startswith("features")}, tmp_path / "alexnet.pth")
    options = ["--recognizer", recognizer, "--lpips-weights", tmp_path / "alexnet.pth", "--json"]
    document = json.loads(facesr("eval", "--faces", faces, *options, "--threads", 1).out)
    assert document["mps"] == pytest.approx(0.5 * (document["ssim_y"] + 1 - document["lpips"]), abs=1e-4)
    assert 0.5 < document["bicubic_identity"] < document["identity"] <= 1
    printed = facesr("eval", "--faces", faces, *options[:-1], "--threads", 1).out
    assert all(heading in printed for heading in ("LPIPS", "MPS", "ID cos"))
    assert max(map(len, printed.splitlines())) <= 120


def test_several_degradations_are_the_rows_of_one_table(facesr, faces, copy_of_idrn, tmp_path):
    options = [
        "--model",
        copy_of_idrn,
        "--model",
        "edge-nano-x4",
        "--degradation",
        "bicubic",
        "--degradation",
        "camera",
    ]
    result = facesr("eval", "--faces", faces, *options, "--json", tmp_path / "m.json", "--threads", 1)
    lines = result.out.splitlines()
    assert result.code == 0 and lines[0].split() == ["x4,", "3", "faces", "copy-x4", "edge-nano-x4"]
    assert [line.split()[:3] for line in (lines[1], lines[3])] == [
        ["gain", "dB", "bicubic"],
        ["invented", "(lower)", "bicubic"],
    ]
    first, second = json.loads((tmp_path / "m.json").read_text())["evaluations"]
    models = {model["model"]: model for model in second["scales"][0]["models"]}
    cells = [f"{models[name]['gain_db']:+.2f}" for name in ("copy-x4", "edge-nano-x4")]
    assert lines[2].split() == ["camera", *cells] and first["degradation"] == "bicubic"


def test_crop_sizes_are_the_rows_of_a_table_for_each_model(facesr, faces, tmp_path):
    cv2.imwrite(str(faces / "large.png"), cv2.resize(sample_faces()[0], (256, 256)))
    options = [
        "--model",
        "edge-nano-x4",
        "--crop",
        32,
        "--crop",
        64,
        "--degradation",
        "bicubic",
        "--degradation",
        "camera",
    ]
    result = facesr("eval", "--faces", faces, *options, "--threads", 1)
    lines = [line.split() for line in result.out.splitlines()]
    assert result.code == 0 and lines[0] == ["edge-nano-x4,", "x4", "bicubic", "camera"]
    assert lines[1][2:6] == ["32", "px,", "4", "faces"] and lines[2][:4] == ["64", "px,", "1", "faces"]
    assert "note: crops of 64 px at x4: 3 of 4 faces are smaller than 256x256 px and left out" in result.err


def test_wide_tables_are_cut_into_several(facesr, faces, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.cli.condition_tables.MAX_WIDTH", 12)
    options = ["--model", "edge-nano-x4", "--crop", 32, *BOTH]
    result = facesr("eval", "--faces", faces, *options, "--threads", 1)
    headings = [line.split()[2:] for line in result.out.splitlines() if line.startswith("edge-nano-x4, x4")]
    assert headings == [["bicubic"], ["camera"]]


def test_precision_chooses_the_graph(facesr, faces, tmp_path):
    figures = {}
    for precision in ("fp32", "int8"):
        options = ["--model", "edge-nano-x4", "--precision", precision, "--json", tmp_path / "m.json", "--threads", 1]
        result = facesr("eval", "--faces", faces, *options)
        figures[precision] = json.loads((tmp_path / "m.json").read_text())
        assert result.code == 0 and f"edge-nano-x4 · {precision}" in result.err
    assert {name: figure["precision"] for name, figure in figures.items()} == {"fp32": "fp32", "int8": "int8"}
    assert 0 < abs(figures["fp32"]["psnr_y_db"] - figures["int8"]["psnr_y_db"]) < 0.1


def test_models_that_do_not_take_a_crop_size_are_left_out_of_all(facesr, faces, monkeypatch):
    monkeypatch.setattr("facesr_edge.zoo.catalogue.names", lambda: ["edge-nano-x4", "edge-tiny-x8", "detector"])
    cv2.imwrite(str(faces / "large.png"), cv2.resize(sample_faces()[0], (512, 512)))
    result = facesr("eval", "--faces", faces, "--all", "--crop", 128, "--threads", 1)
    assert result.code == 0 and "edge-nano-x4" in result.out
    assert "edge-tiny-x8: left out, as they do not take crops of 128 px" in result.err


def test_identity_distance_is_measured_on_request(facesr, faces):
    pytest.importorskip("dlib")
    options = ["--identity", *BOTH]
    result = facesr("eval", "--faces", faces, *options, "--threads", 1)
    line = next(line for line in result.out.splitlines() if line.startswith("ID dist (lower)"))
    distance, bicubic = (float(cell.strip("()")) for cell in line.split()[-2:])
    assert result.code == 0 and 0 < distance < bicubic < 1


def test_contact_sheet_is_written(facesr, faces, tmp_path):
    result = facesr("eval", "--faces", faces, "--sheet", tmp_path / "sheet.png", "--threads", 1)
    assert result.code == 0 and "sheet.png" in result.err
    sheet, face = cv2.imread(str(tmp_path / "sheet.png")), sample_faces()[0]
    zoomed = face.repeat(2, axis=0).repeat(2, axis=1)
    difference = cv2.matchTemplate(sheet, zoomed, cv2.TM_SQDIFF)
    y, x = np.unravel_index(difference.argmin(), difference.shape)
    assert (sheet[y : y + 256, x : x + 256] == zoomed).all()
    assert x > sheet.shape[1] - 300  # the ground truth is the last column


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--all", "--model", "idrn-x4"], 2, "--model cannot be given with --all"),
        (["--sheet", "sheet.jpg"], 2, "ends in .png"),
        (["--degradation", "camrea"], 2, "did you mean 'camera'?"),
        (["--crop", "64"], 1, "crops of 64 px at x4 need faces of 256x256 px; all 3 are smaller"),
        (["--crop", "32", "--ablation", "--references", "lib"], 2, "--ablation cannot be given with"),
        (["--model", "idrn-x4", "--model", "detector"], 1, "detector is not a super-resolution network"),
        (["--recognizer", "missing.onnx"], 1, "recognizer missing.onnx does not exist"),
        (["--lpips-weights", "missing.pth"], 1, "there is no file missing.pth"),
        (["--recognizer", catalogue.FOLDER / "idrn-x4" / "model.onnx"], 1, "expected an ArcFace-like graph"),
    ],
)
def test_errors_are_one_line(facesr, faces, options, code, message):
    result = facesr("eval", "--faces", faces, *options)
    assert result.code == code and message in result.error and result.out == ""


def test_options_of_models_and_of_detectors_exclude_each_other(facesr):
    result = facesr("eval", "--detection-data", "s", "--all", "--sheet", "s.png")
    assert result.code == 2 and "--all, --sheet cannot be given with --detection-data" in result.error


def test_table_shows_a_metric_without_a_heading_under_its_name(monkeypatch, capsys, faces):
    from facesr_edge.calibration.data.faces import read_faces
    from facesr_edge.sdk.cli.eval_tables import print_comparison
    from facesr_edge.sdk.evaluation.compare import compare

    metrics = {"psnr_y_db": METRICS["psnr_y_db"], "max_error": lambda sr, hr: np.full(len(hr), 12.5)}
    print_comparison(compare([catalogue.FOLDER / "edge-nano-x4"], read_faces(faces), metrics=metrics))
    out = capsys.readouterr().out
    assert "max_error" in out and "12.5000" in out


def test_the_number_of_measured_faces_is_whole_and_has_no_best_value():
    from facesr_edge.sdk.cli.eval_tables import _metric

    column = _metric("identity_distance_faces")
    assert column.best is None and column.format(126.0) == "126" and column.heading == "ID dist\nfaces"
    assert _metric("identity_distance").best is min and _metric("psnr_y_db").best is max

"""Comparison of models on the same faces: order of rows, metrics, examples, JSON, and reproducibility."""

import json
import subprocess
import sys

import cv2
import numpy as np
import onnx
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.evaluate import METRICS, evaluate
from facesr_edge.engines.bundle.bundle import ONNX, write_bundle
from facesr_edge.engines.bundle.card import Card
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.errors import EngineError, UnknownNameError
from facesr_edge.engines.registry import open_session
from facesr_edge.sdk.evaluation.compare import compare, super_resolution_models
from facesr_edge.zoo import catalogue
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Make a bundle of an unknown network that resizes with a given scale and mode."""

    def made(name, scale, mode="cubic"):
        nodes = [
            helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["float"], ["nchw"], perm=[0, 3, 1, 2]),
            helper.make_node("Resize", ["nchw", "", "scales"], ["resized"], mode=mode, cubic_coeff_a=-0.75),
            helper.make_node("Transpose", ["resized"], ["nhwc"], perm=[0, 2, 3, 1]),
            helper.make_node("Clip", ["nhwc", "min", "max"], ["clipped"]),
            helper.make_node("Round", ["clipped"], ["rounded"]),
            helper.make_node("Cast", ["rounded"], ["y"], to=TensorProto.UINT8),
        ]
        constants = {"scales": np.array([1, 1, scale, scale], np.float32), "min": np.float32(0), "max": np.float32(255)}
        tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
        graph_input = helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", "height", "width", 3])
        out = helper.make_tensor_value_info("y", TensorProto.UINT8, ["n", "h", "w", 3])
        graph = helper.make_graph(nodes, "resize", [graph_input], [out], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        io_spec = IOSpec("super-resolution", scale=scale, crop_sizes=(16, 32, 48, 64), batches=(1, 8))
        card = Card(name, io_spec, "fp32", "unknown", {})
        return write_bundle(tmp_path_factory.mktemp("models") / name, card, {ONNX: model.SerializeToString()}).folder

    return made


@pytest.fixture(scope="module")
def models(bundle):
    return [bundle("cubic-x4", 4), bundle("nearest-x4", 4, "nearest"), bundle("nearest-x2", 2, "nearest")]


@pytest.fixture(scope="module")
def comparison(models):
    return compare([*models, "idrn-x4"], sample_faces(), threads=1)


def test_rows_are_grouped_by_scale_with_bicubic_first_and_ascending_psnr(comparison):
    names = [(group.scale, [row.name for row in group.rows]) for group in comparison.groups]
    assert names == [(2, ["bicubic", "nearest-x2"]), (4, ["bicubic", "nearest-x4", "cubic-x4", "idrn-x4"])]
    for group in comparison.groups:
        bicubic_db, *psnrs_db = (row.metrics["psnr_y_db"] for row in group.rows)
        assert psnrs_db == sorted(psnrs_db)
        assert group.rows[0].gain_db == 0 and group.rows[-1].gain_db == psnrs_db[-1] - bicubic_db


def test_row_equals_the_evaluation_of_the_model_alone(comparison):
    (_, group) = comparison.groups
    evaluation = evaluate(open_session(catalogue.find("idrn-x4"), "onnxruntime", 1, "fp32"), sample_faces())
    assert group.rows[-1].metrics == evaluation.model and group.rows[0].metrics == evaluation.bicubic
    assert group.rows[2].gain_db == pytest.approx(0, abs=0.01)  # cubic-x4 equals OpenCV's bicubic


def test_examples_are_inputs_outputs_and_ground_truth(comparison):
    (_, group) = comparison.groups
    assert group.small.shape == (6, 32, 32, 3) and group.true.shape == (6, 128, 128, 3)
    nearest = group.small.repeat(4, axis=1).repeat(4, axis=2)
    assert np.abs(group.rows[1].examples.astype(int) - nearest).mean() < 3
    assert (group.true[0] == sample_faces()[0]).all() and (group.true[-1] == sample_faces()[-1]).all()
    bicubic = cv2.resize(group.small[2], (128, 128), interpolation=cv2.INTER_CUBIC)
    assert (group.rows[0].examples[2] == bicubic).all()


def test_complexity_of_known_networks_is_counted(comparison):
    (_, group) = comparison.groups
    assert group.rows[0].complexity is None and group.rows[2].complexity is None
    assert group.rows[3].complexity.parameters == 1184707 and 1.6 < group.rows[3].complexity.gmacs < 1.8
    keys = [row.to_dict().keys() & {"parameters", "multiply_adds"} for row in group.rows]
    assert [len(row) for row in keys] == [0, 0, 0, 2]


def test_json_of_several_models_is_grouped_by_scale(comparison):
    document = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert (document["faces"], document["degradation"], document["seed"]) == (8, "bicubic", 0)
    assert [scale["scale"] for scale in document["scales"]] == [2, 4]
    best = document["scales"][1]["models"][-1]
    assert best["model"] == "idrn-x4" and best["precision"] == "fp32" and "ONNX Runtime" in best["engine"]
    assert set(METRICS) <= set(best) and set(document["scales"][1]["bicubic"]) == set(METRICS)
    assert best["gain_db"] == pytest.approx(best["psnr_y_db"] - document["scales"][1]["bicubic"]["psnr_y_db"], abs=2e-4)


def test_json_of_one_model_is_flat(models):
    document = compare(models[:1], sample_faces()[:2], threads=1).to_dict()
    evaluation = evaluate(open_session(catalogue.find(models[0]), threads=1), sample_faces()[:2])
    assert document.items() >= evaluation.to_dict().items()
    assert document["model"] == "cubic-x4" and "scales" not in document


def test_metrics_that_were_not_measured_are_omitted(models):
    metrics = {"psnr_y_db": METRICS["psnr_y_db"], "lpips": lambda a, b: np.array([0.25] * len(a))}
    document = compare(models[1:], sample_faces()[:2], metrics=metrics, threads=1).to_dict()
    for scale in document["scales"]:
        assert set(scale["bicubic"]) == {"psnr_y_db", "lpips"}
        assert not {"ssim_y", "vif", "mps", "identity"} & set(scale["models"][0])


def test_random_degradation_is_reproducible(models):
    first, again = (compare(models[:2], sample_faces()[:3], degradation="camera", threads=1) for _ in range(2))
    assert first.to_dict() == again.to_dict() and first.to_dict()["degradation"] == "camera"
    assert (first.groups[0].small == again.groups[0].small).all()
    bicubic = compare(models[:2], sample_faces()[:3], threads=1)
    assert first.groups[0].rows[0].metrics["psnr_y_db"] < bicubic.groups[0].rows[0].metrics["psnr_y_db"]


def test_completed_models_are_reported(models):
    reported = []
    compare(models, sample_faces()[:1], threads=1, report=reported.append)
    assert reported == [1, 2, 3]


def test_super_resolution_models_exclude_detectors():
    names = super_resolution_models()
    assert "idrn-x4" in names and "detector" not in names and set(names) <= set(catalogue.names())


@pytest.mark.parametrize(
    ("models", "options", "error", "message"),
    [
        (["idrn-x4", "detector"], {}, EngineError, "detector is not a super-resolution network"),
        (["idrn-x5"], {}, UnknownNameError, "did you mean 'idrn-x4'?"),
        (["idrn-x4"], {"degradation": "cubic"}, UnknownNameError, "did you mean 'bicubic'?"),
    ],
)
def test_invalid_comparison_raises_a_one_line_error(models, options, error, message):
    with pytest.raises(error, match=message.replace("?", r"\?")) as raised:
        compare(models, sample_faces()[:1], **options)
    assert "\n" not in str(raised.value)


def test_metrics_need_neither_pytorch_nor_onnx(models, tmp_path):
    cv2.imwrite(str(tmp_path / "face.png"), sample_faces()[0])
    program = (
        "import sys, json\n"
        "for name in ('torch', 'onnx', 'skimage', 'torchmetrics'): sys.modules[name] = None\n"
        "from facesr_edge.sdk.cli.main import main\n"
        "main(['eval', '--model', sys.argv[1], '--faces', sys.argv[2], *sys.argv[3:]])\n"
    )
    command = [sys.executable, "-c", program, str(models[0]), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "VIF" in done.stdout and "GMAC" not in done.stdout, done.stderr
    assert "facesr-edge[build]" in done.stderr
    weights = ["--lpips-weights", str(tmp_path / "face.png")]
    done = subprocess.run([*command, *weights], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "LPIPS needs PyTorch" in done.stderr.splitlines()[-1]

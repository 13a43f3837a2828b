"""Many models on the same faces: rows, their order, what is left out, and that chance repeats."""

import json
import subprocess
import sys

import cv2
import numpy as np
import onnx
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.calibration.metrics.evaluate import MEASURES, evaluate
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
    """Name, scale and how pixels are repeated -> a bundle that runs; its network is one that nobody knows."""

    def made(name, scale, mode="cubic"):
        steps = [
            helper.make_node("Cast", ["x"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["real"], ["first"], perm=[0, 3, 1, 2]),
            helper.make_node("Resize", ["first", "", "scales"], ["large"], mode=mode, cubic_coeff_a=-0.75),
            helper.make_node("Transpose", ["large"], ["last"], perm=[0, 2, 3, 1]),
            helper.make_node("Clip", ["last", "least", "most"], ["clipped"]),
            helper.make_node("Round", ["clipped"], ["whole"]),
            helper.make_node("Cast", ["whole"], ["y"], to=TensorProto.UINT8),
        ]
        held = {"scales": np.array([1, 1, scale, scale], np.float32), "least": np.float32(0), "most": np.float32(255)}
        tensors = [numpy_helper.from_array(np.asarray(value), key) for key, value in held.items()]
        given = helper.make_tensor_value_info("x", TensorProto.UINT8, ["n", "height", "width", 3])
        out = helper.make_tensor_value_info("y", TensorProto.UINT8, ["n", "h", "w", 3])
        graph = helper.make_graph(steps, "resize", [given], [out], tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.checker.check_model(model)
        io_spec = IOSpec("super-resolution", scale=scale, windows=(16, 32, 48, 64), batches=(1, 8))
        card = Card(name, io_spec, "fp32", "nobody's", {})
        return write_bundle(tmp_path_factory.mktemp("models") / name, card, {ONNX: model.SerializeToString()}).folder

    return made


@pytest.fixture(scope="module")
def models(bundle):
    return [bundle("cubic-x4", 4), bundle("nearest-x4", 4, "nearest"), bundle("nearest-x2", 2, "nearest")]


@pytest.fixture(scope="module")
def compared(models):
    return compare([*models, "idrn-x4"], sample_faces(), threads=1)


def test_models_stand_by_scale_bicubic_first_and_the_best_last(compared):
    names = [(group.scale, [row.name for row in group.rows]) for group in compared.groups]
    assert names == [(2, ["bicubic", "nearest-x2"]), (4, ["bicubic", "nearest-x4", "cubic-x4", "idrn-x4"])]
    for group in compared.groups:
        qualities = [row.figures["psnr_y_db"] for row in group.rows[1:]]
        assert qualities == sorted(qualities)
        assert (
            group.rows[0].gain_db == 0
            and group.rows[-1].gain_db == qualities[-1] - (group.rows[0].figures["psnr_y_db"])
        )


def test_each_row_is_what_the_model_alone_has(compared):
    (_, group) = compared.groups
    alone = evaluate(open_session(catalogue.find("idrn-x4"), threads=1), sample_faces())
    assert group.rows[-1].figures == alone.model and group.rows[0].figures == alone.bicubic
    assert group.rows[2].gain_db == pytest.approx(0, abs=0.01)  # the graph's cubic is OpenCV's


def test_examples_are_what_goes_in_and_what_comes_out(compared):
    (_, group) = compared.groups
    assert group.small.shape == (6, 32, 32, 3) and group.true.shape == (6, 128, 128, 3)
    nearest = group.small.repeat(4, axis=1).repeat(4, axis=2)
    assert np.abs(group.rows[1].examples.astype(int) - nearest).mean() < 3
    assert (group.true[0] == sample_faces()[0]).all() and (group.true[-1] == sample_faces()[-1]).all()
    bicubic = cv2.resize(group.small[2], (128, 128), interpolation=cv2.INTER_CUBIC)
    assert (group.rows[0].examples[2] == bicubic).all()


def test_the_cost_of_what_is_known_is_counted_and_of_the_rest_left_out(compared):
    (_, group) = compared.groups
    assert group.rows[0].cost is None and group.rows[2].cost is None
    assert group.rows[3].cost.parameters == 1184707 and 1.6 < group.rows[3].cost.gmac < 1.8
    kinds = [row.to_dict().keys() & {"parameters", "multiply_adds"} for row in group.rows]
    assert [len(kind) for kind in kinds] == [0, 0, 0, 2]


def test_more_than_one_model_is_one_document_by_scale(compared):
    document = json.loads(json.dumps(compared.to_dict(), allow_nan=False))
    assert (document["faces"], document["degradation"], document["seed"]) == (8, "bicubic", 0)
    assert [scale["scale"] for scale in document["scales"]] == [2, 4]
    best = document["scales"][1]["models"][-1]
    assert best["model"] == "idrn-x4" and best["precision"] == "fp32" and "ONNX Runtime" in best["engine"]
    assert set(MEASURES) <= set(best) and set(document["scales"][1]["bicubic"]) == set(MEASURES)
    assert best["gain_db"] == pytest.approx(best["psnr_y_db"] - document["scales"][1]["bicubic"]["psnr_y_db"], abs=2e-4)


def test_a_model_alone_is_one_flat_document(models):
    document = compare(models[:1], sample_faces()[:2], threads=1).to_dict()
    assert (
        document.items()
        >= evaluate(open_session(catalogue.find(models[0]), threads=1), sample_faces()[:2]).to_dict().items()
    )
    assert document["model"] == "cubic-x4" and "scales" not in document


def test_what_is_not_measured_is_in_no_row(models):
    measures = {"psnr_y_db": MEASURES["psnr_y_db"], "lpips": lambda a, b: np.array([0.25] * len(a))}
    document = compare(models[1:], sample_faces()[:2], measures=measures, threads=1).to_dict()
    for scale in document["scales"]:
        assert set(scale["bicubic"]) == {"psnr_y_db", "lpips"}
        assert not {"ssim_y", "vif", "mps", "recognition"} & set(scale["models"][0])


def test_a_degradation_with_chance_in_it_repeats(models):
    first, again = (compare(models[:2], sample_faces()[:3], degradation="camera", threads=1) for _ in range(2))
    assert first.to_dict() == again.to_dict() and first.to_dict()["degradation"] == "camera"
    assert (first.groups[0].small == again.groups[0].small).all()
    plain = compare(models[:2], sample_faces()[:3], threads=1)
    assert first.groups[0].rows[0].figures["psnr_y_db"] < plain.groups[0].rows[0].figures["psnr_y_db"]


def test_progress_is_told_after_each_model(models):
    told = []
    compare(models, sample_faces()[:1], threads=1, report=told.append)
    assert told == [1, 2, 3]


def test_the_zoo_is_measured_without_its_detectors():
    names = super_resolution_models()
    assert "idrn-x4" in names and "detector" not in names and set(names) <= set(catalogue.names())


@pytest.mark.parametrize(
    ("models", "options", "error", "told"),
    [
        (["idrn-x4", "detector"], {}, EngineError, "detector is no super-resolution network"),
        (["idrn-x5"], {}, UnknownNameError, "did you mean 'idrn-x4'?"),
        (["idrn-x4"], {"degradation": "cubic"}, UnknownNameError, "did you mean 'bicubic'?"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(models, options, error, told):
    with pytest.raises(error, match=told.replace("?", r"\?")) as raised:
        compare(models, sample_faces()[:1], **options)
    assert "\n" not in str(raised.value)


def test_without_pytorch_and_onnx_all_is_measured_but_the_cost(models, tmp_path):
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

"""Builds: output of the exported graph, contents of the bundle, and errors before and during a build."""

import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.calibration.metrics.image import psnr, psnr_y
from facesr_edge.converters.build import build
from facesr_edge.converters.export.storage import load_graph
from facesr_edge.converters.options import BuildOptions
from facesr_edge.converters.spec import resolve
from facesr_edge.engines.bundle.bundle import ONNX, WEIGHTS, open_bundle
from facesr_edge.engines.bundle.projection import Projection
from facesr_edge.engines.errors import InputError, OutputError, ParityError, UnknownNameError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.networks import build_network
from facesr_edge.networks.layers.bicubic import resize_batch
from facesr_edge.networks.weights import Provenance, network_from, read_weights, weights_bytes
from facesr_edge.sdk.describe import quality_line
from facesr_edge.training.data.degrade import DEGRADATIONS
from facesr_edge.training.recipes.cpu import MIRRORED
from facesr_edge.zoo import catalogue
from onnx import TensorProto

ROOT = Path(__file__).parents[2]
PRECISIONS = ("fp32", "fp16")


@pytest.fixture(scope="module")
def crops():
    """(8, 32, 32, 3) uint8 BGR: the sample faces, downscaled."""
    return low_resolution(np.stack(sample_faces()), 4)


@pytest.fixture(scope="module")
def network(tiny_weights):
    weights = read_weights(tiny_weights())
    return network_from(weights, weights.network, weights.config)


def pytorch_output(network, pixels):
    """Output of the network without projection for BGR pixels, float, neither rounded nor clipped."""
    rgb = torch.from_numpy(pixels[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return (network(rgb) * 255).permute(0, 2, 3, 1).numpy()[..., ::-1]


def projected(sr, pixels):
    height, width = sr.shape[1:3]
    error = pixels - resize_batch(sr, pixels.shape[1], pixels.shape[2])
    return sr + resize_batch(error, height, width)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_crop_size_and_batch_size_runs(tiny_bundle, precision):
    bundle = tiny_bundle(precision=precision)
    session, io_spec = OrtSession(bundle, threads=1), bundle.card.io_spec
    assert io_spec.crop_sizes == (32, 48, 64, 80, 96, 112, 128)
    for side in io_spec.crop_sizes:
        for count in io_spec.batches:
            pixels = session.infer(np.full((count, side, side, 3), 90, np.uint8))
            assert pixels.shape == (count, 4 * side, 4 * side, 3) and pixels.dtype == np.uint8


@pytest.mark.parametrize(("precision", "min_db"), [("fp32", 60), ("fp16", 50)])
def test_graph_equals_network_with_projection(tiny_bundle, network, crops, precision, min_db):
    expected = np.clip(np.rint(projected(pytorch_output(network, crops), crops)), 0, 255)
    actual = OrtSession(tiny_bundle(precision=precision)).infer(crops)
    assert psnr(actual.reshape(1, -1), expected.reshape(1, -1))[0] > min_db


@pytest.mark.parametrize("precision", PRECISIONS)
def test_projection_makes_the_downscaled_output_match_the_input(tiny_bundle, network, crops, precision):
    without = np.clip(pytorch_output(network, crops), 0, 255)
    with_projection = OrtSession(tiny_bundle(precision=precision)).infer(crops)
    before = psnr(crops, resize_batch(without, 32, 32)).mean()
    after = psnr(crops, resize_batch(with_projection, 32, 32)).mean()
    assert after > before + 15 and after > 35


@pytest.mark.parametrize("engine", ["tensorrt", "tensorrt-rtx"])
def test_fp32_for_tensorrt_is_the_graph_for_gpus(tiny_bundle, tiny_weights, tmp_path, engine):
    spec = resolve("idrn", tiny_weights())
    bundle = build(spec, tmp_path / "bundle", BuildOptions(engine=engine))
    assert {"traced", "tensorrt"} <= {name.partition("_")[0] for name in bundle.card.parity}
    on_cpu, on_gpu = ([node.op_type for node in onnx.load(one.onnx).graph.node] for one in (tiny_bundle(), bundle))
    assert on_gpu != on_cpu


@pytest.mark.parametrize("precision", PRECISIONS)
def test_graph_takes_and_returns_uint8_squares_of_any_size(tiny_bundle, precision):
    graph = onnx.load(tiny_bundle(precision=precision).onnx).graph
    (pixels,), (enlarged, residual) = graph.input, graph.output
    for tensor in (pixels, enlarged):
        assert tensor.type.tensor_type.elem_type == TensorProto.UINT8
    assert (pixels.name, enlarged.name, residual.name) == ("pixels", "enlarged", "residual")
    assert residual.type.tensor_type.elem_type == TensorProto.FLOAT and len(residual.type.tensor_type.shape.dim) == 1
    names = [d.dim_param or d.dim_value for d in pixels.type.tensor_type.shape.dim]
    assert names[0] == "batch" and names[1] == names[2] and isinstance(names[1], str) and names[3] == 3
    assert enlarged.type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", TensorProto.FLOAT), ("fp16", TensorProto.FLOAT16)])
def test_convolution_weights_have_the_precision_of_the_card(tiny_bundle, precision, dtype):
    graph = load_graph(tiny_bundle(precision=precision).onnx).graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    dtypes = [weights[node.input[1]].data_type for node in graph.node if node.op_type == "Conv"]
    in_graph_for_gpus = 3 if precision == "fp16" else 0  # the projection: up, down, and down again for the residual
    assert dtypes == [dtype] * (1 + 2 + 2 + 1 + in_graph_for_gpus)  # head, one unit, two upsampling steps, tail


@pytest.mark.parametrize("precision", PRECISIONS)
def test_graph_holds_no_metadata_of_the_build_machine(tiny_bundle, precision):
    data = tiny_bundle(precision=precision).onnx.read_bytes()
    for trace in (sys.prefix, str(ROOT), "site-packages", "Traceback", ".py", 'File "'):
        assert trace.encode() not in data
    model = onnx.load_from_string(data)
    assert not any(node.doc_string or node.metadata_props for node in model.graph.node)
    assert max(opset.version for opset in model.opset_import if opset.domain == "") == 18


@pytest.mark.parametrize(
    ("precision", "steps"), [("fp32", ["traced", "simplified"]), ("fp16", ["traced", "simplified", "fp16"])]
)
def test_card_records_parity_configuration_and_versions(tiny_bundle, precision, steps):
    card = tiny_bundle(precision=precision).card
    metrics = {f"{step}_{metric}" for step in steps for metric in ("max_error", "psnr_db", "consistency_error_db")}
    pre_round = {"traced_pre_round_max_error", "simplified_pre_round_max_error"}
    assert set(card.parity) == metrics | pre_round
    assert all(card.parity[name] <= 1e-3 for name in pre_round)
    assert all(card.parity[f"{step}_max_error"] <= 4 for step in steps)
    assert (card.name, card.network, card.precision, card.licence) == ("idrn-x4", "idrn", precision, "CC0-1.0")
    assert card.config == {"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True}
    assert card.projection == Projection()
    assert card.training == {"data": "none: random weights"} and card.limitations == ("not trained",)
    assert card.build_versions["torch"] == torch.__version__ and card.build_versions["onnx"] == onnx.__version__
    (evaluation,) = card.evaluations
    assert (evaluation.n, evaluation.degradation, evaluation.precision) == (8, "bicubic", precision)


def test_network_trained_on_recordings_has_an_adaptive_projection(tmp_path, weights):
    path = weights("edge", {"degradation": "recorded"}, width=8, depth=1, scale=4)
    bundle = build(resolve("edge", path), tmp_path / "b", BuildOptions())
    assert bundle.card.projection.kind == "adaptive" and open_bundle(bundle.folder).card == bundle.card


def test_unknown_degradation_and_degradations_of_a_detector_are_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'camera'"):
        BuildOptions(degradations=DEGRADATIONS, evaluate_on=("camrea",))
    options = BuildOptions(degradations=DEGRADATIONS, evaluate_on=("camera",))
    with pytest.raises(UsageError, match="detector is a detector; omit --degradation and --identity"):
        build("detector", tmp_path / "b", options)


def darker(faces, scale, rng):
    """Degradation that halves the brightness."""
    return low_resolution(faces // 2, scale)


def test_a_rebuilt_zoo_model_has_the_training_record_of_its_card(tmp_path):
    training = build("srcnn-x4", tmp_path / "rebuilt").card.training
    assert training == catalogue.find("srcnn-x4").card.training and MIRRORED in training["deviations"]


def test_network_is_evaluated_on_the_degradation_of_its_training_on_bicubic_and_on_requested_ones(tmp_path, weights):
    path = weights("edge", {"degradation": "camera"}, width=8, depth=1, scale=4)
    metrics = {"psnr_y_db": psnr_y, "brightness": lambda sr, hr: sr.mean((1, 2, 3))}
    degradations = {**DEGRADATIONS, "darker": darker}
    options = BuildOptions(degradations=degradations, evaluate_on=("darker", "bicubic"), metrics=metrics)
    card = build(resolve("edge", path), tmp_path / "b", options).card
    assert [(one.degradation, one.n) for one in card.evaluations] == [("camera", 8), ("bicubic", 8), ("darker", 8)]
    assert card.projection == Projection("low-pass", sigma=2.0)
    assert [one.title.split("), ")[-1] for one in card.evaluations] == ["camera, fp32", "fp32", "darker, fp32"]
    camera, bicubic, dark = (evaluation.metrics for evaluation in card.evaluations)
    assert dark["brightness"] == pytest.approx(bicubic["brightness"] / 2, abs=2) and "bicubic_brightness" in dark
    assert camera["bicubic_psnr_y_db"] < bicubic["bicubic_psnr_y_db"] - 1
    assert quality_line(card).endswith(f"{camera['gain_db']:+.2f} dB over bicubic (camera)")


def test_bundle_contains_the_weights_in_fp16(tiny_bundle, tiny_weights):
    bundle = tiny_bundle()
    assert set(open_bundle(bundle.folder).card.files) == {ONNX, WEIGHTS}
    stored, original = (read_weights(p) for p in (bundle.folder / WEIGHTS, tiny_weights()))
    assert (stored.network, stored.config, stored.origin) == (original.network, original.config, original.origin)
    assert all(torch.equal(stored.tensors[name], value.half()) for name, value in original.tensors.items())


def test_network_that_overflows_in_fp16_fails_and_writes_nothing(tmp_path, network):
    config = {"depth": 1, "width": 8, "scale": 4, "bicubic_skip": True}
    large = build_network("idrn", config)
    large.load_state_dict(network.state_dict())
    large.head.weight.data *= 1e6  # overflows in FP16; the tail compensates in FP32
    large.tail.weight.data *= 1e-6
    (tmp_path / "w.safetensors").write_bytes(weights_bytes(large, "idrn", config, Provenance()))
    with pytest.raises(ParityError, match=r"the fp16 network differs from PyTorch: .*build with --fp32"):
        build("idrn", tmp_path / "out" / "x", BuildOptions(precision="fp16"), weights=tmp_path / "w.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_detector_maps_equal_pytorch(tmp_path, weights):
    path = weights("detector", width=8)
    bundle = build("detector", tmp_path / "small", weights=path)
    assert bundle.card.projection is None
    assert bundle.card.io_spec.task == "face-detection" and bundle.card.io_spec.multiple == 32
    pixels = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    network = network_from(read_weights(path), "detector", {"width": 8})
    with torch.inference_mode():
        maps = network(torch.from_numpy(pixels[..., ::-1].copy()).permute(0, 3, 1, 2).float() / 255).numpy()
    maps[..., 0] = 1 / (1 + np.exp(-maps[..., 0]))
    assert np.abs(OrtSession(bundle).infer(pixels) - maps).max() < 1e-3


def test_detector_with_detection_data_is_evaluated_by_face_size(tmp_path, weights, astronaut):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "scene_a.png"), astronaut[:256, 96:352])
    faces = [{"box": [82, 58, 92, 118], "score": 0.9}]
    (tmp_path / "labels.json").write_text(json.dumps({"scene_a.png": {"faces": faces}}))
    options = BuildOptions(detection_data=tmp_path)
    card = build("detector", tmp_path / "small", options, weights=weights("detector", width=8)).card
    (evaluation,) = card.evaluations
    assert (evaluation.dataset, evaluation.n) == (tmp_path.name, 1)
    assert (evaluation.degradation, evaluation.precision) == ("none", "fp32")
    assert evaluation.metrics["from 24 px"]["faces"] == 1
    assert set(evaluation.metrics["network_ms"]) == {"640x384", "1920x1088"}


@pytest.mark.parametrize("kind", ["current", "used and current", "read-only", "in a read-only folder"])
def test_folder_that_cannot_be_replaced_is_reported_before_the_build_starts(
    tmp_path, tiny_weights, kind, monkeypatch, without_root
):
    folder, spec = tmp_path / "folder" / "bundle", resolve("idrn", tiny_weights())
    folder.mkdir(parents=True)
    if kind.startswith("used"):
        shutil.copytree(catalogue.locate("edge-nano-x4"), folder, dirs_exist_ok=True)
    before, lines = list(folder.iterdir()), []
    monkeypatch.chdir(folder if "current" in kind else tmp_path)
    {"read-only": folder, "in a read-only folder": folder.parent}.get(kind, tmp_path).chmod(0o555)
    with without_root(), pytest.raises(OutputError, match=r"current folder|read-only|Permission denied"):
        build(spec, Path() if "current" in kind else folder, report=lines.append)
    assert lines == [] and list(folder.iterdir()) == before and list(folder.parent.iterdir()) == [folder]


def test_occupied_output_folder_is_reported_before_the_build_starts(tmp_path, tiny_weights):
    (tmp_path / "notes.txt").write_text("mine")
    lines = []
    with pytest.raises(OutputError, match=r"it holds notes\.txt; choose another folder with -o"):
        build("idrn", tmp_path, weights=tiny_weights(), report=lines.append)
    assert lines == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "fp8"}, UnknownNameError, "unknown precision 'fp8'.*known: fp16, fp32, int8"),
        ({"precision": ""}, UnknownNameError, "known: fp16, fp32, int8"),
        ({"engine": "tensort"}, UnknownNameError, "unknown engine 'tensort'; did you mean 'tensorrt'"),
        ({"precision": "int8", "calibration": "minmx"}, UnknownNameError, "did you mean 'minmax'"),
        ({"precision": "fp16", "calib_crops": []}, UsageError, "add --int8 or remove --calib-input"),
    ],
)
def test_invalid_options_are_rejected(options, error, message):
    with pytest.raises(error, match=message) as caught:
        BuildOptions(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        ("idrn", {"detection_data": Path("images")}, "is not a detector; give --faces DIR"),
        ("detector", {"precision": "int8", "calib_crops": []}, "is a detector; calibrate it with --detection-data"),
    ],
)
def test_options_that_do_not_apply_to_the_network_are_rejected(tmp_path, model, options, message):
    with pytest.raises(UsageError, match=message) as caught:
        build(model, tmp_path / "x", BuildOptions(**options))
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_invalid_detection_data_is_reported_before_the_build_starts(tmp_path, precision):
    lines = []
    options = BuildOptions(precision=precision, detection_data=tmp_path)
    with pytest.raises(InputError, match=r"labels\.json"):
        build("detector", tmp_path / "x", options, report=lines.append)
    assert lines == []

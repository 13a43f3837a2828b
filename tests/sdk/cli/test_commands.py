"""The commands models, inspect, doctor, profile, eval, build, train and demo on small inputs."""

import json
import os
import pickle
import shutil
import sys
from dataclasses import replace

import cv2
import pytest
from facesr_edge.engines.bundle.bundle import open_bundle, write_bundle
from facesr_edge.engines.bundle.engine_info import EngineInfo
from facesr_edge.zoo import catalogue


class MaliciousPickle:
    """Creates a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def true_faces(tmp_path):
    """Folder of two face images of 128x128 pixels."""
    from facesr_edge.calibration.data.faces import sample_faces

    folder = tmp_path / "true"
    folder.mkdir()
    for n, face in enumerate(sample_faces()[:2]):
        cv2.imwrite(str(folder / f"{n}.png"), face)
    return folder


def test_models_lists_the_zoo(facesr):
    result = facesr("models")
    assert result.code == 0 and all(name in result.out for name in catalogue.names())
    assert f"default: {catalogue.DEFAULT_MODEL}, {catalogue.DEFAULT_REASON}" in result.out
    defaults = {model["name"] for model in json.loads(facesr("models", "--json").out) if model["default"]}
    assert defaults == {catalogue.DEFAULT_MODEL, catalogue.DEFAULT_DETECTOR}


def test_inspect_shows_the_card(facesr):
    card = open_bundle(catalogue.FOLDER / "idrn-x4").card
    result = facesr("inspect", "idrn-x4")
    assert result.code == 0
    for text in (*card.files.values(), card.precision, card.licence, *card.limitations):
        assert text in " ".join(result.out.split())


def test_inspect_shows_the_projection_of_the_graph(facesr):
    assert "low-pass" in facesr("inspect", "idrn-x4-camera").out
    assert "adaptive" in facesr("inspect", "edge-tiny-x4-camera").out
    assert json.loads(facesr("inspect", "--json", "idrn-x4").out)["projection"]["kind"] == "full"
    assert json.loads(facesr("inspect", "--json", "detector").out)["projection"] is None


def test_models_and_inspect_do_not_hash(facesr, monkeypatch):
    monkeypatch.setattr("facesr_edge.engines.bundle.bundle.hashlib.sha256", None)
    assert facesr("models").code == facesr("inspect", "idrn-x4").code == 0


def test_inspect_writes_the_card_as_json(facesr):
    document = json.loads(facesr("inspect", "--json", "idrn-x4").out)
    assert document["name"] == "idrn-x4" and document["io_spec"]["scale"] == 4


@pytest.mark.parametrize(("changes", "shown"), [({"dla": 0}, "dla 0"), ({"dla": None}, ""), ({"dla": 1}, "dla 1")])
def test_inspect_shows_the_dla_core(facesr, tiny_bundle, tmp_path, changes, shown):
    bundle = tiny_bundle()
    graph = bundle.card.files["model.onnx"]
    info = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", graph, multiprocessors=0, **changes)
    contents = {name: bundle.read(name) for name in bundle.card.files} | {"model-32x32.engine": b"engine"}
    compiled = write_bundle(tmp_path / "dla", replace(bundle.card, engine=info), contents)
    lines = [" ".join(line.split()) for line in facesr("inspect", compiled.folder).out.splitlines()]
    assert [line for line in lines if line.startswith(("dla", "multiprocessors"))] == ([shown] if shown else [])


def test_inspect_of_another_folder_is_reported_in_one_line(facesr, tmp_path):
    result = facesr("inspect", tmp_path)
    assert result.code == 1 and "is not a bundle" in result.error


def test_doctor_lists_the_installation(facesr):
    result = facesr("doctor", "--json")
    document = json.loads(result.out)
    assert result.code == 0 and document["ok"]
    names = {check["name"] for check in document["checks"]}
    assert {"Python", "processor", "NVIDIA GPU", "onnxruntime", "model detector"} <= names
    assert f"model {catalogue.DEFAULT_MODEL}" in names


def test_doctor_detects_an_altered_model(facesr, tmp_path, monkeypatch):
    for name in catalogue.names():
        shutil.copytree(catalogue.FOLDER / name, tmp_path / name)
    with (tmp_path / catalogue.DEFAULT_MODEL / "model.onnx").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    result = facesr("doctor")
    assert result.code == 1 and f"model {catalogue.DEFAULT_MODEL}" in result.error
    assert "was altered" in " ".join(result.out.split()) and "pip install --force-reinstall" in result.out


def test_doctor_shows_how_to_install_a_missing_package(facesr, monkeypatch):
    from importlib.metadata import PackageNotFoundError, version

    def without_torch(name):
        if name == "torch":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("facesr_edge.sdk.doctor.checks.installed_version", without_torch)
    result = facesr("doctor")
    assert result.code == 0 and "torch: pip install 'facesr-edge[build]'" in result.out


def test_doctor_lists_what_a_device_needs_to_compile(facesr, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.doctor.checks.installed_version", nothing_installed)
    checks = {check["name"]: check for check in json.loads(facesr("doctor", "--json").out)["checks"]}
    assert checks["onnxsim"]["remedy"] == "pip install 'facesr-edge[compile]'"
    rtx = checks["tensorrt-rtx-cu13"]
    assert rtx["state"] == "missing" and rtx["remedy"].startswith("pip install 'facesr-edge[tensorrt-rtx")


def nothing_installed(name):
    from importlib.metadata import PackageNotFoundError

    raise PackageNotFoundError(name)


def test_eval_equals_the_python_api(facesr, bundle, true_faces):
    from facesr_edge.calibration.data.faces import read_faces
    from facesr_edge.calibration.metrics.evaluate import evaluate
    from facesr_edge.engines.registry import open_session

    result = facesr("eval", "--model", bundle, "--faces", true_faces, "--json")
    document = json.loads(result.out)
    assert document.items() >= evaluate(open_session(open_bundle(bundle)), read_faces(true_faces)).to_dict().items()
    assert "bicubic" in facesr("eval", "--model", bundle, "--faces", true_faces).out


def test_eval_of_a_detector_or_an_empty_folder_is_reported_in_one_line(facesr, true_faces, tmp_path):
    assert facesr("eval", "--model", "detector", "--faces", true_faces).code == 1
    (tmp_path / "empty").mkdir()
    assert "no image in" in facesr("eval", "--faces", tmp_path / "empty").error


def test_build_makes_a_bundle_that_runs(facesr, tiny_weights, export_cache, image_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = facesr("build", "--model", "idrn", "--weights", tiny_weights(), "--fp16")
    assert result.code == 0, result.err
    assert open_bundle(tmp_path / "idrn-x4-fp16").card.precision == "fp16"
    assert facesr("build", "idrn-x4-fp16").code == 0
    assert facesr("run", image_file, "-o", "out.png", "--model", "idrn-x4-fp16").code == 0


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        ([], 2, "nothing to build"),
        (["--model", "idrm"], 2, "did you mean"),
        (["--model", "idrn", "--fp16", "--fp32"], 2, "exclude each other"),
        (["--model", "idrn", "--int8", "--calibration", "minmx"], 2, "did you mean 'minmax'"),
        (["--model", "idrn", "--int8", "--calib-input", "missing.mp4"], 1, "missing.mp4"),
        (["--model", "idrn", "--fp16", "--calib-input", "missing.mp4"], 2, "add --int8 or remove --calib-input"),
        (["--model", "idrn", "--int8", "--detection-data", "."], 2, "give --faces DIR"),
        (["--model", "idrn", "--int8", "--add-precisions"], 2, "--add-precisions adds"),
        (["bundle", "--max-ap-drop", "0"], 2, "--max-ap-drop cannot be given with a BUNDLE"),
        (["--model", "idrn", "--engine", "tensort"], 2, "did you mean 'tensorrt'?"),
        *[
            (["--model", model, "--int8", option, value], 2, f"{option} must be 0 to ")
            for model, option in (("idrn", "--max-psnr-drop"), ("detector", "--max-ap-drop"))
            for value in ("inf", "nan", "-1", "1e9")
        ],
        (["--model", "detector", "--int8", "--calib-input", "missing.mp4"], 2, "is a detector"),
        (["--model", "idrn", "--int8", "--calib-input", "missing.mp4", "-o", "."], 1, "it is the current folder"),
        (["bundle", "--fp16"], 2, "cannot be given with a BUNDLE"),
        (
            ["--model", "idrn", "--engine", "tensorrt-rtx", "--compute-capabilities", "7.5, 9.9"],
            2,
            "8.0, 8.6, 8.9, 12.0",
        ),
        (["--model", "idrn", "--engine", "tensorrt-rtx", "--compute-capabilities", ","], 2, "got none"),
        (["--model", "idrn", "--engine", "tensorrt-rtx", "--dla", "0"], 2, "--dla does not apply to TensorRT-RTX"),
        (["--model", "idrn", "--engine", "onnxruntime", "--dla", "0"], 2, "--dla has no effect"),
        (["--model", "idrn", "--fp16", "--dla", "0", "--no-compile"], 2, "--dla has no effect"),
        (["--model", "idrn", "--engine", "tensort", "--builder-level", "3"], 2, "did you mean 'tensorrt'?"),
        (["edge-nano-x4", "--engine", "onnxruntime", "--builder-level", "3"], 2, "--builder-level has no effect"),
        (["edge-nano-x4", "--builder-level", "9"], 2, "expected a builder level of 0 to 5"),
        (["nosuch"], 2, "unknown model"),
        (["--model", "idrn", "--weights", "missing.safetensors"], 1, "missing.safetensors"),
        (["--model", "idrn", "--depth", "zero"], 2, "--depth"),
    ],
)
def test_invalid_build_is_a_one_line_error(facesr, tmp_path, monkeypatch, options, code, expected):
    monkeypatch.chdir(tmp_path)
    result = facesr("build", *options)
    assert result.code == code and expected in result.error and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("target", "code"), [(["--model", "idrn", "--fp16"], 2), (["edge-nano-x4"], 1)])
def test_options_of_an_engine_build_without_tensorrt_are_refused(facesr, tmp_path, monkeypatch, target, code):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.chdir(tmp_path)
    result = facesr("build", *target, "--builder-level", "3")
    assert result.code == code and "needs TensorRT, which is not installed" in result.error
    assert list(tmp_path.iterdir()) == []


def test_build_beyond_the_accuracy_limit_is_a_one_line_error(facesr, tiny_weights, export_cache, tmp_path, monkeypatch):
    from facesr_edge.converters import build

    check = build.psnr_check
    monkeypatch.setattr(build, "psnr_check", lambda *arguments: replace(check(*arguments), max_drop=-9.0))
    monkeypatch.chdir(tmp_path)
    result = facesr("build", "--model", "idrn", "--weights", tiny_weights(), "--int8")
    assert result.code == 1 and "raise the limit with --max-psnr-drop" in result.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_pickle_with_code_is_rejected_and_not_executed(facesr, tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(MaliciousPickle(tmp_path / "harm")))
    result = facesr("build", "--model", "idrn", "--weights", tmp_path / name, "-o", tmp_path / "out")
    assert result.code == 1 and ".safetensors" in result.error
    assert not (tmp_path / "harm").exists() and not (tmp_path / "out").exists()


def test_demo_writes_its_outputs(facesr, bundle, tmp_path):
    result = facesr("demo", "-o", tmp_path / "demo", "--model", bundle)
    assert result.code == 0, result.err
    outputs = {str(path.relative_to(tmp_path / "demo")) for path in (tmp_path / "demo").rglob("*") if path.is_file()}
    assert {"frame.png", "composite.png", "profile.html", "trace.json", "faces.json"} <= outputs
    assert "faces/sheet.png" in outputs and len(outputs) >= 12
    assert cv2.imread(str(tmp_path / "demo" / "composite.png")).shape == (1440, 2560, 3)
    assert "too large" in result.out

"""The other commands, each on something small."""

import json
import os
import pickle
import shutil

import cv2
import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.zoo import catalogue


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def true_faces(tmp_path):
    """A folder of two faces of 128 px."""
    from facesr_edge.calibration.data.faces import sample_faces

    folder = tmp_path / "true"
    folder.mkdir()
    for n, face in enumerate(sample_faces()[:2]):
        cv2.imwrite(str(folder / f"{n}.png"), face)
    return folder


def test_models_lists_what_ships(facesr):
    said = facesr("models")
    assert said.code == 0 and all(name in said.out for name in catalogue.names())
    assert f"taken where nothing is said: {catalogue.DEFAULT_MODEL}, {catalogue.DEFAULT_REASON}" in said.out
    usual = {model["name"] for model in json.loads(facesr("models", "--json").out) if model["default"]}
    assert usual == {catalogue.DEFAULT_MODEL, catalogue.DEFAULT_DETECTOR}


def test_inspect_tells_a_card_in_words(facesr):
    card = open_bundle(catalogue.FOLDER / "idrn-x4").card
    said = facesr("inspect", "idrn-x4")
    assert said.code == 0
    for text in (*card.files.values(), card.precision, card.licence, *card.limits):
        assert text in " ".join(said.out.split())


def test_inspect_gives_the_card_as_json(facesr):
    document = json.loads(facesr("inspect", "--json", "idrn-x4").out)
    assert document["name"] == "idrn-x4" and document["contract"]["scale"] == 4


def test_inspect_of_no_bundle_is_one_line(facesr, tmp_path):
    said = facesr("inspect", tmp_path)
    assert said.code == 1 and "is not a bundle" in said.error


def test_doctor_says_what_is_there(facesr):
    said = facesr("doctor", "--json")
    document = json.loads(said.out)
    assert said.code == 0 and document["ok"]
    names = {finding["name"] for finding in document["findings"]}
    assert {"Python", "processor", "NVIDIA GPU", "onnxruntime", "model detector"} <= names
    assert f"model {catalogue.DEFAULT_MODEL}" in names


def test_doctor_finds_an_altered_model_and_says_what_to_do(facesr, tmp_path, monkeypatch):
    for name in catalogue.names():
        shutil.copytree(catalogue.FOLDER / name, tmp_path / name)
    with (tmp_path / catalogue.DEFAULT_MODEL / "model.onnx").open("ab") as file:
        file.write(b"x")
    monkeypatch.setattr(catalogue, "FOLDER", tmp_path)
    said = facesr("doctor")
    assert said.code == 1 and f"model {catalogue.DEFAULT_MODEL}" in said.error
    assert "was altered" in " ".join(said.out.split()) and "pip install --force-reinstall" in said.out


def test_doctor_names_the_command_for_a_missing_package(facesr, monkeypatch):
    from importlib.metadata import PackageNotFoundError, version

    def without_torch(name):
        if name == "torch":
            raise PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr("facesr_edge.sdk.doctor.checks.installed_version", without_torch)
    said = facesr("doctor")
    assert said.code == 0 and "torch: pip install 'facesr-edge[build]'" in said.out


def test_profile_shows_writes_and_counts(facesr, picture, bundle, tmp_path):
    html, trace = tmp_path / "p.html", tmp_path / "t.json"
    options = ["--frames", 4, "--warm-up", 1, "--model", bundle, "--html", html, "--trace", trace]
    said = facesr("profile", picture, *options)
    assert said.code == 0 and "own work" in said.out and "total" in said.out
    assert html.read_text().startswith("<!doctype html>")
    assert sum(event.get("cat") == "frame" for event in json.loads(trace.read_text())["traceEvents"]) == 4


def test_profile_as_json_is_one_document(facesr, clips, bundle):
    said = facesr("profile", clips(8), "--frames", 4, "--json", "--model", bundle)
    document = json.loads(said.out)
    assert document["frames"] == 4 and document["stages_ms"]["encode"]["mean"] > 0


def test_profile_of_a_video_that_ends_in_the_warm_up_is_one_line(facesr, clips, bundle):
    said = facesr("profile", clips(2), "--warm-up", 3, "--model", bundle)
    assert said.code == 1 and "--warm-up" in said.error


def test_eval_agrees_with_the_library(facesr, bundle, true_faces):
    from facesr_edge.calibration.data.faces import read_faces
    from facesr_edge.calibration.metrics.evaluate import evaluate
    from facesr_edge.engines.registry import open_session

    said = facesr("eval", "--model", bundle, "--faces", true_faces, "--json")
    document = json.loads(said.out)
    assert document.items() >= evaluate(open_session(open_bundle(bundle)), read_faces(true_faces)).to_dict().items()
    assert "bicubic" in facesr("eval", "--model", bundle, "--faces", true_faces).out


def test_eval_of_a_detector_or_an_empty_folder_is_one_line(facesr, true_faces, tmp_path):
    assert facesr("eval", "--model", "detector", "--faces", true_faces).code == 1
    (tmp_path / "empty").mkdir()
    assert "no picture" in facesr("eval", "--faces", tmp_path / "empty").error


def test_build_makes_a_bundle_that_runs(facesr, tiny_weights, picture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = facesr("build", "--model", "idrn", "--weights", tiny_weights(), "--fp16")
    assert said.code == 0, said.err
    assert open_bundle(tmp_path / "idrn-x4-fp16").card.precision == "fp16"
    assert facesr("build", "idrn-x4-fp16").code == 0
    assert facesr("run", picture, "-o", "out.png", "--model", "idrn-x4-fp16").code == 0


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        ([], 2, "say what to build"),
        (["--model", "idrm"], 2, "did you mean"),
        (["--model", "idrn", "--fp16", "--fp32"], 2, "exclude each other"),
        (["--model", "idrn", "--int8", "--calibration", "minmx"], 2, "did you mean 'minmax'"),
        (["--model", "idrn", "--fp16", "--crops", "missing.mp4"], 1, "missing.mp4"),
        (["--model", "idrn", "--int8", "--scenes", "."], 2, "give --faces DIR"),
        (["--model", "idrn", "--int8", "--max-psnr-drop", "-9"], 1, "allow more with --max-psnr-drop"),
        (["bundle", "--max-ap-drop", "0"], 2, "--max-ap-drop cannot be given with a BUNDLE"),
        (["--model", "idrn", "--target", "tensort"], 2, "did you mean 'tensorrt'?"),
        (["bundle", "--fp16"], 2, "cannot be given with a BUNDLE"),
        (["nosuch"], 2, "unknown model"),
        (["--model", "idrn", "--weights", "missing.safetensors"], 1, "missing.safetensors"),
        (["--model", "idrn", "--depth", "zero"], 2, "--depth"),
    ],
)
def test_a_build_that_cannot_be_is_one_line(facesr, tmp_path, monkeypatch, options, code, expected):
    monkeypatch.chdir(tmp_path)
    said = facesr("build", *options)
    assert said.code == code and expected in said.error and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_a_pickle_with_code_is_refused_and_not_run(facesr, tmp_path, name):
    (tmp_path / name).write_bytes(pickle.dumps(Bomb(tmp_path / "harm")))
    said = facesr("build", "--model", "idrn", "--weights", tmp_path / name, "-o", tmp_path / "out")
    assert said.code == 1 and ".safetensors" in said.error
    assert not (tmp_path / "harm").exists() and not (tmp_path / "out").exists()


def test_train_leaves_weights_that_build_takes(facesr, true_faces, tmp_path):
    out = tmp_path / "trained"
    sizes = ["--depth", 1, "--width", 8]
    said = facesr("train", "--model", "idrn", "--faces", true_faces, "-o", out, "--steps", 2, "--threads", 1, *sizes)
    assert said.code == 0 and str(out / "weights.safetensors") in said.out
    built = facesr("build", "--model", "idrn", "--weights", out / "weights.safetensors", "-o", tmp_path / "bundle")
    assert built.code == 0, built.err


def test_train_on_nothing_is_one_line(facesr, tmp_path):
    said = facesr("train", "--model", "idrn", "--faces", tmp_path / "missing", "-o", tmp_path / "out")
    assert said.code == 1 and "missing" in said.error


def test_demo_leaves_everything_to_look_at(facesr, bundle, tmp_path):
    said = facesr("demo", "-o", tmp_path / "demo", "--model", bundle)
    assert said.code == 0, said.err
    left = {str(path.relative_to(tmp_path / "demo")) for path in (tmp_path / "demo").rglob("*") if path.is_file()}
    assert {"frame.png", "composite.png", "profile.html", "trace.json", "faces.json"} <= left
    assert "faces/sheet.png" in left and len(left) >= 12
    assert cv2.imread(str(tmp_path / "demo" / "composite.png")).shape == (1440, 2560, 3)
    assert "large already" in said.out and np.isfinite(len(said.out))

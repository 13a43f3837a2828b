"""Compiling without TensorRT; compiling with TensorRT's own bindings is tested in trt_api/."""

from dataclasses import replace
from pathlib import Path

import pytest
from facesr_edge.converters.compile import compile_bundle, ensure_engine, why_not_tensorrt
from facesr_edge.engines.bundle.bundle import CARD, ONNX, open_bundle, write_bundle
from facesr_edge.engines.errors import FacesrError, OutputError, UnknownNameError


def contents(bundle):
    return {path.name: path.read_bytes() for path in bundle.folder.iterdir()}


@pytest.fixture
def no_tensorrt():
    if not why_not_tensorrt():
        pytest.skip("TensorRT and a GPU are available")


def test_unknown_engine_suggests_the_closest_name(tiny_bundle):
    with pytest.raises(UnknownNameError, match="did you mean 'tensorrt'"):
        compile_bundle(tiny_bundle(), "tensort")


@pytest.mark.parametrize(
    ("engine", "runtime"), [("auto", "ONNX Runtime"), ("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")]
)
def test_cpu_runtimes_have_nothing_to_compile(tiny_bundle, engine, runtime, no_tensorrt):
    if engine == "openvino":
        pytest.importorskip("openvino")
    lines = []
    assert compile_bundle(tiny_bundle(), engine, report=lines.append) == tiny_bundle()
    (line,) = lines
    hint = "; run it with --engine openvino" if engine == "openvino" else ""  # for FP32, auto is ONNX Runtime
    assert line.startswith(f"idrn-x4 is ready: {runtime} ") and line.endswith(f"nothing to compile{hint}")


def test_bundle_is_copied_to_the_output_folder(tiny_bundle, tmp_path):
    before = contents(tiny_bundle())
    copy = compile_bundle(tiny_bundle(), "onnxruntime", folder=tmp_path / "copy")
    assert copy.folder == tmp_path / "copy" and contents(open_bundle(copy.folder)) == contents(tiny_bundle()) == before


def test_occupied_output_folder_is_reported_first(tiny_bundle, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    lines = []
    with pytest.raises(OutputError, match=r"it holds notes\.txt"):
        compile_bundle(tiny_bundle(), "auto", folder=tmp_path, report=lines.append)
    assert lines == []


@pytest.mark.parametrize("broken", ["graph", "scale"])
def test_bundle_that_cannot_be_loaded_is_not_copied(tiny_bundle, tmp_path, broken):
    files, card = contents(tiny_bundle()), tiny_bundle().card
    del files[CARD]
    if broken == "graph":
        files[ONNX] = files[ONNX][:5000]
    else:
        card = replace(card, io_spec=replace(card.io_spec, scale=5))
    bundle = write_bundle(tmp_path / "broken", card, files)
    with pytest.raises(FacesrError):
        compile_bundle(bundle, "onnxruntime", folder=tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_current_folder_is_refused_before_it_is_replaced(tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = []
    with pytest.raises(OutputError, match=r"it is the current folder, .*; choose another folder with -o"):
        compile_bundle(tiny_bundle(), "onnxruntime", folder=Path(), report=lines.append)
    assert lines == list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("compile_tensorrt", [lambda bundle: compile_bundle(bundle, "tensorrt"), ensure_engine])
def test_without_tensorrt_the_error_names_what_is_missing(tiny_bundle, compile_tensorrt, no_tensorrt):
    before = contents(tiny_bundle())
    with pytest.raises(FacesrError, match=r"install|doctor") as caught:
        compile_tensorrt(tiny_bundle())
    assert "\n" not in str(caught.value) and contents(tiny_bundle()) == before

"""Compiling where there is nothing to compile with; the whole way through TensorRT's own bindings is in contract/."""

import pytest
from facesr_edge.converters.compile import compile_bundle, ensure_engine, why_not_tensorrt
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.engines.errors import FacesrError, OutputError, UnknownNameError


def here(bundle):
    return {path.name: path.read_bytes() for path in bundle.folder.iterdir()}


@pytest.fixture
def no_tensorrt():
    if not why_not_tensorrt():
        pytest.skip("TensorRT and a GPU are here")


def test_an_unknown_target_offers_the_one_close_by(tiny_bundle):
    with pytest.raises(UnknownNameError, match="did you mean 'tensorrt'"):
        compile_bundle(tiny_bundle(), "tensort")


@pytest.mark.parametrize(
    ("target", "runtime"), [("auto", "ONNX Runtime"), ("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")]
)
def test_runtimes_of_cpus_have_nothing_to_compile(tiny_bundle, target, runtime, no_tensorrt):
    if target == "openvino":
        pytest.importorskip("openvino")
    lines = []
    assert compile_bundle(tiny_bundle(), target, report=lines.append) == tiny_bundle()
    (line,) = lines
    hint = "; run it with --engine openvino" if target == "openvino" else ""  # for FP32 auto takes the other
    assert line.startswith(f"idrn-x4 is ready: {runtime} ") and line.endswith(f"nothing to compile{hint}")


def test_a_compiled_bundle_goes_where_it_is_told_and_the_first_stays(tiny_bundle, tmp_path):
    before = here(tiny_bundle())
    done = compile_bundle(tiny_bundle(), "onnxruntime", folder=tmp_path / "there")
    assert done.folder == tmp_path / "there" and here(open_bundle(done.folder)) == here(tiny_bundle()) == before


def test_a_destination_that_is_not_free_is_told_first(tiny_bundle, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    lines = []
    with pytest.raises(OutputError, match=r"it holds notes\.txt"):
        compile_bundle(tiny_bundle(), "auto", folder=tmp_path, report=lines.append)
    assert lines == []


@pytest.mark.parametrize("how", [lambda bundle: compile_bundle(bundle, "tensorrt"), ensure_engine])
def test_without_tensorrt_it_is_told_what_is_missing_and_nothing_changes(tiny_bundle, how, no_tensorrt):
    before = here(tiny_bundle())
    with pytest.raises(FacesrError, match=r"install|doctor") as caught:
        how(tiny_bundle())
    assert "\n" not in str(caught.value) and here(tiny_bundle()) == before

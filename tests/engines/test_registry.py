"""The choice of the runtime: the one selected by the user, or the fastest by measurement, without fallback."""

from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.bundle.engine_info import EngineInfo
from facesr_edge.engines.errors import EngineError, UnknownNameError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.registry import choose_engine, open_session


@pytest.fixture
def compiled(tiny_bundle):
    """A bundle whose card has engine info; there is no engine file."""
    bundle = tiny_bundle()
    info = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", bundle.card.files["model.onnx"])
    return Bundle(bundle.folder, replace(bundle.card, engine=info))


@pytest.fixture
def set_platform(monkeypatch):
    """Simulate a processor architecture with or without OpenVINO."""

    def set_to(openvino, machine="x86_64"):
        monkeypatch.setattr("facesr_edge.engines.registry.installed", lambda: openvino)
        monkeypatch.setattr("platform.machine", lambda: machine)

    return set_to


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_selected_engine_is_loaded(tiny_bundle, engine):
    session = open_session(tiny_bundle(), engine)
    assert isinstance(session, OrtSession) and session.io_spec == tiny_bundle().card.io_spec


def test_auto_selects_tensorrt_if_the_bundle_has_an_engine(tiny_bundle, compiled):
    choice = choose_engine(tiny_bundle())
    assert choice.engine == "onnxruntime" and "no compiled engine" in choice.reason
    choice = choose_engine(compiled)
    assert choice.engine == "tensorrt" and "TensorRT 10.3.0 for Orin" in choice.reason


@pytest.mark.parametrize(
    ("precision", "openvino", "machine", "engine"),
    [
        ("int8", True, "x86_64", "openvino"),
        ("fp16", True, "AMD64", "openvino"),
        ("fp32", True, "x86_64", "onnxruntime"),
        ("int8", False, "x86_64", "onnxruntime"),
        ("int8", True, "aarch64", "onnxruntime"),  # not measured
    ],
)
def test_auto_selects_openvino_where_it_was_measured_to_be_faster(
    tiny_bundle, set_platform, precision, openvino, machine, engine
):
    set_platform(openvino, machine)
    bundle = tiny_bundle()
    choice = choose_engine(Bundle(bundle.folder, replace(bundle.card, precision=precision)))
    assert choice.engine == engine and ("OpenVINO is faster" in choice.reason) == (engine == "openvino")


def test_auto_does_not_select_openvino_for_references_or_compiled_engines(tiny_bundle, compiled, set_platform):
    set_platform(True)
    assert choose_engine(Bundle(compiled.folder, replace(compiled.card, precision="int8"))).engine == "tensorrt"
    card = tiny_bundle().card
    with_references = replace(card, precision="int8", io_spec=replace(card.io_spec, references=4))
    assert choose_engine(Bundle(tiny_bundle().folder, with_references)).engine == "onnxruntime"


@pytest.mark.parametrize("engine", ["tensorrt", "openvino"])
def test_references_are_rejected_by_other_runtimes(tiny_bundle, engine):
    card = tiny_bundle().card
    bundle = Bundle(tiny_bundle().folder, replace(card, io_spec=replace(card.io_spec, references=4)))
    with pytest.raises(EngineError, match="only ONNX Runtime supports; omit --engine"):
        open_session(bundle, engine)


@pytest.mark.parametrize("engine", ["tensorrt", "openvino", "onnxruntime"])
def test_selection_by_the_user_ignores_the_bundle(tiny_bundle, compiled, engine):
    assert choose_engine(compiled, engine).engine == choose_engine(tiny_bundle(), engine).engine == engine


@pytest.mark.parametrize(("engine", "hint"), [("onnxruntim", "did you mean 'onnxruntime'"), ("", "known: auto, ")])
def test_unknown_engine_is_rejected_with_the_known_names(tiny_bundle, engine, hint):
    with pytest.raises(UnknownNameError, match=hint):
        open_session(tiny_bundle(), engine)


def test_number_of_threads_is_passed_on(tiny_bundle):
    assert "1 threads" in open_session(tiny_bundle(), "onnxruntime", threads=1).runtime

"""Which runtime runs a bundle: as asked, never another in its stead."""

from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.bundle.engine_info import EngineInfo
from facesr_edge.engines.errors import UnknownNameError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.registry import choose_engine, open_session


@pytest.fixture
def compiled(tiny_bundle):
    """As a bundle with an engine says of itself; the engine is not there."""
    bundle = tiny_bundle()
    key = EngineInfo("TensorRT", "10.3.0", "Orin", "8.7", "12.6", bundle.card.files["model.onnx"])
    return Bundle(bundle.folder, replace(bundle.card, engine=key))


@pytest.fixture
def with_openvino(monkeypatch):
    """As if OpenVINO were installed, or not, on a processor of a kind."""

    def there(installed, machine="x86_64"):
        monkeypatch.setattr("facesr_edge.engines.registry.installed", lambda: installed)
        monkeypatch.setattr("platform.machine", lambda: machine)

    return there


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_the_engine_asked_for_is_taken(tiny_bundle, engine):
    session = open_session(tiny_bundle(), engine)
    assert isinstance(session, OrtSession) and session.io_spec == tiny_bundle().card.io_spec


def test_auto_takes_the_engine_that_the_bundle_has_and_says_why(tiny_bundle, compiled):
    assert (
        choose_engine(tiny_bundle()).engine == "onnxruntime"
        and "no compiled engine" in choose_engine(tiny_bundle()).why
    )
    assert choose_engine(compiled).engine == "tensorrt" and "TensorRT 10.3.0 for Orin" in choose_engine(compiled).why


@pytest.mark.parametrize(
    ("precision", "installed", "machine", "engine"),
    [
        ("int8", True, "x86_64", "openvino"),
        ("fp16", True, "AMD64", "openvino"),
        ("fp32", True, "x86_64", "onnxruntime"),
        ("int8", False, "x86_64", "onnxruntime"),
        ("int8", True, "aarch64", "onnxruntime"),  # where nobody measured it
    ],
)
def test_auto_takes_openvino_where_it_was_measured_to_be_quicker(
    tiny_bundle, with_openvino, precision, installed, machine, engine
):
    with_openvino(installed, machine)
    bundle = tiny_bundle()
    chosen = choose_engine(Bundle(bundle.folder, replace(bundle.card, precision=precision)))
    assert chosen.engine == engine and ("OpenVINO is quicker in" in chosen.why) == (engine == "openvino")


def test_auto_keeps_references_and_compiled_engines_from_openvino(tiny_bundle, compiled, with_openvino):
    with_openvino(True)
    assert choose_engine(Bundle(compiled.folder, replace(compiled.card, precision="int8"))).engine == "tensorrt"
    card = tiny_bundle().card
    borrows = replace(card, precision="int8", io_spec=replace(card.io_spec, references=4))
    assert choose_engine(Bundle(tiny_bundle().folder, borrows)).engine == "onnxruntime"


@pytest.mark.parametrize("engine", ["tensorrt", "openvino", "onnxruntime"])
def test_what_was_asked_for_is_taken_whatever_the_bundle_has(tiny_bundle, compiled, engine):
    assert choose_engine(compiled, engine).engine == choose_engine(tiny_bundle(), engine).engine == engine


@pytest.mark.parametrize(("engine", "hint"), [("onnxruntim", "did you mean 'onnxruntime'"), ("", "known: auto, ")])
def test_an_unknown_engine_is_refused_with_those_there_are(tiny_bundle, engine, hint):
    with pytest.raises(UnknownNameError, match=hint):
        open_session(tiny_bundle(), engine)


def test_onnx_runtime_keeps_the_number_of_threads(tiny_bundle):
    assert "1 threads" in open_session(tiny_bundle(), "onnxruntime", threads=1).runtime

"""A bundle from prepared to run, on doubles: compiled, tried, carded, loaded, refused elsewhere, compiled anew."""

import json
from dataclasses import replace

import facesr_edge
import numpy as np
import pytest
from facesr_edge.converters import compile as compiling
from facesr_edge.converters.engine_check import check_inputs
from facesr_edge.engines.bundle.bundle import CARD, ENGINE, FP16_ONNX, ONNX, WEIGHTS, open_bundle, write_bundle
from facesr_edge.engines.bundle.card import card_from_json
from facesr_edge.engines.errors import BundleError, EngineError, ParityError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.tensorrt.builder import CompileOptions
from facesr_edge.sdk.load import load_detector


@pytest.fixture
def gpu(build, simulation, monkeypatch):
    from facesr_edge.engines.tensorrt import session as trt_session

    for module in (compiling, trt_session):
        monkeypatch.setattr(module, "Gpu", lambda: simulation.gpu)
    return simulation


@pytest.fixture
def prepared(idrn, tmp_path):
    """As a build for TensorRT leaves it, but for few shapes, which is quicker."""
    contents = {name: (idrn.folder / name).read_bytes() for name in idrn.card.files}
    io_spec = replace(idrn.card.io_spec, windows=(32, 48), batches=(1, 2))
    card = replace(idrn.card, io_spec=io_spec, notes=(compiling.PREPARED,))
    return write_bundle(tmp_path / "prepared", card, contents)


@pytest.fixture
def crops():
    return np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)


def compile_here(bundle, **more):
    lines = []
    return compiling.compile_bundle(bundle, "tensorrt", report=lines.append, **more), lines


def test_a_compiled_bundle_says_what_it_is_for_and_runs_as_its_graph_does(gpu, trt, prepared, crops):
    done, lines = compile_here(prepared)
    key = open_bundle(prepared.folder).card.engine
    assert (key.runtime, key.version) == ("TensorRT", trt.__version__)
    assert (key.gpu, key.compute_capability) == ("Orin (double)", "8.7")
    assert key.onnx == done.card.files[ONNX] and done.card.notes == ()
    told = done.card.quality[f"on this device, TensorRT {trt.__version__} (Orin (double), CUDA graphs)"]
    assert told["psnr_db"] >= 50 and told["time_ms"] > 0
    assert "compiled by TensorRT" in lines[0] and "psnr db" in lines[1]
    with facesr_edge.load(done.folder, detector=load_detector("detector", threads=1)) as sr:  # "auto" takes the engine
        assert sr.session.runtime.startswith("TensorRT")
        assert np.abs(sr.upscale(crops).astype(int) - OrtSession(done, 1).infer(crops)).max() <= 1


def test_auto_compiles_where_tensorrt_is(gpu, prepared):
    assert compiling.compile_bundle(prepared, "auto").card.engine and compiling.why_not_tensorrt() == ""


def test_a_compiled_copy_goes_where_it_is_told_and_the_prepared_one_stays(gpu, prepared, tmp_path):
    done, _ = compile_here(prepared, folder=tmp_path / "compiled")
    assert done.folder == tmp_path / "compiled" and open_bundle(done.folder).card.engine
    assert open_bundle(prepared.folder).card.engine is None


def test_a_detector_is_shown_the_sizes_that_it_was_compiled_for(gpu, detector, tmp_path):
    options = CompileOptions(sizes_hw=((384, 640),))
    done, _ = compile_here(detector, folder=tmp_path / "detector", options=options)
    detect = load_detector(done.folder)
    frame = check_inputs(detector.card.io_spec)[0][0]
    assert detect.session.io_spec.sizes_hw == ((384, 640),) and len(detect(frame[:300, :500])) >= 1
    assert len(detect(np.tile(frame, (2, 2, 1)))) >= 1  # larger than any: in tiles


@pytest.mark.parametrize("option", [{"any_gpu": True}, {"any_version": True}])
def test_what_an_engine_allows_stands_on_its_card(gpu, prepared, option):
    done, _ = compile_here(prepared, options=CompileOptions(**option))
    (name,) = option
    assert getattr(done.card.engine, name) is True


def test_an_engine_of_another_device_is_refused_in_words_and_compiled_anew_where_asked(gpu, prepared):
    done, _ = compile_here(prepared)
    gpu.gpu.compute_capability, gpu.gpu.name = "9.0", "another"
    with pytest.raises(EngineError, match=r"capability 8\.7 \(Orin \(double\)\), this GPU has 9\.0 .*compile it"):
        facesr_edge.load(done.folder)
    with facesr_edge.load(done.folder, detector=load_detector("detector", threads=1), rebuild=True) as sr:
        assert sr.card.engine.compute_capability == "9.0"
    assert open_bundle(done.folder).card.engine.gpu == "another"


def test_an_engine_that_runs_here_is_not_compiled_again(gpu, trt, prepared):
    done, _ = compile_here(prepared)
    asked = len(trt.asked_of("Builder", "build_serialized_network"))
    assert compiling.ensure_engine(done) == done and len(trt.asked_of("Builder", "build_serialized_network")) == asked


def test_a_tampered_engine_is_never_deserialised(gpu, trt, prepared):
    done, _ = compile_here(prepared)
    asked = len(trt.asked_of("Runtime", "deserialize_cuda_engine"))
    done.engine.write_bytes(b"harm")
    with pytest.raises(BundleError, match=r"model\.engine was altered"):
        facesr_edge.load(done.folder)
    assert len(trt.asked_of("Runtime", "deserialize_cuda_engine")) == asked


def test_a_card_that_lies_about_its_graph_is_refused(gpu, prepared):
    done, _ = compile_here(prepared)
    values = json.loads((done.folder / CARD).read_text())
    values["engine"]["onnx"] = "0" * 64
    (done.folder / CARD).write_text(json.dumps(values))
    assert card_from_json(json.dumps(values)).engine.onnx == "0" * 64
    with pytest.raises(EngineError, match="compiled from another graph"):
        facesr_edge.load(done.folder)


def test_an_engine_that_says_something_else_than_its_graph_is_no_bundle(gpu, prepared, monkeypatch):
    from simulated import Context

    right = Context._computed
    monkeypatch.setattr(Context, "_computed", lambda self, pixels: 255 - right(self, pixels))
    with pytest.raises(ParityError, match="does not say what its graph says"):
        compile_here(prepared)
    assert not (prepared.folder / ENGINE).exists()


@pytest.mark.parametrize(("int8_ms", "kept"), [(1.0, "int8"), (3.0, "fp16")])
def test_int8_is_kept_only_where_it_is_faster_than_fp16(gpu, prepared, monkeypatch, int8_ms, kept):
    contents = {name: (prepared.folder / name).read_bytes() for name in (ONNX, WEIGHTS)}
    card = replace(prepared.card, precision="int8", calibration="f" * 64)
    both = write_bundle(prepared.folder, card, {**contents, FP16_ONNX: contents[ONNX]})
    monkeypatch.setattr(compiling, "milliseconds", lambda sessions, pixels: [int8_ms, 2.0])
    done, lines = compile_here(both)
    assert done.card.precision == kept and done.card.notes == (lines[-1],)
    assert done.card.calibration == ("f" * 64 if kept == "int8" else "")
    assert f"{kept.upper()} is kept" in lines[-1]
    assert open_bundle(done.folder) == done and (FP16_ONNX in done.card.files) == (kept == "int8")


def test_int8_for_cpus_is_told_from_int8_for_tensorrt(gpu, prepared):
    bundle = write_bundle(prepared.folder, replace(prepared.card, precision="int8"), {ONNX: prepared.onnx.read_bytes()})
    with pytest.raises(UsageError, match="INT8 for CPUs; make one for TensorRT: build --int8 --target tensorrt"):
        compile_here(bundle)
    assert compiling.compile_bundle(bundle, "auto").card.engine is None


def test_what_ships_is_compiled_into_a_folder_of_its_own(gpu, detector, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done, _ = compile_here(detector, options=CompileOptions(sizes_hw=((384, 640),)))
    assert done.folder.resolve() == tmp_path / "detector-tensorrt" and not detector.engine.exists()
    with pytest.raises(UsageError, match=r"facesr-edge build detector --target tensorrt -o DIR"):
        load_detector("detector", rebuild=True, engine="tensorrt")


def test_rebuilding_a_model_leaves_the_detector_that_ships_alone(gpu, detector, prepared):
    with facesr_edge.load(prepared.folder, rebuild=True) as sr:
        assert sr.card.engine and "ONNX Runtime" in sr.detector.session.runtime and not detector.engine.exists()


def test_rebuilding_for_another_runtime_makes_no_sense(prepared):
    with pytest.raises(UsageError, match="leave one of the two out"):
        facesr_edge.load(prepared.folder, engine="onnxruntime", rebuild=True)

"""Bundle compilation with strict mocks: compile, check, update the card, load, reject on other devices, rebuild."""

import json
import os
import signal
from dataclasses import replace

import facesr_edge
import numpy as np
import pytest
from facesr_edge.converters import compile as compiling
from facesr_edge.converters.engine_check import check_inputs
from facesr_edge.engines.bundle.bundle import (
    CARD,
    FP16_ONNX,
    OLD_ENGINE,
    ONNX,
    WEIGHTS,
    engine_file,
    open_bundle,
    write_bundle,
)
from facesr_edge.engines.bundle.card import ENGINE_CHECK, card_from_json
from facesr_edge.engines.errors import AbortedError, BundleError, EngineError, ParityError, UsageError
from facesr_edge.engines.jetson import this_jetson
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.tensorrt import builder, loader
from facesr_edge.engines.tensorrt.options import CompileOptions
from facesr_edge.sdk.load import load_detector


@pytest.fixture
def gpu(build, simulation, monkeypatch):
    from facesr_edge.engines.tensorrt import session as trt_session

    for module in (compiling, trt_session):
        monkeypatch.setattr(module, "Gpu", lambda: simulation.gpu)
    return simulation


@pytest.fixture
def prepared(tiny, idrn, tmp_path):
    """A bundle prepared for TensorRT, with a trivial network and few shapes to be fast."""
    contents = {ONNX: tiny.onnx.read_bytes(), WEIGHTS: (idrn.folder / WEIGHTS).read_bytes()}
    card = replace(tiny.card, io_spec=replace(tiny.card.io_spec, batches=(1, 2)), notes=(compiling.PREPARED,))
    return write_bundle(tmp_path / "prepared", card, contents)


@pytest.fixture
def crops():
    return np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)


def compile_bundle(bundle, **options):
    lines = []
    return compiling.compile_bundle(bundle, "tensorrt", report=lines.append, **options), lines


def test_a_compiled_bundle_records_its_device_and_matches_onnx_runtime(gpu, trt, prepared, crops):
    compiled, lines = compile_bundle(prepared)
    info = open_bundle(prepared.folder).card.engine
    assert (info.runtime, info.version) == ("TensorRT", trt.__version__)
    assert (info.gpu, info.compute_capability) == ("Orin (mock)", "8.7")
    assert info.onnx == compiled.card.files[ONNX] and compiled.card.notes == ()
    quality = compiled.card.evaluations[-1].metrics
    assert quality["runtime"] == f"TensorRT {trt.__version__} (Orin (mock), CUDA graphs)"
    assert quality["psnr_db"] >= 50 and quality["time_ms"] > 0
    assert "compiled by TensorRT" in lines[0] and "psnr db" in lines[1]
    with facesr_edge.load(compiled.folder, detector=load_detector("detector", threads=1)) as sr:
        assert sr.session.runtime.startswith("TensorRT")
        assert np.abs(sr.upscale(crops).astype(int) - OrtSession(compiled, 1).infer(crops)).max() <= 1


def test_auto_compiles_if_tensorrt_is_available(gpu, prepared):
    assert compiling.compile_bundle(prepared, "auto").card.engine and compiling.why_not_tensorrt() == ""


def test_a_compiled_copy_leaves_the_prepared_bundle_unchanged(gpu, prepared, tmp_path):
    compiled, _ = compile_bundle(prepared, folder=tmp_path / "compiled")
    assert compiled.folder == tmp_path / "compiled" and open_bundle(compiled.folder).card.engine
    assert open_bundle(prepared.folder).card.engine is None


def test_a_detector_runs_at_its_compiled_sizes(gpu, detector, tmp_path):
    options = CompileOptions(sizes_hw=((384, 640),))
    compiled, _ = compile_bundle(detector, folder=tmp_path / "detector", options=options)
    detect = load_detector(compiled.folder)
    frame = check_inputs(detector.card.io_spec)[0][0]
    assert detect.session.io_spec.sizes_hw == ((384, 640),) and len(detect(frame[:300, :500])) >= 1
    assert len(detect(np.tile(frame, (2, 2, 1)))) >= 1  # larger than any: in tiles


@pytest.mark.parametrize("option", [{"hardware_compatible": True}, {"version_compatible": True}])
def test_compatibility_options_are_recorded_in_the_card(gpu, prepared, option):
    compiled, _ = compile_bundle(prepared, options=CompileOptions(**option))
    (name,) = option
    assert getattr(compiled.card.engine, name) is True


def test_an_incompatible_engine_raises_and_rebuild_compiles_it_again(gpu, prepared):
    compiled, _ = compile_bundle(prepared)
    gpu.gpu.compute_capability, gpu.gpu.name = "9.0", "other"
    with pytest.raises(EngineError, match=r"capability 8\.7 \(Orin \(mock\)\), this GPU has 9\.0 .*compile it"):
        facesr_edge.load(compiled.folder)
    with facesr_edge.load(compiled.folder, detector=load_detector("detector", threads=1), rebuild=True) as sr:
        assert sr.card.engine.compute_capability == "9.0"
    assert open_bundle(compiled.folder).card.engine.gpu == "other"


def test_an_engine_of_a_larger_board_is_refused(gpu, prepared):
    gpu.gpu.multiprocessors = 16
    compiled, _ = compile_bundle(prepared)
    gpu.gpu.multiprocessors = 8
    with pytest.raises(EngineError, match=r"compiled for 16 multiprocessors, this GPU has 8; compile it again"):
        facesr_edge.load(compiled.folder)


def test_a_hardware_compatible_engine_is_compiled_for_the_jetson_alone(gpu, prepared, tmp_path, monkeypatch):
    compiled, _ = compile_bundle(prepared, options=CompileOptions(hardware_compatible=True))
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nv_tegra_release").write_text("# R36 (release), REVISION: 4.3,")
    for module in (compiling, builder, loader):
        monkeypatch.setattr(module, "this_jetson", lambda: this_jetson(tmp_path))
    with pytest.raises(EngineError, match="hardware-compatible, which TensorRT does not support on a Jetson"):
        facesr_edge.load(compiled.folder)
    assert compiling.ensure_engine(compiled).card.engine.hardware_compatible is False


def test_a_compatible_engine_is_not_compiled_again(gpu, trt, prepared):
    compiled, _ = compile_bundle(prepared)
    trt.calls.clear()
    assert compiling.ensure_engine(compiled) == compiled
    assert trt.calls_of("Builder", "build_serialized_network") == []


def test_a_tampered_engine_is_never_deserialized(gpu, trt, prepared):
    compiled, _ = compile_bundle(prepared)
    calls = len(trt.calls_of("Runtime", "deserialize_cuda_engine"))
    (compiled.folder / engine_file(48, 48)).write_bytes(b"harm")
    with pytest.raises(BundleError, match=r"model-48x48\.engine was altered"):
        facesr_edge.load(compiled.folder)
    assert len(trt.calls_of("Runtime", "deserialize_cuda_engine")) == calls


def test_an_engine_of_another_graph_is_rejected(gpu, prepared):
    compiled, _ = compile_bundle(prepared)
    values = json.loads((compiled.folder / CARD).read_text())
    values["engine"]["onnx"] = "0" * 64
    (compiled.folder / CARD).write_text(json.dumps(values))
    assert card_from_json(json.dumps(values)).engine.onnx == "0" * 64
    with pytest.raises(EngineError, match="compiled from another graph"):
        facesr_edge.load(compiled.folder)


def test_an_engine_that_differs_from_its_graph_raises_parity_error(gpu, prepared, monkeypatch):
    from runtime_stubs import Context

    original = Context._compute
    monkeypatch.setattr(
        Context,
        "_compute",
        lambda self, *arrays: {name: 255 - value for name, value in original(self, *arrays).items()},
    )
    with pytest.raises(ParityError, match="differs from ONNX Runtime"):
        compile_bundle(prepared)
    assert not [*prepared.folder.glob("*.engine")]


def test_the_residual_of_an_engine_is_compared_with_its_pixels(gpu, edge, tmp_path, monkeypatch):
    from runtime_stubs import Context

    compiled, lines = compile_bundle(edge, folder=tmp_path / "compiled")
    assert compiled.card.evaluations[-1].metrics["engine_consistency_error_db"] <= 0.05
    assert "engine consistency error db" in lines[1]
    original = Context._compute

    def wrong(self, *arrays):
        made = original(self, *arrays)
        return made | {"residual": 1.02 * made["residual"]}

    monkeypatch.setattr(Context, "_compute", wrong)
    with pytest.raises(ParityError, match=r"consistency of the engine graph differs .* limit 0\.05 dB"):
        compile_bundle(edge, folder=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_the_engine_of_a_network_with_references_is_checked_with_them(gpu, msrnet, tmp_path, monkeypatch):
    from runtime_stubs import Context

    compiled, _ = compile_bundle(msrnet, folder=tmp_path / "compiled")
    assert compiled.card.evaluations[-1].metrics["psnr_db"] >= 50
    assert {"references.onnx", "embedding.onnx"} <= compiled.card.files.keys()
    original = Context._compute
    monkeypatch.setattr(Context, "_compute", lambda self, *arrays: original(self, *arrays[:-1], 0 * arrays[-1]))
    with pytest.raises(ParityError, match="differs from ONNX Runtime"):
        compile_bundle(msrnet, folder=tmp_path / "other")


@pytest.mark.parametrize(("int8_ms", "precision"), [(1.0, "int8"), (3.0, "fp16")])
def test_int8_is_chosen_only_if_faster_than_fp16(gpu, prepared, monkeypatch, int8_ms, precision):
    contents = {name: (prepared.folder / name).read_bytes() for name in (ONNX, WEIGHTS)}
    card = replace(prepared.card, precision="int8", calibration="f" * 64)
    both = write_bundle(prepared.folder, card, {**contents, FP16_ONNX: contents[ONNX]})
    monkeypatch.setattr(compiling, "median_ms", lambda sessions, pixels: [int8_ms, 2.0])
    compiled, lines = compile_bundle(both)
    assert compiled.card.precision == precision and compiled.card.notes == (lines[-1],)
    assert compiled.card.calibration == ("f" * 64 if precision == "int8" else "")
    assert f"{precision.upper()} is kept" in lines[-1]
    assert open_bundle(compiled.folder) == compiled and (FP16_ONNX in compiled.card.files) == (precision == "int8")


def test_fp16_is_kept_if_int8_does_not_compile(gpu, scenario, prepared):
    contents = {name: (prepared.folder / name).read_bytes() for name in (ONNX, WEIGHTS)}
    card = replace(prepared.card, precision="int8", calibration="f" * 64)
    both = write_bundle(prepared.folder, card, {**contents, FP16_ONNX: contents[ONNX]})
    builds = []

    def fail_from_the_third_on():  # two sizes in FP16, then INT8
        builds.append(1)
        if len(builds) > 2 * 4:
            scenario.build_error = "Could not find any implementation for node Conv_3"

    scenario.on_build_step = fail_from_the_third_on
    compiled, lines = compile_bundle(both)
    assert compiled.card.precision == "fp16" and compiled.card.notes == (lines[-1],)
    assert "INT8 failed, so FP16 is kept: " in lines[-1] and "Conv_3" in lines[-1]
    assert facesr_edge.load(compiled.folder, detector=load_detector("detector", threads=1)).session.precision == "fp16"


@pytest.mark.parametrize("reason", ["", "Requested amount of GPU memory could not be allocated: out of memory"])
def test_int8_that_is_cancelled_or_lacks_memory_leaves_the_bundle_unchanged(gpu, scenario, prepared, reason):
    contents = {name: (prepared.folder / name).read_bytes() for name in (ONNX, WEIGHTS)}
    card = replace(prepared.card, precision="int8", calibration="f" * 64)
    both = write_bundle(prepared.folder, card, {**contents, FP16_ONNX: contents[ONNX]})
    builds = []

    def fail_in_int8():
        builds.append(1)
        if len(builds) > 2 * 4 and reason:
            scenario.build_error = reason
        elif len(builds) > 2 * 4:
            os.kill(os.getpid(), signal.SIGINT)

    scenario.on_build_step = fail_in_int8
    with pytest.raises(AbortedError, match="out of memory" if reason else "was cancelled"):
        compile_bundle(both)
    assert open_bundle(both.folder) == both


def test_earlier_options_stay_where_others_are_given(gpu, prepared, tmp_path):
    compiled, _ = compile_bundle(prepared, options=CompileOptions(version_compatible=True))
    again, _ = compile_bundle(compiled, options=CompileOptions(log_file=tmp_path / "log"))
    assert again.card.engine.version_compatible is True


def test_a_detector_keeps_its_sizes(gpu, detector, tmp_path):
    sizes = ((64, 96), (32, 32))
    compiled, _ = compile_bundle(detector, folder=tmp_path / "one", options=CompileOptions(sizes_hw=sizes))
    again, _ = compile_bundle(compiled, folder=tmp_path / "two")
    assert set(again.engines) == set(compiled.engines) == set(sizes)


def test_an_engine_of_all_sizes_is_replaced(gpu, prepared):
    contents = {name: prepared.read(name) for name in prepared.card.files}
    old = write_bundle(prepared.folder, prepared.card, {**contents, OLD_ENGINE: b"plan"})
    compiled, _ = compile_bundle(old)
    assert OLD_ENGINE not in compiled.card.files and sorted(compiled.engines) == [(32, 32), (48, 48)]


def test_a_compiled_bundle_has_the_check_of_its_own_engines_only(gpu, prepared):
    compiled, _ = compile_bundle(prepared)
    fp16 = replace(compiled, card=replace(compiled.card, precision="fp16"))
    again, _ = compile_bundle(fp16)
    assert [one.precision for one in again.card.evaluations if one.dataset == ENGINE_CHECK] == ["fp16"]


def test_the_card_states_the_kernels_and_the_executed_precisions(gpu, scenario, prepared):
    scenario.engine_layers = [
        {"Name": "a", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Channel major FP16 format"}]},
        {"Name": "b", "LayerType": "Myelin", "Inputs": [{"Format/Datatype": "Row major linear FP32"}]},
        {"Name": "c", "LayerType": "signal"},
    ]
    compiled, lines = compile_bundle(prepared)
    counts = {"kernels": 2, "fp16": 1}
    assert open_bundle(compiled.folder).card.engine.layers == {"32x32": counts, "48x48": counts}
    assert "2 kernels, 1 fp16" in lines[0]
    assert json.loads(compiled.read("layers.json"))["48x48"][0] == {
        "name": "a",
        "kind": "CaskConvolution",
        "precision": "fp16",
    }


def test_cpu_int8_cannot_be_compiled_for_tensorrt(gpu, prepared):
    bundle = write_bundle(prepared.folder, replace(prepared.card, precision="int8"), {ONNX: prepared.onnx.read_bytes()})
    with pytest.raises(UsageError, match=r"INT8 for CPUs; .*build --int8 --engine tensorrt"):
        compile_bundle(bundle)
    assert compiling.compile_bundle(bundle, "auto").card.engine is None


def test_a_shipped_model_is_compiled_into_a_new_folder(gpu, detector, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    compiled, _ = compile_bundle(detector, options=CompileOptions(sizes_hw=((384, 640),)))
    assert compiled.folder.resolve() == tmp_path / "detector-tensorrt" and not [*detector.folder.glob("*.engine")]
    with pytest.raises(UsageError, match=r"facesr-edge build detector --engine tensorrt -o DIR"):
        load_detector("detector", rebuild=True, engine="tensorrt")


def test_rebuilding_a_model_does_not_compile_the_shipped_detector(gpu, detector, prepared):
    with facesr_edge.load(prepared.folder, rebuild=True) as sr:
        assert sr.card.engine and "CPU" in sr.detector.session.runtime and not [*detector.folder.glob("*.engine")]


def test_rebuild_with_another_runtime_raises(prepared):
    with pytest.raises(UsageError, match="leave one of the two out"):
        facesr_edge.load(prepared.folder, engine="onnxruntime", rebuild=True)

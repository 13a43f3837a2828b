"""TensorRT for RTX: engines built without a GPU, and loaded on one with strict mocks of its own bindings."""

import functools
import json
import sys
from dataclasses import replace

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.converters import compile as compiling
from facesr_edge.converters.static_graph import static_graph
from facesr_edge.engines import files
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.engines.errors import BuildError, EngineError, MissingDependencyError, ParityError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.tensorrt import session as trt_session
from facesr_edge.engines.tensorrt.api import RTX
from facesr_edge.engines.tensorrt.builder import compile_engine
from facesr_edge.engines.tensorrt.options import CompileOptions
from facesr_edge.engines.tensorrt.session import TrtSession
from facesr_edge.sdk.load import load_detector
from facesr_edge.sdk.pipeline.references import build_library
from runtime_stubs import Context
from signatures import signatures
from strict_mock import MockModule
from stubs import RTX_ONLY, Scenario, factories

LISTING = """Layers:
Name: __myl_Cast_0, LayerType: kgen, Inputs: [ { Name: pixels, Datatype: UInt8, Format: (Linear) }], Constants: [], Out
Name: node_conv2d_2, LayerType: correlation, Inputs: [ { Name: x, Datatype: Half, Format: (NHWC) }], Constants: [], Out
Name: wait_3, LayerType: wait, Inputs: [], Constants: [], Outputs: [], TacticName: , StreamId: 0
"""


@pytest.fixture(scope="session")
def real():
    import tensorrt_rtx

    return tensorrt_rtx


@pytest.fixture
def trt(real, simulation, scenario, monkeypatch, tmp_path):
    module = MockModule(real, factories(scenario))
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", module)
    monkeypatch.setattr("facesr_edge.engines.tensorrt.kernel_cache.cache_dir", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr("facesr_edge.converters.first_load.cache_dir", lambda name: tmp_path / "cache" / name)
    return module


@pytest.fixture
def scenario(real, simulation):
    return Scenario(real, simulation)


@pytest.fixture
def no_gpu(monkeypatch):
    def fail():
        raise MissingDependencyError("cuda-python", "tensorrt-rtx", "running on a GPU")

    monkeypatch.setattr(compiling, "Gpu", fail)


@pytest.fixture
def gpu(simulation, monkeypatch):
    simulation.gpu.name, simulation.gpu.compute_capability = "RTX 4090 (mock)", "8.9"
    monkeypatch.setattr(trt_session, "Gpu", lambda: simulation.gpu)
    return simulation


@pytest.fixture
def untried(trt, no_gpu, tiny, tmp_path):
    """A bundle that was compiled on a machine without a GPU."""
    return compile_bundle(tiny, folder=tmp_path / "untried")[0]


def compile_bundle(bundle, **options):
    lines = []
    return compiling.compile_bundle(bundle, "tensorrt-rtx", report=lines.append, **options), lines


def images(count, side):
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), np.uint8)


def test_every_method_of_this_product_has_a_parsable_signature(real):
    for kind, name in RTX_ONLY:
        assert signatures(getattr(getattr(real, kind), name).__doc__), f"{kind}.{name}"


def test_engines_are_built_without_a_gpu_and_the_card_says_so(trt, no_gpu, scenario, tiny, tmp_path):
    scenario.listing = LISTING
    compiled, lines = compile_bundle(tiny, folder=tmp_path / "compiled")
    info = open_bundle(compiled.folder).card.engine
    assert (info.runtime, info.version, info.gpu, info.driver) == ("TensorRT-RTX", trt.__version__, "", "")
    assert info.target == "compute capabilities from 8.0 on" and sorted(compiled.engines) == [(32, 32), (48, 48)]
    assert info.layers["32x32"] == {"kernels": 2, "fp16": 1}
    assert "untried" in compiled.card.evaluations[-1].metrics and "not tried yet" in lines[-1]


def test_compute_capabilities_reach_the_builder_and_the_card(trt, no_gpu, tiny, tmp_path):
    options = CompileOptions(compute_capabilities=("7.5", "12.0"))
    compiled, _ = compile_bundle(tiny, folder=tmp_path / "compiled", options=options)
    named = [call["compute_capability"].name for call in trt.calls_of("IBuilderConfig", "set_compute_capability")]
    assert named == ["SM75", "SM120"] * 2
    assert open_bundle(compiled.folder).card.engine.compute_capabilities == ("7.5", "12.0")
    trt.calls.clear()
    compile_bundle(compiled)  # again, with the options on the card
    assert len(trt.calls_of("IBuilderConfig", "set_compute_capability")) == 4


def test_a_rejected_compute_capability_raises(trt, scenario, tiny):
    scenario.rejected_capabilities = ("SM121",)
    graph_of = functools.partial(static_graph, tiny.onnx.read_bytes())
    with pytest.raises(BuildError, match=r"rejects compute capability 12\.1; leave it out"):
        compile_engine(tiny, graph_of, CompileOptions(compute_capabilities=("12.1",)), product=RTX)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dla": 0}, "--dla does not apply to TensorRT-RTX"),
        ({"workspace_mb": 64, "builder_level": 2}, "--workspace-mb, --builder-level does not apply"),
        ({"hardware_compatible": True}, "--hardware-compatible does not apply"),
    ],
)
def test_options_of_tensorrt_do_not_apply(trt, tiny, options, message):
    with pytest.raises(UsageError, match=message):
        compile_bundle(tiny, options=CompileOptions(**options))
    assert trt.calls_of("Builder", "build_serialized_network") == []


def test_an_unknown_compute_capability_raises():
    with pytest.raises(UsageError, match=r"expected compute capabilities of 7\.5, .*, got 8\.7"):
        CompileOptions(compute_capabilities=("8.7",))


def test_no_setting_of_tensorrt_is_set(trt, no_gpu, tiny, tmp_path):
    compile_bundle(tiny, folder=tmp_path / "compiled")
    assert {call.name for call in trt.calls if call.kind == "IBuilderConfig"} == {
        "profiling_verbosity",
        "clear_flag",
        "set_flag",
        "progress_monitor",
        "add_optimization_profile",
        "num_compute_capabilities",
    }


@pytest.mark.parametrize("count", [1, 3, 9])
def test_a_session_equals_onnx_runtime(gpu, untried, tiny, count):
    with_rtx, reference = TrtSession(untried, gpu.gpu, product=RTX), OrtSession(tiny, threads=1)
    for side in (32, 48):
        for _ in range(2):  # direct, then as a CUDA graph
            np.testing.assert_array_equal(with_rtx.infer(images(count, side)), reference.infer(images(count, side)))
    with_rtx.close()


def test_the_first_load_compares_with_onnx_runtime_and_the_second_does_not(gpu, untried):
    for expected in (1, 0):
        lines = []
        with facesr_edge.load(untried.folder, detector=load_detector(threads=1), report=lines.append) as sr:
            assert sr.session.runtime.startswith("TensorRT-RTX")
        assert len([line for line in lines if "comparing the engines of tiny" in line]) == expected


def test_a_first_load_with_wrong_results_raises_and_is_repeated(gpu, untried, monkeypatch):
    original = Context._compute
    monkeypatch.setattr(
        Context,
        "_compute",
        lambda self, *arrays: {name: 255 - value for name, value in original(self, *arrays).items()},
    )
    for _ in range(2):
        with pytest.raises(ParityError, match="differs from ONNX Runtime"):
            facesr_edge.load(untried.folder, detector=load_detector(threads=1))


def test_references_are_used_after_the_first_comparison(gpu, trt, no_gpu, msrnet, tmp_path):
    compiled, _ = compile_bundle(msrnet, folder=tmp_path / "compiled")
    (tmp_path / "faces").mkdir()
    for number, face in enumerate(sample_faces()[:3]):
        cv2.imwrite(str(tmp_path / "faces" / f"{number}.png"), face)
    library, lines = build_library(tmp_path / "faces", tmp_path / "library", msrnet, threads=1), []
    small, options = low_resolution(np.stack(sample_faces()[3:6]), 8), {"references": library.folder, "threads": 1}
    with facesr_edge.load(compiled.folder, max_references=2, report=lines.append, **options) as sr:
        assert sr.session.runtime.startswith("TensorRT-RTX") and "2 references per face of 3" in sr.session.runtime
        actual = sr.upscale(small)
    assert any("comparing the engines of msrnet-x8" in line for line in lines)
    for count, agrees in ((2, True), (1, False)):
        with facesr_edge.load(msrnet.folder, engine="onnxruntime", max_references=count, **options) as sr:
            assert (np.abs(actual.astype(int) - sr.upscale(small)).max() <= 1) == agrees


def test_a_gpu_of_another_generation_does_not_try_new_engines(trt, gpu, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "Gpu", lambda: gpu.gpu)
    options = CompileOptions(compute_capabilities=("12.0",))
    compiled, lines = compile_bundle(tiny, folder=tmp_path / "other", options=options)
    assert "untried" in compiled.card.evaluations[-1].metrics and "not tried yet" in lines[-1]
    compiled, lines = compile_bundle(tiny, folder=tmp_path / "same")
    assert "psnr_db" in compiled.card.evaluations[-1].metrics


def test_auto_compiles_for_the_product_of_the_engines(trt, untried):
    trt.calls.clear()
    compiling.compile_bundle(untried, "auto")
    assert len(trt.calls_of("Builder", "build_serialized_network")) == 2


def test_a_session_that_cannot_load_releases_its_stream(gpu, untried, monkeypatch):
    original = Context.set_input_shape

    def fail_for_the_second_size(self, name, shape):
        return shape[1] != 48 and original(self, name, shape)

    monkeypatch.setattr(Context, "set_input_shape", fail_for_the_second_size)
    with pytest.raises(EngineError, match=r"cannot run pixels of .*48, 48"):
        TrtSession(untried, gpu.gpu, product=RTX)
    assert gpu.stream.close.call_count == 1


@pytest.mark.parametrize(("capability", "runs"), [("8.9", True), ("12.0", True), ("7.5", False), ("8.7", False)])
def test_an_engine_without_a_list_runs_from_8_0_on(gpu, untried, capability, runs):
    gpu.gpu.compute_capability = capability
    if runs:
        TrtSession(untried, gpu.gpu, product=RTX).close()
    else:
        with pytest.raises(EngineError, match=rf"capabilities from 8\.0 on, this GPU has {capability}"):
            TrtSession(untried, gpu.gpu, product=RTX)


def test_an_engine_with_a_list_runs_on_these_only(gpu, untried):
    info = replace(untried.card.engine, compute_capabilities=("7.5", "8.6"))
    listed = replace(untried, card=replace(untried.card, engine=info))
    with pytest.raises(EngineError, match=r"capabilities 7\.5, 8\.6, this GPU has 8\.9 \(RTX 4090"):
        TrtSession(listed, gpu.gpu, product=RTX)


def test_finished_kernels_are_kept_for_the_next_start(gpu, untried, trt, tmp_path):
    TrtSession(untried, gpu.gpu, product=RTX).close()
    (file,) = (tmp_path / "cache/tensorrt-rtx").iterdir()
    assert len(json.loads(file.read_bytes())["kernels"]) == 2
    written = file.stat().st_mtime_ns
    TrtSession(untried, gpu.gpu, product=RTX).close()
    assert [bytes(call["blob"]) for call in trt.calls_of("IRuntimeCache", "deserialize")] == [file.read_bytes()]
    assert file.stat().st_mtime_ns == written  # unchanged, so it is not written again


@pytest.mark.parametrize("content", [b"invalid", b""])
def test_a_damaged_kernel_cache_is_written_anew(gpu, untried, tmp_path, content):
    TrtSession(untried, gpu.gpu, product=RTX).close()
    (file,) = (tmp_path / "cache/tensorrt-rtx").iterdir()
    good = file.read_bytes()
    file.write_bytes(content)
    TrtSession(untried, gpu.gpu, product=RTX).close()
    assert file.read_bytes() == good


def test_a_kernel_cache_that_cannot_be_written_does_not_matter(gpu, untried, tmp_path):
    (tmp_path / "cache").write_text("not a folder")
    session = TrtSession(untried, gpu.gpu, product=RTX)
    session.warm_up()
    session.close()
    assert files.read_regular(tmp_path / "cache") == b"not a folder"


def test_auto_runs_the_engine_of_the_card(gpu, untried):
    with facesr_edge.load(untried.folder, detector=load_detector(threads=1)) as sr:
        assert sr.session.runtime == f"TensorRT-RTX {trt_version(untried)} (RTX 4090 (mock), CUDA graphs)"


def trt_version(bundle):
    return bundle.card.engine.version

"""Engine builds with strict mocks: the TensorRT calls of each option, and the error of each failure."""

import os
import platform
import signal
import threading
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import BuildError, UsageError
from facesr_edge.engines.jetson import RELEASE, this_jetson
from facesr_edge.engines.tensorrt import builder
from facesr_edge.engines.tensorrt.options import SIZES_HW, CompileOptions
from facesr_edge.engines.tensorrt.timing_cache import cache_path
from onnx import helper


def profiles(trt):
    return [
        tuple(call[name] for name in ("min", "opt", "max"))
        for call in trt.calls_of("IOptimizationProfile", "set_shape")
    ]


def fp16(bundle):
    """The bundle with another precision on its card."""
    return Bundle(bundle.folder, replace(bundle.card, precision="fp16"))


def flags(trt):
    """Flags of the builder configuration."""
    return next(call.stub for call in trt.calls if call.kind == "IBuilderConfig").flags


def write_jetson(root, board):
    """A root file system with the files that tell a Jetson and its model."""
    for name, text in (
        (RELEASE, "# R36 (release), REVISION: 4.3,"),
        ("proc/device-tree/model", f"NVIDIA Jetson {board}\0"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_each_crop_size_has_an_engine_up_to_its_maximum_batch(trt, build, idrn):
    build(idrn)
    assert profiles(trt) == [
        ((1, side, side, 3), (batch, side, side, 3), (batch, side, side, 3))
        for side, batch in ((32, 8), (48, 8), (64, 4), (80, 2), (96, 2), (112, 1), (128, 1))
    ]
    assert {call["input"] for call in trt.calls_of("IOptimizationProfile", "set_shape")} == {"pixels"}
    assert len(trt.calls_of("Builder", "build_serialized_network")) == 7


def test_references_have_profiles_from_one_to_their_maximum(trt, build, msrnet):
    build(msrnet)
    calls = trt.calls_of("IOptimizationProfile", "set_shape")
    shapes = {call["input"]: (call["min"], call["opt"], call["max"]) for call in calls}
    most = {"keys": (2, 5, 1024, 144), "values": (2, 5, 1024, 448), "present": (2, 5)}
    assert shapes == {
        "pixels": ((1, 16, 16, 3), (2, 16, 16, 3), (2, 16, 16, 3)),
        **{name: ((1, 1, *shape[2:]), shape, shape) for name, shape in most.items()},
    }


def test_samples_have_profiles_of_the_size_of_the_crops(trt, build, track):
    build(track)
    calls = trt.calls_of("IOptimizationProfile", "set_shape")
    shapes = [(call["min"], call["opt"], call["max"]) for call in calls if call["input"] == "samples"]
    assert shapes == [
        ((1, 32, side, side), (batch, 32, side, side), (batch, 32, side, side)) for side, batch in ((32, 8), (48, 8))
    ]


@pytest.mark.parametrize(
    ("caches", "expected"), [({}, SIZES_HW), ({"sizes_hw": ((64, 96), (32, 32))}, ((64, 96), (32, 32)))]
)
def test_a_detector_has_one_engine_per_size(trt, build, detector, caches, expected):
    build(detector, CompileOptions(**caches))
    assert profiles(trt) == [((1, *size, 3),) * 3 for size in expected]


def test_a_detector_with_sizes_in_its_io_spec_has_an_engine_for_each(trt, build, detector):
    io_spec = replace(detector.card.io_spec, sizes_hw=((96, 128),))
    build(Bundle(detector.folder, replace(detector.card, io_spec=io_spec)))
    assert profiles(trt) == [((1, 96, 128, 3),) * 3]


@pytest.mark.parametrize("sizes", [((100, 96),), (), ((0, 32),)])
def test_invalid_detector_sizes_raise(build, detector, sizes):
    with pytest.raises(UsageError, match="multiple of 32"):
        build(detector, CompileOptions(sizes_hw=sizes))


def test_the_network_is_strongly_typed(trt, build, idrn):
    build(idrn)
    (flags,) = {call["flags"] for call in trt.calls_of("Builder", "create_network")}
    assert flags == (2 if trt.__version__.startswith("10.") else 1)  # 1 << 1, and 1 << 0 from 11 on


def test_each_engine_is_built_from_the_graph_of_its_size(trt, build, idrn):
    build(idrn)
    inputs = [onnx.load_from_string(call["model"]).graph.input[0] for call in trt.calls_of("OnnxParser", "parse")]
    dims = [[dim.dim_value for dim in one.type.tensor_type.shape.dim[1:]] for one in inputs]
    assert dims == [[side, side, 3] for side in idrn.card.io_spec.crop_sizes]


@pytest.mark.parametrize(("outputs", "message"), [(["residual"], "residual"), (["enlarged", "maps"], "enlarged, maps")])
def test_a_graph_with_other_outputs_raises(build, tiny, outputs, message):
    model = onnx.load(tiny.onnx)
    model.graph.node.extend([helper.make_node("Identity", ["large"], [name]) for name in outputs if name != "enlarged"])
    del model.graph.output[:]
    shape = ["batch", "h", "w", 3]
    model.graph.output.extend([helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in outputs])
    with pytest.raises(BuildError, match=rf"one output \(besides 'residual'\), .* has 1 inputs and {message}; export"):
        build(tiny, graph=model.SerializeToString())


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_disabled_by_default(trt, build, idrn, tf32):
    build(idrn, CompileOptions(tf32=tf32))
    assert ("TF32" in flags(trt)) == tf32


def test_tf32_is_allowed_in_other_precisions(trt, build, idrn):
    build(fp16(idrn))
    assert "TF32" in flags(trt)


@pytest.mark.parametrize("executed", ["FP32", "FP16"])
def test_an_engine_without_the_precision_of_its_graph_raises(scenario, build, tiny, executed):
    convolution = [("weights", "HALF"), ("pixels", "HALF")], [("features", "HALF")]
    scenario.network_layers = [("CONVOLUTION", *convolution)]
    tensor = {"Format/Datatype": f"Row major linear {executed}"}
    scenario.engine_layers = [{"Name": "conv", "LayerType": "CaskConvolution", "Inputs": [tensor]}]
    if executed == "FP32":
        with pytest.raises(BuildError, match="32x32 px runs 0 of 1 layers in FP16: 1 fp32; build in another"):
            build(fp16(tiny))
    else:
        assert build(fp16(tiny)).layers["48x48"] == {"kernels": 1, "fp16": 1}


def test_a_graph_without_the_precision_of_its_card_raises(scenario, build, tiny):
    scenario.network_layers = [("CONVOLUTION", [("weights", "FLOAT"), ("pixels", "FLOAT")], [("features", "FLOAT")])]
    with pytest.raises(BuildError, match=r"expected a graph with layers in FP16, as the card says, .* it has 1 fp32"):
        build(fp16(tiny))


def test_an_engine_with_parts_that_are_not_told_is_not_judged(scenario, build, tiny):
    scenario.network_layers = [("CONVOLUTION", [("weights", "HALF"), ("pixels", "HALF")], [("features", "HALF")])]
    first = {"Name": "conv", "LayerType": "CaskConvolution", "Inputs": [{"Format/Datatype": "Row major linear FP32"}]}
    scenario.engine_layers = [first, {"Name": "{ForeignNode[a...b]}", "LayerType": "Myelin"}]
    assert build(fp16(tiny)).layers["32x32"] == {"kernels": 2, "fp32": 1}


def test_layer_names_are_kept_for_the_profiler(trt, build, idrn):
    compiled = build(idrn)
    levels = trt.calls_of("IBuilderConfig", "profiling_verbosity")
    assert levels == [{"value": trt.ProfilingVerbosity.DETAILED}] * len(compiled.plans)
    (names,) = {tuple(layer.name for layer in plan.layers) for plan in compiled.plans.values()}
    assert names == ("first", "last")


def test_default_options_set_no_optional_setting(trt, build, idrn):
    build(idrn)
    assert flags(trt) == set()
    for name in ("hardware_compatibility_level", "default_device_type", "DLA_core"):
        assert trt.calls_of("IBuilderConfig", name) == []
    for name in ("set_memory_pool_limit", "create_timing_cache"):
        assert trt.calls_of("IBuilderConfig", name) == []


def test_options_are_passed_to_tensorrt(trt, build, idrn):
    build(idrn, CompileOptions(workspace_mb=512, builder_level=5, hardware_compatible=True, version_compatible=True))
    pools = trt.calls_of("IBuilderConfig", "set_memory_pool_limit")
    assert len(pools) == 7 and pools[0] == {"pool": trt.MemoryPoolType.WORKSPACE, "pool_size": 512 * 1024 * 1024}
    assert trt.calls_of("IBuilderConfig", "builder_optimization_level") == [{"value": 5}] * 7
    levels = trt.calls_of("IBuilderConfig", "hardware_compatibility_level")
    assert levels == [{"value": trt.HardwareCompatibilityLevel.AMPERE_PLUS}] * 7
    assert flags(trt) == {"VERSION_COMPATIBLE"}
    assert trt.calls_of("Runtime", "engine_host_code_allowed") == [{"value": True}] * 7


@pytest.mark.parametrize("options", [{"builder_level": 6}, {"builder_level": -1}, {"workspace_mb": 0}, {"dla": -1}])
def test_option_values_out_of_range_raise(options):
    with pytest.raises(UsageError, match="expected"):
        CompileOptions(**options)


def test_a_dla_engine_has_batch_size_1_and_gpu_fallback(trt, scenario, build, idrn):
    scenario.dla_cores = 2
    build(fp16(idrn), CompileOptions(dla=1))
    assert trt.calls_of("IBuilderConfig", "default_device_type") == [{"value": trt.DeviceType.DLA}] * 7
    assert trt.calls_of("IBuilderConfig", "DLA_core") == trt.calls_of("Runtime", "DLA_core") == [{"value": 1}] * 7
    assert flags(trt) == {"TF32", "GPU_FALLBACK"}
    assert all(min_shape == max_shape and min_shape[0] == 1 for min_shape, _, max_shape in profiles(trt))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_dla_takes_fp16_only(build, idrn, precision):
    bundle = Bundle(idrn.folder, replace(idrn.card, precision=precision))
    with pytest.raises(UsageError, match=f"the bundle is {precision.upper()}; build it with --fp16"):
        build(bundle, CompileOptions(dla=0))


@pytest.mark.parametrize("cores", [0, 2])
def test_a_dla_core_that_does_not_exist_raises(scenario, build, idrn, cores):
    scenario.dla_cores = cores
    with pytest.raises(BuildError, match=f"below {cores}.*got 2; omit --dla"):
        build(fp16(idrn), CompileOptions(dla=2))


def test_a_timing_cache_is_written_and_reused(trt, build, simulation, tiny, tmp_path):
    build(tiny, CompileOptions(timing_cache=tmp_path / "cache"))  # two sizes, the second reuses the cache
    (path,) = (tmp_path / "cache").iterdir()
    assert path == cache_path(tmp_path / "cache", simulation.gpu, trt.__version__)
    caches = [bytes(call["serialized_timing_cache"]) for call in trt.calls_of("IBuilderConfig", "create_timing_cache")]
    assert caches == [b"", path.read_bytes()] and caches[1]
    assert all(call["ignore_mismatch"] is False for call in trt.calls_of("IBuilderConfig", "set_timing_cache"))


def test_devices_of_one_gpu_name_have_timing_caches_of_their_own(simulation, tmp_path):
    paths = set()
    for board, count in (("AGX Orin", 16), ("AGX Orin", 14), ("Orin NX", 8), ("Orin Nano", 8)):
        root = write_jetson(tmp_path / board, board)
        simulation.gpu.multiprocessors = count
        paths.add(cache_path(tmp_path, simulation.gpu, "10.3.0", root).name)
    assert len(paths) == 4 and all(name.startswith("orin-mock-nvidia-jetson-") for name in paths)
    machine = f"{platform.system()}-{platform.machine()}".lower().replace("_", "-")
    assert f"orin-mock-nvidia-jetson-orin-nano-{machine}-sm8.7-8mp-tensorrt10.3.0.cache" in paths


@pytest.mark.parametrize("on_jetson", [True, False])
def test_a_hardware_compatible_engine_is_refused_on_a_jetson_before_it_is_built(
    trt, build, idrn, tmp_path, monkeypatch, on_jetson
):
    root = write_jetson(tmp_path, "Orin Nano") if on_jetson else tmp_path
    monkeypatch.setattr(builder, "this_jetson", lambda: this_jetson(root))
    with pytest.raises(UsageError, match="omit --hardware-compatible") if on_jetson else nullcontext():
        build(idrn, CompileOptions(hardware_compatible=True))
    assert bool(trt.calls) != on_jetson


@pytest.mark.parametrize("content", [b"invalid", b"timing cache of another GPU"])
def test_a_rejected_timing_cache_is_logged_and_replaced(trt, build, simulation, idrn, tmp_path, content):
    path = cache_path(tmp_path, simulation.gpu, trt.__version__)
    path.write_bytes(content)
    compiled = build(idrn, CompileOptions(timing_cache=tmp_path))
    assert any("rejected the timing cache" in line for line in compiled.log)
    assert path.read_bytes() == b"timing cache of this GPU"


def test_a_rejected_timing_cache_that_cannot_be_deleted_does_not_fail_the_build(
    trt, build, simulation, idrn, tmp_path, monkeypatch
):
    path = cache_path(tmp_path, simulation.gpu, trt.__version__)
    path.write_bytes(b"invalid")

    def refuse(*arguments, **options):  # root may delete in read-only folders
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr("facesr_edge.engines.tensorrt.timing_cache.write_atomic", refuse)
    compiled = build(idrn, CompileOptions(timing_cache=tmp_path))
    assert compiled.plans and any("rejected the timing cache" in line for line in compiled.log)
    assert any("was not written: Permission denied" in line for line in compiled.log)


def test_a_timing_cache_that_cannot_be_written_does_not_fail_the_build(build, idrn, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    compiled = build(idrn, CompileOptions(timing_cache=tmp_path / "file"))
    assert compiled.plans and any("was not written" in line for line in compiled.log)


def test_progress_increases_to_1(trt, build, idrn):
    reports = []
    build(idrn, report=reports.append)
    fractions = [progress.fraction for progress in reports]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert 0.125 / 7 in fractions and 0.375 / 7 in fractions  # of the first of seven engines: inner phases are included
    assert reports[0].seconds_left is None and reports[-1].seconds_left == 0
    assert {progress.phase for progress in reports} == {"Building Engine", "Choosing kernels"}
    assert isinstance(trt.calls_of("IBuilderConfig", "progress_monitor")[0]["value"], trt.IProgressMonitor)


def test_the_stop_event_cancels_a_build(scenario, build, idrn):
    stop, steps = threading.Event(), []

    def stop_at_second_step():
        steps.append(1)
        if len(steps) == 2:
            stop.set()

    scenario.on_build_step = stop_at_second_step
    with pytest.raises(BuildError, match="was cancelled"):
        build(idrn, stop=stop)
    assert len(steps) == 2


def test_ctrl_c_cancels_a_build_and_its_handler_is_restored(scenario, build, idrn):
    previous = signal.getsignal(signal.SIGINT)
    scenario.on_build_step = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(BuildError, match="was cancelled"):
        build(idrn)
    assert signal.getsignal(signal.SIGINT) is previous


def test_a_build_in_another_thread_installs_no_signal_handler(scenario, build, idrn):
    results = []
    thread = threading.Thread(target=lambda: results.append(build(idrn)))
    thread.start()
    thread.join()
    assert results[0].plans


def test_an_exception_in_the_report_callback_cancels_the_build_and_propagates(build, idrn):
    def report(progress):
        raise ValueError("report failed")

    with pytest.raises(ValueError, match="report failed"):
        build(idrn, report=report)


def test_parser_errors_are_reported_in_one_line(scenario, build, idrn):
    scenario.parser_errors = [
        {"code": "UNSUPPORTED_NODE", "desc": "no importer\nwas found", "operator": "Foo", "name": "/body/Foo_3"},
        {"code": "INVALID_GRAPH", "desc": "and so on"},
    ]
    with pytest.raises(BuildError) as caught:
        build(idrn)
    message = str(caught.value)
    assert "Foo at node '/body/Foo_3': unsupported node, no importer was found (and 1 more)" in message
    assert "--engine onnxruntime" in message and "\n" not in message


def test_a_parser_failure_without_errors_is_reported(scenario, build, idrn):
    scenario.fails_to_parse = True
    with pytest.raises(BuildError, match="cannot parse the graph: TensorRT gave no reason"):
        build(idrn)


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("Requested amount of GPU memory (123 bytes) could not be allocated: out of memory", "smaller --workspace-mb"),
        (
            "Could not find any implementation for node Conv_3",
            "precision or a larger --workspace-mb or another version",
        ),
        ("something else", "--log-file FILE"),
    ],
)
def test_the_reason_of_a_failed_build_comes_from_the_log(scenario, build, idrn, reason, remedy):
    scenario.build_error = reason
    with pytest.raises(BuildError, match=remedy) as caught:
        build(idrn)
    assert remedy == "--log-file FILE" or reason in str(caught.value)


def test_a_build_fails_if_its_engine_does_not_load(scenario, build, idrn):
    scenario.load_error = "out of memory"
    with pytest.raises(BuildError, match="the new engine does not fit"):
        build(idrn)


def test_a_builder_that_cannot_start_raises_with_the_reason(scenario, build, idrn):
    scenario.fails_to_start = True
    with pytest.raises(BuildError, match="cannot start on this GPU: CUDA initialization failure with error: 35; "):
        build(idrn)


def test_messages_of_tensorrt_are_kept(trt, build, idrn, tmp_path):
    compiled = build(idrn, CompileOptions(log_file=tmp_path / "log.txt"))
    assert "warning: a warning" in compiled.log and not any("verbose" in line for line in compiled.log)
    assert "verbose: a verbose message\n" in (tmp_path / "log.txt").read_text()
    assert compiled.version == trt.__version__ and compiled.seconds > 0


def test_no_cuda_context_is_left_current(build, simulation, idrn):
    build(idrn)
    assert simulation.depth == 0 and simulation.gpu.__exit__.called

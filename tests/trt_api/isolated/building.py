"""Engine builds with strict mocks: the TensorRT calls of each option, and the error of each failure."""

import json
import os
import signal
import threading
from dataclasses import replace

import onnx
import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import BuildError, UsageError
from facesr_edge.engines.tensorrt.builder import SIZES_HW, CompileOptions
from onnx import helper


def profiles(trt):
    return [
        tuple(call[name] for name in ("min", "opt", "max"))
        for call in trt.calls_of("IOptimizationProfile", "set_shape")
    ]


def flags(trt):
    """Flags of the builder configuration."""
    return next(call.stub for call in trt.calls if call.kind == "IBuilderConfig").flags


def test_each_crop_size_has_a_profile_up_to_its_maximum_batch(trt, build, idrn):
    build(idrn)
    assert profiles(trt) == [
        ((1, side, side, 3), (batch, side, side, 3), (batch, side, side, 3))
        for side, batch in ((32, 8), (48, 8), (64, 4), (80, 2), (96, 2), (112, 1), (128, 1))
    ]
    assert {call["input"] for call in trt.calls_of("IOptimizationProfile", "set_shape")} == {"pixels"}
    assert len(trt.calls_of("IBuilderConfig", "add_optimization_profile")) == 7


@pytest.mark.parametrize(
    ("caches", "expected"), [({}, SIZES_HW), ({"sizes_hw": ((64, 96), (32, 32))}, ((64, 96), (32, 32)))]
)
def test_a_detector_has_one_profile_per_size(trt, build, detector, caches, expected):
    build(detector, CompileOptions(**caches))
    assert profiles(trt) == [((1, *size, 3),) * 3 for size in expected]


def test_a_detector_with_sizes_in_its_io_spec_has_a_profile_for_each(trt, build, detector):
    io_spec = replace(detector.card.io_spec, sizes_hw=((96, 128),))
    build(Bundle(detector.folder, replace(detector.card, io_spec=io_spec)))
    assert profiles(trt) == [((1, 96, 128, 3),) * 3]


@pytest.mark.parametrize("sizes", [((100, 96),), (), ((0, 32),)])
def test_invalid_detector_sizes_raise(build, detector, sizes):
    with pytest.raises(UsageError, match="multiple of 32"):
        build(detector, CompileOptions(sizes_hw=sizes))


def test_the_network_is_strongly_typed(trt, build, idrn):
    build(idrn)
    (call,) = trt.calls_of("Builder", "create_network")
    assert call["flags"] == (2 if trt.__version__.startswith("10.") else 1)  # 1 << 1, and 1 << 0 from 11 on


def test_the_bundle_graph_is_parsed_unless_another_is_passed(trt, build, idrn, detector, tmp_path):
    build(idrn)
    other = tmp_path / "fp16.onnx"
    content = idrn.onnx.read_bytes()
    other.write_bytes(content + b"\x12\x05other")  # another producer name
    build(idrn, graph=other)
    assert [call["model"] for call in trt.calls_of("OnnxParser", "parse")] == [content, other.read_bytes()]


@pytest.mark.parametrize(("outputs", "message"), [(["residual"], "residual"), (["enlarged", "maps"], "enlarged, maps")])
def test_a_graph_with_other_outputs_raises(build, tiny, tmp_path, outputs, message):
    model = onnx.load(tiny.onnx)
    model.graph.node.extend([helper.make_node("Identity", ["large"], [name]) for name in outputs if name != "enlarged"])
    del model.graph.output[:]
    model.graph.output.extend([helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs])
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(BuildError, match=rf"one output \(besides 'residual'\), .* has 1 inputs and {message}; export"):
        build(tiny, graph=tmp_path / "other.onnx")


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_disabled_by_default(trt, build, idrn, tf32):
    build(idrn, CompileOptions(tf32=tf32))
    assert ("TF32" in flags(trt)) == tf32


def test_layer_names_are_kept_for_the_profiler(trt, build, idrn):
    compiled = build(idrn)
    assert trt.calls_of("IBuilderConfig", "profiling_verbosity") == [{"value": trt.ProfilingVerbosity.DETAILED}]
    assert [layer["Name"] for layer in json.loads(compiled.layers)["Layers"]] == ["first", "last"]


def test_default_options_set_no_optional_setting(trt, build, idrn):
    build(idrn)
    assert flags(trt) == set()
    for name in ("hardware_compatibility_level", "default_device_type", "DLA_core"):
        assert trt.calls_of("IBuilderConfig", name) == []
    for name in ("set_memory_pool_limit", "create_timing_cache"):
        assert trt.calls_of("IBuilderConfig", name) == []


def test_options_are_passed_to_tensorrt(trt, build, idrn):
    build(idrn, CompileOptions(workspace_mb=512, builder_level=5, hardware_compatible=True, version_compatible=True))
    (pool,) = trt.calls_of("IBuilderConfig", "set_memory_pool_limit")
    assert pool == {"pool": trt.MemoryPoolType.WORKSPACE, "pool_size": 512 * 1024 * 1024}
    assert trt.calls_of("IBuilderConfig", "builder_optimization_level") == [{"value": 5}]
    levels = trt.calls_of("IBuilderConfig", "hardware_compatibility_level")
    assert levels == [{"value": trt.HardwareCompatibilityLevel.AMPERE_PLUS}]
    assert flags(trt) == {"VERSION_COMPATIBLE"}
    assert trt.calls_of("Runtime", "engine_host_code_allowed") == [{"value": True}]


@pytest.mark.parametrize("options", [{"builder_level": 6}, {"builder_level": -1}, {"workspace_mb": 0}, {"dla": -1}])
def test_option_values_out_of_range_raise(options):
    with pytest.raises(UsageError, match="expected"):
        CompileOptions(**options)


def test_a_dla_engine_has_batch_size_1_and_gpu_fallback(trt, scenario, build, idrn):
    scenario.dla_cores = 2
    build(idrn, CompileOptions(dla=1))
    assert trt.calls_of("IBuilderConfig", "default_device_type") == [{"value": trt.DeviceType.DLA}]
    assert trt.calls_of("IBuilderConfig", "DLA_core") == trt.calls_of("Runtime", "DLA_core") == [{"value": 1}]
    assert flags(trt) == {"GPU_FALLBACK"}
    assert all(min_shape == max_shape and min_shape[0] == 1 for min_shape, _, max_shape in profiles(trt))


@pytest.mark.parametrize("cores", [0, 2])
def test_a_dla_core_that_does_not_exist_raises(scenario, build, idrn, cores):
    scenario.dla_cores = cores
    with pytest.raises(BuildError, match=f"below {cores}.*got 2; omit --dla"):
        build(idrn, CompileOptions(dla=2))


def test_a_timing_cache_is_written_and_reused(trt, build, idrn, tmp_path):
    for _ in range(2):
        build(idrn, CompileOptions(timing_cache=tmp_path / "cache"))
    (path,) = (tmp_path / "cache").iterdir()
    assert path.name == f"orin-mock-sm8.7-tensorrt{trt.__version__}.cache"
    caches = [bytes(call["serialized_timing_cache"]) for call in trt.calls_of("IBuilderConfig", "create_timing_cache")]
    assert caches == [b"", path.read_bytes()] and caches[1]
    assert all(call["ignore_mismatch"] is False for call in trt.calls_of("IBuilderConfig", "set_timing_cache"))


@pytest.mark.parametrize("content", [b"invalid", b"timing cache of another GPU"])
def test_a_rejected_timing_cache_is_logged_and_replaced(trt, build, idrn, tmp_path, content):
    path = tmp_path / f"orin-mock-sm8.7-tensorrt{trt.__version__}.cache"
    path.write_bytes(content)
    compiled = build(idrn, CompileOptions(timing_cache=tmp_path))
    assert any("rejected the timing cache" in line for line in compiled.log)
    assert path.read_bytes() == b"timing cache of this GPU"


def test_a_timing_cache_that_cannot_be_written_does_not_fail_the_build(build, idrn, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    compiled = build(idrn, CompileOptions(timing_cache=tmp_path / "file"))
    assert compiled.engine and any("was not written" in line for line in compiled.log)


def test_progress_increases_to_1(trt, build, idrn):
    reports = []
    build(idrn, report=reports.append)
    fractions = [progress.fraction for progress in reports]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert 0.125 in fractions and 0.375 in fractions  # half of a quarter: inner phases are included
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
    assert results[0].engine


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
        ("Could not find any implementation for node Conv_3", "use a newer TensorRT, a larger --workspace-mb"),
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
    assert compiled.tensorrt == trt.__version__ and compiled.seconds > 0


def test_no_cuda_context_is_left_current(build, simulation, idrn):
    build(idrn)
    assert simulation.depth == 0 and simulation.gpu.__exit__.called

"""A whole build, on doubles: what TensorRT was asked for, and what is said when it refuses."""

import json
import os
import signal
import threading
from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.errors import BuildError, UsageError
from facesr_edge.engines.tensorrt.builder import SIZES_HW, CompileOptions


def profiles(trt):
    return [
        tuple(asked[name] for name in ("min", "opt", "max"))
        for asked in trt.asked_of("IOptimizationProfile", "set_shape")
    ]


def flags(trt):
    """Those of the configuration that was built."""
    return next(asked.part for asked in trt.asked if asked.kind == "IBuilderConfig").flags


def test_every_window_has_a_profile_up_to_its_largest_batch(trt, build, idrn):
    build(idrn)
    assert profiles(trt) == [
        ((1, side, side, 3), (most, side, side, 3), (most, side, side, 3))
        for side, most in ((32, 8), (48, 8), (64, 4), (96, 2), (128, 1))
    ]
    assert {asked["input"] for asked in trt.asked_of("IOptimizationProfile", "set_shape")} == {"pixels"}
    assert len(trt.asked_of("IBuilderConfig", "add_optimization_profile")) == 5


@pytest.mark.parametrize(
    ("given", "expected"), [({}, SIZES_HW), ({"sizes_hw": ((64, 96), (32, 32))}, ((64, 96), (32, 32)))]
)
def test_a_detector_has_a_profile_of_each_size_and_no_other(trt, build, detector, given, expected):
    build(detector, CompileOptions(**given))
    assert profiles(trt) == [((1, *size, 3),) * 3 for size in expected]


def test_a_detector_of_one_size_has_that_profile(trt, build, detector):
    io_spec = replace(detector.card.io_spec, sizes_hw=((96, 128),))
    build(Bundle(detector.folder, replace(detector.card, io_spec=io_spec)))
    assert profiles(trt) == [((1, 96, 128, 3),) * 3]


@pytest.mark.parametrize("sizes", [((100, 96),), (), ((0, 32),)])
def test_sizes_that_a_detector_cannot_take_are_refused(build, detector, sizes):
    with pytest.raises(UsageError, match="multiple of 32"):
        build(detector, CompileOptions(sizes_hw=sizes))


def test_the_network_is_strongly_typed_by_the_symbol(trt, build, idrn):
    build(idrn)
    (asked,) = trt.asked_of("Builder", "create_network")
    assert asked["flags"] == (2 if trt.__version__.startswith("10.") else 1)  # 1 << 1, and 1 << 0 from 11 on


def test_the_graph_is_parsed_from_its_own_file_or_the_one_given(trt, build, idrn, detector, tmp_path):
    build(idrn)
    other = tmp_path / "fp16.onnx"
    other.write_bytes(idrn.onnx.read_bytes())
    build(idrn, graph=other)
    assert [asked["model"] for asked in trt.asked_of("OnnxParser", "parse_from_file")] == [str(idrn.onnx), str(other)]


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_off_unless_it_is_asked_for(trt, build, idrn, tf32):
    build(idrn, CompileOptions(tf32=tf32))
    assert ("TF32" in flags(trt)) == tf32


def test_layers_keep_their_names(trt, build, idrn):
    compiled = build(idrn)
    assert trt.asked_of("IBuilderConfig", "profiling_verbosity") == [{"value": trt.ProfilingVerbosity.DETAILED}]
    assert [layer["Name"] for layer in json.loads(compiled.layers)["Layers"]] == ["first", "last"]


def test_plain_options_ask_for_nothing_else(trt, build, idrn):
    build(idrn)
    assert flags(trt) == set()
    for name in ("hardware_compatibility_level", "default_device_type", "DLA_core"):
        assert trt.asked_of("IBuilderConfig", name) == []
    for name in ("set_memory_pool_limit", "create_timing_cache"):
        assert trt.asked_of("IBuilderConfig", name) == []


def test_options_are_asked_for_in_tensorrts_words(trt, build, idrn):
    build(idrn, CompileOptions(workspace_mb=512, builder_level=5, hardware_compatible=True, version_compatible=True))
    (pool,) = trt.asked_of("IBuilderConfig", "set_memory_pool_limit")
    assert pool == {"pool": trt.MemoryPoolType.WORKSPACE, "pool_size": 512 * 1024 * 1024}
    assert trt.asked_of("IBuilderConfig", "builder_optimization_level") == [{"value": 5}]
    levels = trt.asked_of("IBuilderConfig", "hardware_compatibility_level")
    assert levels == [{"value": trt.HardwareCompatibilityLevel.AMPERE_PLUS}]
    assert flags(trt) == {"VERSION_COMPATIBLE"}
    assert trt.asked_of("Runtime", "engine_host_code_allowed") == [{"value": True}]


@pytest.mark.parametrize("wrong", [{"builder_level": 6}, {"builder_level": -1}, {"workspace_mb": 0}, {"dla": -1}])
def test_numbers_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match="expected"):
        CompileOptions(**wrong)


def test_a_dla_core_gets_single_pictures_and_what_it_cannot_do_falls_back_to_the_gpu(trt, said, build, idrn):
    said.dla_cores = 2
    build(idrn, CompileOptions(dla=1))
    assert trt.asked_of("IBuilderConfig", "default_device_type") == [{"value": trt.DeviceType.DLA}]
    assert trt.asked_of("IBuilderConfig", "DLA_core") == trt.asked_of("Runtime", "DLA_core") == [{"value": 1}]
    assert flags(trt) == {"GPU_FALLBACK"}
    assert all(least == most and least[0] == 1 for least, _, most in profiles(trt))


@pytest.mark.parametrize("cores", [0, 2])
def test_a_dla_core_that_is_not_there_is_refused(said, build, idrn, cores):
    said.dla_cores = cores
    with pytest.raises(BuildError, match=f"below {cores}.*got 2; leave --dla out"):
        build(idrn, CompileOptions(dla=2))


def test_a_timing_cache_is_written_and_used_again(trt, build, idrn, tmp_path):
    for _ in range(2):
        build(idrn, CompileOptions(timing_cache=tmp_path / "cache"))
    (path,) = (tmp_path / "cache").iterdir()
    assert path.name == f"orin-double-sm8.7-tensorrt{trt.__version__}.cache"
    given = [bytes(asked["serialized_timing_cache"]) for asked in trt.asked_of("IBuilderConfig", "create_timing_cache")]
    assert given == [b"", path.read_bytes()] and given[1]
    assert all(asked["ignore_mismatch"] is False for asked in trt.asked_of("IBuilderConfig", "set_timing_cache"))


@pytest.mark.parametrize("content", [b"rubbish", b"timing cache of another GPU"])
def test_a_timing_cache_that_is_refused_is_told_and_begins_anew(trt, build, idrn, tmp_path, content):
    path = tmp_path / f"orin-double-sm8.7-tensorrt{trt.__version__}.cache"
    path.write_bytes(content)
    compiled = build(idrn, CompileOptions(timing_cache=tmp_path))
    assert any("refused the timing cache" in line for line in compiled.log)
    assert path.read_bytes() == b"timing cache of this GPU"


def test_an_engine_is_not_lost_for_a_cache_that_cannot_be_written(build, idrn, tmp_path):
    (tmp_path / "file").write_text("in the way")
    compiled = build(idrn, CompileOptions(timing_cache=tmp_path / "file"))
    assert compiled.engine and any("was not written" in line for line in compiled.log)


def test_progress_rises_to_the_end(trt, build, idrn):
    seen = []
    build(idrn, report=seen.append)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1
    assert 0.125 in fractions and 0.375 in fractions  # half of a quarter: inner phases count
    assert seen[0].seconds_left is None and seen[-1].seconds_left == 0
    assert {progress.phase for progress in seen} == {"Building Engine", "Choosing kernels"}
    assert isinstance(trt.asked_of("IBuilderConfig", "progress_monitor")[0]["value"], trt.IProgressMonitor)


def test_a_build_stops_when_it_is_told_to(said, build, idrn):
    stop, times = threading.Event(), []

    def second():
        times.append(1)
        if len(times) == 2:
            stop.set()

    said.while_building = second
    with pytest.raises(BuildError, match="was stopped"):
        build(idrn, stop=stop)
    assert len(times) == 2


def test_ctrl_c_stops_a_build_and_means_what_it_did_before_afterwards(said, build, idrn):
    before = signal.getsignal(signal.SIGINT)
    said.while_building = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(BuildError, match="was stopped"):
        build(idrn)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_build_in_another_thread_is_stopped_by_its_event_alone(said, build, idrn):
    done = []
    thread = threading.Thread(target=lambda: done.append(build(idrn)))
    thread.start()
    thread.join()
    assert done[0].engine


def test_a_report_that_raises_stops_the_build_and_is_heard_of(build, idrn):
    def report(progress):
        raise ValueError("no screen")

    with pytest.raises(ValueError, match="no screen"):
        build(idrn, report=report)


def test_what_the_parser_refuses_is_told_in_a_line(said, build, idrn):
    said.parser_errors = [
        {"code": "UNSUPPORTED_NODE", "desc": "no importer\nwas found", "operator": "Foo", "name": "/body/Foo_3"},
        {"code": "INVALID_GRAPH", "desc": "and so on"},
    ]
    with pytest.raises(BuildError) as caught:
        build(idrn)
    text = str(caught.value)
    assert "Foo at node '/body/Foo_3': unsupported node, no importer was found (and 1 more)" in text
    assert "--target onnxruntime" in text and "\n" not in text


def test_a_parser_that_gives_no_reason_is_told_too(said, build, idrn):
    said.refuses_parse = True
    with pytest.raises(BuildError, match="cannot take the graph: TensorRT gave no reason"):
        build(idrn)


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("Requested amount of GPU memory (123 bytes) could not be allocated: out of memory", "less --workspace-mb"),
        ("Could not find any implementation for node Conv_3", "use a newer TensorRT, more --workspace-mb"),
        ("something else", "--log-file FILE"),
    ],
)
def test_why_a_build_gave_nothing_is_read_from_the_log(said, build, idrn, reason, remedy):
    said.build_error = reason
    with pytest.raises(BuildError, match=remedy) as caught:
        build(idrn)
    assert remedy == "--log-file FILE" or reason in str(caught.value)


def test_an_engine_that_does_not_load_is_no_engine(said, build, idrn):
    said.load_error = "out of memory"
    with pytest.raises(BuildError, match="the engine just built does not fit"):
        build(idrn)


def test_tensorrt_that_cannot_start_says_why(said, build, idrn):
    said.refuses_start = True
    with pytest.raises(BuildError, match="cannot start on this GPU: CUDA initialization failure with error: 35; "):
        build(idrn)


def test_what_tensorrt_says_is_kept(trt, build, idrn, tmp_path):
    compiled = build(idrn, CompileOptions(log_file=tmp_path / "log.txt"))
    assert "warning: a warning" in compiled.log and not any("verbose" in line for line in compiled.log)
    assert "verbose: a verbose message\n" in (tmp_path / "log.txt").read_text()
    assert compiled.tensorrt == trt.__version__ and compiled.seconds > 0


def test_no_context_is_left_current(build, simulation, idrn):
    build(idrn)
    assert simulation.depth == 0 and simulation.gpu.__exit__.called

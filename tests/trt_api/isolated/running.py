"""A whole session, on doubles: compiled, loaded and run; it gives what ONNX Runtime gives, by the right addresses."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import Bundle, write_bundle
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.tensorrt.builder import CompileOptions
from facesr_edge.engines.tensorrt.loader import current_engine_info
from facesr_edge.engines.tensorrt.session import TrtSession
from gpu_double import Simulation
from onnx import TensorProto, helper, numpy_helper

SHAPES = [(n, side) for side, most in ((32, 8), (48, 8), (64, 4), (96, 2), (128, 1)) for n in (1, 2, 4, 8) if n <= most]
SMALL = ((64, 96), (32, 32))


@pytest.fixture
def compiled(build, simulation, tmp_path):
    """A bundle as its build leaves it on the device, engine and key included."""

    def made(bundle, **options):
        made = build(bundle, CompileOptions(**options))
        key = replace(current_engine_info(bundle, simulation.gpu), version_compatible=options.get("any_version", False))
        key = replace(key, dla=options.get("dla"))
        contents = {"model.onnx": bundle.onnx.read_bytes(), "model.engine": made.engine}
        return write_bundle(tmp_path / bundle.card.name, replace(bundle.card, engine=key), contents)

    return made


@pytest.fixture(scope="session")
def tiny(idrn, tmp_path_factory):
    """A bundle of two windows that enlarges linearly, for what does not depend on the network."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Resize", ["float", "", "scales"], ["large"], mode="linear"),
        helper.make_node("Cast", ["large"], ["enlarged"], to=TensorProto.UINT8),
    ]
    inputs = [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", "height", "width", 3])]
    outputs = [helper.make_tensor_value_info("enlarged", TensorProto.UINT8, ["batch", "4*height", "4*width", 3])]
    scales = [numpy_helper.from_array(np.array([1, 4, 4, 1], np.float32), "scales")]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, scales)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    card = replace(idrn.card, name="tiny", io_spec=replace(idrn.card.io_spec, windows=(32, 48)))
    return write_bundle(tmp_path_factory.mktemp("bundles") / "tiny", card, {"model.onnx": model.SerializeToString()})


@pytest.fixture
def session(compiled, tiny, simulation, trt):
    session = TrtSession(compiled(tiny), simulation.gpu)
    trt.asked.clear()
    yield session
    session.close()


def pictures(count, height, width):
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)


def contexts(trt):
    """Every execution context that was asked for anything -> what it was asked for, in order."""
    asked = {}
    for question in trt.asked:
        if question.kind == "IExecutionContext":
            asked.setdefault(question.part, []).append(question.name)
    return asked


@pytest.mark.parametrize("side", [32, 48])
@pytest.mark.parametrize("count", [1, 2, 3, 9, 20])
def test_any_number_of_crops_gives_what_onnx_runtime_gives(session, tiny, count, side):
    batch = pictures(count, side, side)
    for _ in range(2):  # as it is, then as a graph
        np.testing.assert_array_equal(session.infer(batch), OrtSession(tiny, threads=1).infer(batch))


def test_idrn_gives_what_onnx_runtime_gives(compiled, simulation, idrn):
    session, other = TrtSession(compiled(idrn), simulation.gpu), OrtSession(idrn, threads=1)
    for count, side in ((3, 32), (1, 48)):
        batch = pictures(count, side, side)
        for _ in range(2):  # as it is, then as a graph
            result = session.infer(batch)
            assert result.shape == (count, 4 * side, 4 * side, 3) and result.dtype == np.uint8
            assert np.abs(result.astype(int) - other.infer(batch)).max() <= 1


def test_the_detector_gives_what_onnx_runtime_gives(compiled, simulation, detector):
    session, other = TrtSession(compiled(detector, sizes_hw=SMALL), simulation.gpu), OrtSession(detector, threads=1)
    assert session.io_spec.sizes_hw == SMALL
    for height, width in SMALL:
        frames = pictures(2, height, width)
        result = session.infer(frames)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, other.infer(frames), atol=1e-4)
    with pytest.raises(EngineError, match=r"expected 96x64, 32x32 px, got 64x64; pad"):
        session.infer(pictures(1, 64, 64))


def test_every_shape_has_a_context_of_its_own_that_is_ready_before_it_runs(compiled, simulation, trt, idrn):
    bundle = compiled(idrn)
    trt.asked.clear()
    TrtSession(bundle, simulation.gpu)
    made = list(contexts(trt).values())
    ready = ["set_optimization_profile_async", "set_input_shape", "set_device_memory", "get_tensor_shape"]
    assert made == [[*ready, "set_tensor_address", "set_tensor_address"]] * len(SHAPES)
    shapes = [asked["shape"] for asked in trt.asked_of("IExecutionContext", "set_input_shape")]
    assert shapes == [(n, side, side, 3) for n, side in SHAPES]
    profiles = [asked["profile_index"] for asked in trt.asked_of("IExecutionContext", "set_optimization_profile_async")]
    assert profiles == [(32, 48, 64, 96, 128).index(side) for _, side in SHAPES]


def test_addresses_are_of_buffers_large_enough_and_of_nobody_else(compiled, simulation, trt, tiny):
    bundle = compiled(tiny)
    trt.asked.clear()
    TrtSession(bundle, simulation.gpu)
    addresses = trt.asked_of("IExecutionContext", "set_tensor_address")
    shapes = [asked["shape"] for asked in trt.asked_of("IExecutionContext", "set_input_shape")]
    assert len({asked["memory"] for asked in addresses}) == len(addresses) == 2 * len(shapes)
    for asked, shape in zip(addresses, [shape for shape in shapes for _ in range(2)], strict=True):
        nbytes = int(np.prod(shape)) * (1 if asked["name"] == "pixels" else 16)
        assert simulation.at(asked["memory"], nbytes).nbytes == nbytes


def test_all_contexts_share_one_scratch_memory(compiled, simulation, trt, tiny):
    TrtSession(compiled(tiny), simulation.gpu)
    strategies = {asked["strategy"].name for asked in trt.asked_of("ICudaEngine", "create_execution_context")}
    memories = {(asked["memory"], asked["size"]) for asked in trt.asked_of("IExecutionContext", "set_device_memory")}
    assert strategies == {"USER_MANAGED"} and len(memories) == 1


def test_a_graph_is_captured_once_a_shape_and_launched_from_then_on(session, simulation, trt):
    for _ in range(3):
        for count in (1, 2, 4, 8):
            session.infer(pictures(count, 32, 32))
    assert len(simulation.captured) == 4 and [len(work) for work in simulation.captured] == [1] * 4
    assert simulation.launched == 2 * 4
    runs = [asked["stream_handle"] for asked in trt.asked_of("IExecutionContext", "execute_async_v3")]
    assert runs == [simulation.stream.handle] * 8  # once as it is, once to be captured
    assert session.runtime == f"TensorRT {trt.__version__} (Orin (double), CUDA graphs)"


def test_warming_up_captures_every_shape(session, simulation):
    session.warm_up()
    assert len(simulation.captured) == 8
    session.warm_up()
    assert len(simulation.captured) == 8 and simulation.launched == 8


def test_bindings_without_graphs_run_without_and_say_so(compiled, build, tiny, trt, monkeypatch, said):
    bundle, plain = compiled(tiny), Simulation(graphs=False)
    said.gpu = plain
    session = TrtSession(bundle, plain.gpu)
    assert session.runtime.endswith("no CUDA graphs: pycuda 2026.1 captures none)")
    for _ in range(2):
        np.testing.assert_array_equal(session.infer(pictures(1, 32, 32)), OrtSession(tiny).infer(pictures(1, 32, 32)))
    assert plain.gpu.capture.call_count == 0


def test_a_run_that_cannot_be_captured_goes_on_without_a_graph_and_says_so(compiled, tiny, said):
    bundle, refusing = compiled(tiny), Simulation(refuses="the stream was invalidated")
    said.gpu = refusing
    session = TrtSession(bundle, refusing.gpu)
    assert session.runtime.endswith("CUDA graphs)")
    for _ in range(2):
        np.testing.assert_array_equal(session.infer(pictures(1, 32, 32)), OrtSession(tiny).infer(pictures(1, 32, 32)))
    assert session.runtime.endswith("no CUDA graphs: the stream was invalidated)")
    assert refusing.gpu.capture.call_count == 1


def test_memory_stays_as_it_is_once_loaded(session, simulation):
    before = simulation.gpu.empty.call_count, simulation.gpu.pinned.call_count, len(simulation.memory)
    for count in (1, 3, 7, 20):
        session.infer(pictures(count, 48, 48))
    assert (simulation.gpu.empty.call_count, simulation.gpu.pinned.call_count, len(simulation.memory)) == before


def test_a_result_is_the_callers_own(session):
    first = session.infer(pictures(2, 32, 32))
    kept = first.copy()
    session.infer(pictures(1, 32, 32)), session.infer(pictures(2, 32, 32)[::-1])
    np.testing.assert_array_equal(first, kept)


def test_what_the_contract_forbids_is_refused(session, simulation):
    copied = len(simulation.copied)
    for wrong in (
        pictures(1, 64, 64),
        pictures(1, 32, 48),
        pictures(0, 32, 32),
        pictures(1, 32, 32).astype(np.float32),
    ):
        with pytest.raises(EngineError, match="expected"):
            session.infer(wrong)
    assert len(simulation.copied) == copied and simulation.depth == 0


@pytest.mark.parametrize("count", [1, 2, 3, 13])
def test_a_batch_on_the_gpu_stays_there(session, simulation, count):
    batch = pictures(count, 32, 32)
    expected = session.infer(batch)
    on_gpu = simulation.empty(batch.shape, batch.dtype)
    simulation.memory[on_gpu.pointer][:] = batch.reshape(-1)
    simulation.copied.clear()
    result = session.infer_on_device(on_gpu)
    assert set(simulation.copied) == {"within"} and result.stream is simulation.stream
    simulation.run()
    got = simulation.at(result.pointer, result.nbytes).reshape(result.shape)
    np.testing.assert_array_equal(got, expected)


def test_results_on_the_gpu_use_the_same_memory_again(session, simulation):
    on_gpu = simulation.empty((5, 32, 32, 3), np.uint8)
    first = session.infer_on_device(on_gpu)
    allocated = simulation.gpu.empty.call_count
    assert session.infer_on_device(on_gpu).pointer == first.pointer
    assert session.infer_on_device(on_gpu.leading(3)).pointer == first.pointer
    assert simulation.gpu.empty.call_count == allocated


def test_the_work_that_fills_a_batch_is_waited_for(session, simulation):
    class Theirs:
        def __init__(self, array):
            self.array, self.__cuda_array_interface__ = array, {**array.__cuda_array_interface__, "stream": 7}

    session.infer_on_device(Theirs(simulation.empty((1, 32, 32, 3), np.uint8)))
    simulation.stream.follow.assert_called_once_with(7)


def test_an_array_on_the_host_is_refused(session):
    with pytest.raises(EngineError, match="expected an array"):
        session.infer_on_device(pictures(1, 32, 32))


def test_layers_are_timed_in_a_context_of_their_own(session, simulation, trt):
    before = session.infer(pictures(2, 32, 32))
    launched, runs = simulation.launched, 3
    times = session.layer_times(pictures(2, 32, 32), runs)
    assert [(layer.name, layer.kind, layer.ms) for layer in times] == [
        ("first", "CaskConvolution", 1.5),
        ("last", "", 0.25),
    ]
    assert simulation.launched == launched
    assert len(trt.asked_of("IExecutionContext", "profiler")) == 1
    np.testing.assert_array_equal(session.infer(pictures(2, 32, 32)), before)
    assert simulation.launched == launched + 1  # the graph is as it was
    with pytest.raises(EngineError, match="runs in one call, at most 8, got 9"):
        session.layer_times(pictures(9, 32, 32))


def test_what_tensorrt_says_when_a_run_fails_is_told(session, said):
    said.run_error = "an illegal memory access"
    with pytest.raises(EngineError, match="TensorRT failed to run: an illegal memory access"):
        session.infer(pictures(1, 32, 32))


def test_tensorrt_is_given_one_logger_for_good_and_every_session_hears_it(build, simulation, said, tiny):
    engine, loggers, sessions = build(tiny).engine, [said.logger], []
    for _ in range(2):
        sessions.append(TrtSession(tiny, simulation.gpu, engine=engine))
        loggers.append(said.logger)
    assert all(logger is loggers[0] for logger in loggers)
    sessions.pop(0).close()  # the first one's logger is still there for the second
    said.run_error = "an illegal memory access"
    with pytest.raises(EngineError, match="an illegal memory access"):
        sessions[0].infer(pictures(1, 32, 32))


def test_a_bundle_without_an_engine_says_how_to_get_one(simulation, trt, tiny):
    with pytest.raises(EngineError, match=r"holds no compiled engine; compile it.*facesr-edge build"):
        TrtSession(tiny, simulation.gpu)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"compute_capability": "9.0", "gpu": "H200"}, r"for compute capability 9.0 \(H200\), this GPU has 8.7"),
        ({"version": "10.0.1"}, r"by TensorRT 10.0.1, this is"),
        ({"onnx": "0" * 64}, "from another graph"),
    ],
)
def test_an_engine_of_another_device_is_refused_in_words_before_it_is_loaded(
    compiled, simulation, trt, tiny, change, told
):
    bundle = compiled(tiny)
    trt.asked.clear()
    other = Bundle(bundle.folder, replace(bundle.card, engine=replace(bundle.card.engine, **change)))
    with pytest.raises(EngineError, match=f"{told}.*compile it again: facesr-edge build"):
        TrtSession(other, simulation.gpu)
    assert trt.asked_of("Runtime", "deserialize_cuda_engine") == []


def test_an_engine_that_was_just_compiled_runs_before_it_is_in_a_bundle(build, simulation, tiny):
    session = TrtSession(tiny, simulation.gpu, engine=build(tiny).engine)
    np.testing.assert_array_equal(session.infer(pictures(1, 48, 48)), OrtSession(tiny).infer(pictures(1, 48, 48)))


@pytest.mark.parametrize("allowed", [False, True])
def test_code_for_the_host_runs_only_where_the_card_says_that_there_is_some(compiled, simulation, trt, tiny, allowed):
    bundle = compiled(tiny, version_compatible=True)
    bundle = Bundle(bundle.folder, replace(bundle.card, engine=replace(bundle.card.engine, version_compatible=allowed)))
    if allowed:
        assert TrtSession(bundle, simulation.gpu).infer(pictures(1, 32, 32)).shape == (1, 128, 128, 3)
    else:
        with pytest.raises(EngineError, match="host code, which is not allowed; compile it again"):
            TrtSession(bundle, simulation.gpu)


def test_a_dla_engine_is_loaded_on_its_core_and_runs_one_by_one(compiled, said, simulation, trt, tiny):
    said.dla_cores = 2
    bundle = compiled(tiny, dla=1)
    trt.asked.clear()
    session = TrtSession(bundle, simulation.gpu)
    assert trt.asked_of("Runtime", "DLA_core") == [{"value": 1}]
    assert session.infer(pictures(3, 32, 32)).shape == (3, 128, 128, 3) and len(simulation.captured) == 1


def test_tensorrt_that_cannot_load_says_why(compiled, said, simulation, tiny):
    bundle = compiled(tiny)
    said.load_error = "Serialization assertion failed: stdVersionRead == kSERIALIZATION_VERSION"
    with pytest.raises(EngineError, match=r"cannot be loaded by TensorRT .*Serialization assertion.*compile it again"):
        TrtSession(bundle, simulation.gpu)


def test_tensorrt_that_cannot_start_says_why(compiled, said, simulation, tiny):
    bundle = compiled(tiny)
    said.refuses_start = True
    with pytest.raises(EngineError, match="cannot start on this GPU: CUDA initialization failure"):
        TrtSession(bundle, simulation.gpu)


def test_an_engine_that_lacks_a_window_is_refused_when_it_is_loaded(build, simulation, tiny):
    engine = build(tiny).engine
    wider = Bundle(tiny.folder, replace(tiny.card, io_spec=replace(tiny.card.io_spec, windows=(32, 48, 64))))
    with pytest.raises(EngineError, match="not compiled for single pictures of 64x64"):
        TrtSession(wider, simulation.gpu, engine=engine)


def test_closing_gives_all_back_and_closing_twice_is_harmless(compiled, simulation, tiny, monkeypatch):
    from facesr_edge.engines.tensorrt import session as trt_session

    monkeypatch.setattr(trt_session, "Gpu", lambda: simulation.gpu)
    bundle = compiled(tiny)
    simulation.gpu.__exit__.reset_mock()
    simulation.memory.clear()
    arrays, empty = [], simulation.empty
    simulation.gpu.empty.side_effect = lambda shape, dtype: arrays.append(empty(shape, dtype)) or arrays[-1]
    session = TrtSession(bundle)
    session.infer(pictures(1, 32, 32))
    for _ in range(2):
        session.close()
    for array in arrays:
        with pytest.raises(EngineError, match="closed"):
            _ = array.pointer
    assert simulation.stream.close.call_count == 1 and simulation.gpu.__exit__.call_count == 1
    for use in (session.infer, session.infer_on_device, session.layer_times):
        with pytest.raises(EngineError, match="the engine is closed; load it again"):
            use(pictures(1, 32, 32))


def test_a_gpu_that_was_given_stays_open(session, simulation):
    session.close()
    assert simulation.gpu.__exit__.call_count == 1  # that of the build

"""TensorRT sessions with strict mocks: results equal those of ONNX Runtime, through the right addresses."""

from dataclasses import replace
from unittest.mock import create_autospec

import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.cuda.streams import Event
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.tensorrt.session import MAX_SOURCES, TrtSession
from inputs import images
from strict_mock_gpu import Simulation

MAX_BATCH = {32: 8, 48: 8, 64: 4, 80: 2, 96: 2, 112: 1, 128: 1}
SHAPES = [(n, side) for side, batch in MAX_BATCH.items() for n in (1, 2, 4, 8) if n <= batch]
SMALL = ((64, 96), (32, 32))


@pytest.fixture
def session(compiled, tiny, simulation, trt):
    session = TrtSession(compiled(tiny), simulation.gpu)
    trt.calls.clear()
    yield session
    session.close()


def engines_of(result):
    return {size: plan.engine for size, plan in result.plans.items()}


def contexts(trt):
    """Execution context -> names of its calls, in order."""
    names = {}
    for call in trt.calls:
        if call.kind == "IExecutionContext":
            names.setdefault(call.stub, []).append(call.name)
    return names


@pytest.mark.parametrize("side", [32, 48])
@pytest.mark.parametrize("count", [1, 2, 3, 9, 20])
def test_any_batch_size_equals_onnx_runtime(session, tiny, count, side):
    batch = images(count, side, side)
    for _ in range(2):  # direct, then as a CUDA graph
        np.testing.assert_array_equal(session.infer(batch), OrtSession(tiny, threads=1).infer(batch))


def test_idrn_equals_onnx_runtime(compiled, simulation, idrn):
    session, reference = TrtSession(compiled(idrn), simulation.gpu), OrtSession(idrn, threads=1)
    for count, side in ((3, 32), (1, 48)):
        batch = images(count, side, side)
        for _ in range(2):  # direct, then as a CUDA graph
            result = session.infer(batch)
            assert result.shape == (count, 4 * side, 4 * side, 3) and result.dtype == np.uint8
            assert np.abs(result.astype(int) - reference.infer(batch)).max() <= 1


def test_the_detector_equals_onnx_runtime(compiled, simulation, detector):
    session, reference = TrtSession(compiled(detector, sizes_hw=SMALL), simulation.gpu), OrtSession(detector, threads=1)
    assert session.io_spec.sizes_hw == tuple(sorted(SMALL))
    for height, width in SMALL:
        frames = images(2, height, width)
        result = session.infer(frames)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, reference.infer(frames), atol=1e-4)
    with pytest.raises(EngineError, match=r"expected 32x32, 96x64 px, got 64x64; pad"):
        session.infer(images(1, 64, 64))


def test_each_shape_has_a_context_prepared_at_load_time(compiled, simulation, trt, idrn):
    bundle = compiled(idrn)
    trt.calls.clear()
    TrtSession(bundle, simulation.gpu)
    calls = list(contexts(trt).values())
    setup = ["set_optimization_profile_async", "set_input_shape", "set_device_memory"]
    outputs, tensors = ["get_tensor_shape"] * 2, ["set_tensor_address"] * 3
    assert calls == [[*setup, *outputs, *tensors]] * len(SHAPES)
    shapes = [call["shape"] for call in trt.calls_of("IExecutionContext", "set_input_shape")]
    assert shapes == [(n, side, side, 3) for n, side in SHAPES]
    profiles = [call["profile_index"] for call in trt.calls_of("IExecutionContext", "set_optimization_profile_async")]
    assert profiles == [0] * len(SHAPES)  # each size has an engine of its own
    assert len(trt.calls_of("Runtime", "deserialize_cuda_engine")) == len(MAX_BATCH)


def test_tensor_addresses_are_distinct_buffers_of_sufficient_size(compiled, simulation, trt, edge):
    bundle = compiled(edge)
    trt.calls.clear()
    TrtSession(bundle, simulation.gpu)
    addresses = trt.calls_of("IExecutionContext", "set_tensor_address")
    shapes = [call["shape"] for call in trt.calls_of("IExecutionContext", "set_input_shape")]
    assert len({call["memory"] for call in addresses}) == len(addresses) == 3 * len(shapes)
    for call, shape in zip(addresses, [shape for shape in shapes for _ in range(3)], strict=True):
        pixels = int(np.prod(shape))
        nbytes = {"pixels": pixels, "enlarged": 16 * pixels, "residual": 4 * shape[0]}[call["name"]]
        assert simulation.at(call["memory"], nbytes).nbytes == nbytes


@pytest.mark.parametrize("count", [1, 2, 3, 13])
def test_the_residual_equals_onnx_runtime(compiled, simulation, edge, count):
    session, reference = TrtSession(compiled(edge), simulation.gpu), OrtSession(edge, threads=1)
    batches = [images(count, 32, 32), images(2, 48, 48)]
    for _ in range(2):  # direct, then as a CUDA graph
        outputs = session.infer_batches(batches)
        for output, expected in zip(outputs, reference.infer_batches(batches), strict=True):
            np.testing.assert_array_equal(output.tensor, expected.tensor)
            assert output.residual.dtype == np.float32
            np.testing.assert_allclose(output.residual, expected.residual, rtol=1e-4)


def test_an_engine_of_one_output_has_no_residual(session, simulation):
    batch = images(3, 32, 32)
    (output,) = session.infer_batches([batch])
    assert output.residual is None
    np.testing.assert_array_equal(output.tensor, session.infer(batch))
    assert session.output_on_device(simulation.empty(batch.shape, np.uint8)).residual is None


def test_all_contexts_share_the_activation_memory(compiled, simulation, trt, tiny):
    TrtSession(compiled(tiny), simulation.gpu)
    strategies = {call["strategy"].name for call in trt.calls_of("ICudaEngine", "create_execution_context")}
    memories = {(call["memory"], call["size"]) for call in trt.calls_of("IExecutionContext", "set_device_memory")}
    assert strategies == {"USER_MANAGED"} and len(memories) == 1


def test_a_cuda_graph_is_captured_once_per_shape_and_then_launched(session, simulation, trt):
    for _ in range(3):
        for count in (1, 2, 4, 8):
            session.infer(images(count, 32, 32))
    assert len(simulation.captured) == 4 and [len(work) for work in simulation.captured] == [1] * 4
    assert simulation.launched == 2 * 4
    runs = [call["stream_handle"] for call in trt.calls_of("IExecutionContext", "execute_async_v3")]
    assert runs == [simulation.stream.handle] * 8  # one direct, one captured
    assert session.runtime == f"TensorRT {trt.__version__} (Orin (mock), CUDA graphs)"


def test_warming_up_captures_every_shape(session, simulation):
    session.warm_up()
    assert len(simulation.captured) == 8
    session.warm_up()
    assert len(simulation.captured) == 8 and simulation.launched == 8


def test_bindings_without_cuda_graphs_run_directly(compiled, build, tiny, trt, monkeypatch, scenario):
    bundle, no_graphs = compiled(tiny), Simulation(graphs=False)
    scenario.gpu = no_graphs
    session = TrtSession(bundle, no_graphs.gpu)
    assert session.runtime.endswith("no CUDA graphs: not supported by pycuda 2026.1)")
    for _ in range(2):
        np.testing.assert_array_equal(session.infer(images(1, 32, 32)), OrtSession(tiny).infer(images(1, 32, 32)))
    assert no_graphs.gpu.capture.call_count == 0


def test_a_failed_capture_falls_back_to_direct_runs(compiled, tiny, scenario):
    bundle, failing = compiled(tiny), Simulation(capture_error="the stream was invalidated")
    scenario.gpu = failing
    session = TrtSession(bundle, failing.gpu)
    assert session.runtime.endswith("CUDA graphs)")
    for _ in range(2):
        np.testing.assert_array_equal(session.infer(images(1, 32, 32)), OrtSession(tiny).infer(images(1, 32, 32)))
    assert session.runtime.endswith("no CUDA graphs: the stream was invalidated)")
    assert failing.gpu.capture.call_count == 1


def test_nothing_is_allocated_after_loading(session, simulation):
    before = simulation.gpu.empty.call_count, simulation.gpu.pinned.call_count, len(simulation.memory)
    for count in (1, 3, 7, 20):
        session.infer(images(count, 48, 48))
    assert (simulation.gpu.empty.call_count, simulation.gpu.pinned.call_count, len(simulation.memory)) == before


def test_a_result_is_not_overwritten_by_later_calls(session):
    first = session.infer(images(2, 32, 32))
    copy = first.copy()
    session.infer(images(1, 32, 32)), session.infer(images(2, 32, 32)[::-1])
    np.testing.assert_array_equal(first, copy)


def test_inputs_that_violate_the_io_spec_raise(session, simulation):
    copied = len(simulation.copied)
    for wrong in (
        images(1, 64, 64),
        images(1, 32, 48),
        images(0, 32, 32),
        images(1, 32, 32).astype(np.float32),
    ):
        with pytest.raises(EngineError, match="expected"):
            session.infer(wrong)
    assert len(simulation.copied) == copied and simulation.depth == 0


@pytest.mark.parametrize("count", [1, 2, 3, 13])
def test_infer_on_device_makes_no_host_copy(session, simulation, count):
    batch = images(count, 32, 32)
    expected = session.infer(batch)
    on_gpu = simulation.empty(batch.shape, batch.dtype)
    simulation.memory[on_gpu.pointer][:] = batch.reshape(-1)
    simulation.copied.clear()
    result = session.infer_on_device(on_gpu)
    assert set(simulation.copied) == {"within"} and result.stream is simulation.stream
    simulation.run()
    actual = simulation.at(result.pointer, result.nbytes).reshape(result.shape)
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("count", [1, 2, 3, 13])
def test_output_on_device_has_the_residual_without_synchronization(compiled, simulation, edge, count):
    session, batch = TrtSession(compiled(edge), simulation.gpu), images(count, 32, 32)
    session.warm_up()
    (expected,) = session.infer_batches([batch])
    on_gpu = simulation.empty(batch.shape, batch.dtype)
    simulation.memory[on_gpu.pointer][:] = batch.reshape(-1)
    simulation.copied.clear()
    simulation.stream.synchronize.reset_mock()
    output = session.output_on_device(on_gpu)
    assert set(simulation.copied) == {"within"} and not simulation.stream.synchronize.called
    simulation.run()
    for array, values in zip(output, expected, strict=True):
        actual = simulation.at(array.pointer, array.nbytes).view(array.dtype).reshape(array.shape)
        assert array.stream is simulation.stream and array.dtype == values.dtype
        np.testing.assert_array_equal(actual, values)


def test_infer_on_device_reuses_its_output_memory(session, simulation):
    on_gpu = simulation.empty((5, 32, 32, 3), np.uint8)
    first = session.infer_on_device(on_gpu)
    allocated = simulation.gpu.empty.call_count
    assert session.infer_on_device(on_gpu).pointer == first.pointer
    assert session.infer_on_device(on_gpu.leading(3)).pointer == first.pointer
    assert simulation.gpu.empty.call_count == allocated


@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_input_of_the_engine_is_not_copied(session, simulation, count):
    batch = images(count, 32, 32)
    expected = session.infer(batch)
    for _ in range(2):
        array = session.input_of(batch.shape)
        assert array.shape == batch.shape and array.stream is simulation.stream
        simulation.at(array.pointer, array.nbytes)[:] = batch.reshape(-1)
        simulation.copied.clear()
        result = session.output_on_device(array).tensor
        assert not simulation.copied
        simulation.run()
        actual = simulation.at(result.pointer, result.nbytes).reshape(result.shape)
        np.testing.assert_array_equal(actual, expected)


def test_a_batch_of_several_calls_has_no_input_of_the_engine(session):
    assert session.input_of((3, 32, 32, 3)) is None and session.input_of((13, 32, 32, 3)) is None
    with pytest.raises(EngineError, match="expected square crops"):
        session.input_of((1, 33, 33, 3))
    session.close()
    with pytest.raises(EngineError, match="the engine is closed; load it again"):
        session.input_of((1, 32, 32, 3))


def test_arrays_of_the_caller_are_released_without_waiting_for_the_stream(session, simulation):
    session.warm_up()
    waited = []
    simulation.gpu.event.side_effect = lambda: event_of(simulation, waited)
    simulation.stream.synchronize.reset_mock()
    array = simulation.empty((1, 32, 32, 3), np.uint8)
    for n in range(3 * MAX_SOURCES):
        session.infer_on_device(array)
        assert len(session._sources) == min(n + 1, MAX_SOURCES)
    assert not simulation.stream.synchronize.called and len(waited) == 2 * MAX_SOURCES, "only the oldest are waited for"
    simulation.run()
    session.infer_on_device(array)
    assert len(session._sources) == 1 and len(waited) == 2 * MAX_SOURCES


def event_of(simulation, waited):
    """An event that is reached when the queue of the stream is empty; waiting for it is noted in `waited`."""
    event = create_autospec(Event, instance=True)
    event.reached.side_effect = lambda: not simulation.queue
    event.synchronize.side_effect = lambda: None if not simulation.queue else waited.append(event)
    return event


def test_infer_on_device_waits_for_the_stream_of_its_input(session, simulation):
    class OtherLibrary:
        def __init__(self, array):
            self.array, self.__cuda_array_interface__ = array, {**array.__cuda_array_interface__, "stream": 7}

    session.infer_on_device(OtherLibrary(simulation.empty((1, 32, 32, 3), np.uint8)))
    simulation.stream.wait_for.assert_called_once_with(7)


def test_infer_on_device_rejects_a_host_array(session):
    with pytest.raises(EngineError, match="expected an array"):
        session.infer_on_device(images(1, 32, 32))


def test_layer_times_use_a_separate_context(session, simulation, trt):
    before = session.infer(images(2, 32, 32))
    launched, runs = simulation.launched, 3
    times = session.layer_times(images(2, 32, 32), runs)
    assert [(layer.name, layer.kind, layer.ms) for layer in times] == [
        ("first", "CaskConvolution", 1.5),
        ("last", "", 0.25),
    ]
    assert simulation.launched == launched
    assert len(trt.calls_of("IExecutionContext", "profiler")) == 1
    np.testing.assert_array_equal(session.infer(images(2, 32, 32)), before)
    assert simulation.launched == launched + 1  # the CUDA graph is unchanged
    with pytest.raises(EngineError, match="a batch of at most 8, one call, got 9"):
        session.layer_times(images(9, 32, 32))


def test_a_failed_inference_raises_with_the_reason(session, scenario):
    scenario.run_error = "an illegal memory access"
    with pytest.raises(EngineError, match="TensorRT inference failed: an illegal memory access"):
        session.infer(images(1, 32, 32))


def test_one_logger_per_process_serves_every_session(build, simulation, scenario, tiny):
    engines, loggers, sessions = engines_of(build(tiny)), [scenario.logger], []
    for _ in range(2):
        sessions.append(TrtSession(tiny, simulation.gpu, engines=engines))
        loggers.append(scenario.logger)
    assert all(logger is loggers[0] for logger in loggers)
    sessions.pop(0).close()  # the logger outlives the first session
    scenario.run_error = "an illegal memory access"
    with pytest.raises(EngineError, match="an illegal memory access"):
        sessions[0].infer(images(1, 32, 32))


def test_a_bundle_without_an_engine_raises(simulation, trt, tiny):
    with pytest.raises(EngineError, match=r"has no compiled engine; compile one.*facesr-edge build"):
        TrtSession(tiny, simulation.gpu)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"compute_capability": "9.0", "gpu": "H200"}, r"for compute capability 9.0 \(H200\), this GPU has 8.7"),
        ({"version": "10.0.1"}, r"by TensorRT 10.0.1, this is"),
        ({"onnx": "0" * 64}, "from another graph"),
    ],
)
def test_an_incompatible_engine_raises_before_it_is_deserialized(compiled, simulation, trt, tiny, change, reason):
    bundle = compiled(tiny)
    trt.calls.clear()
    other = Bundle(bundle.folder, replace(bundle.card, engine=replace(bundle.card.engine, **change)))
    with pytest.raises(EngineError, match=f"{reason}.*compile it again: facesr-edge build"):
        TrtSession(other, simulation.gpu)
    assert trt.calls_of("Runtime", "deserialize_cuda_engine") == []


def test_a_new_engine_runs_before_it_is_written_to_a_bundle(build, simulation, tiny):
    session = TrtSession(tiny, simulation.gpu, engines=engines_of(build(tiny)))
    np.testing.assert_array_equal(session.infer(images(1, 48, 48)), OrtSession(tiny).infer(images(1, 48, 48)))


@pytest.mark.parametrize("allowed", [False, True])
def test_host_code_is_allowed_only_if_the_card_declares_it(compiled, simulation, trt, tiny, allowed):
    bundle = compiled(tiny, version_compatible=True)
    bundle = Bundle(bundle.folder, replace(bundle.card, engine=replace(bundle.card.engine, version_compatible=allowed)))
    if allowed:
        assert TrtSession(bundle, simulation.gpu).infer(images(1, 32, 32)).shape == (1, 128, 128, 3)
    else:
        with pytest.raises(EngineError, match="host code, which is not allowed; compile it again"):
            TrtSession(bundle, simulation.gpu)


def test_a_dla_engine_is_loaded_on_its_core_and_runs_batch_size_1(compiled, scenario, simulation, trt, tiny):
    scenario.dla_cores = 2
    bundle = compiled(Bundle(tiny.folder, replace(tiny.card, precision="fp16")), dla=1)
    trt.calls.clear()
    session = TrtSession(bundle, simulation.gpu)
    assert trt.calls_of("Runtime", "DLA_core") == [{"value": 1}]
    assert session.infer(images(3, 32, 32)).shape == (3, 128, 128, 3) and len(simulation.captured) == 1


def test_a_failed_load_raises_with_the_reason(compiled, scenario, simulation, tiny):
    bundle = compiled(tiny)
    scenario.load_error = "Serialization assertion failed: stdVersionRead == kSERIALIZATION_VERSION"
    with pytest.raises(EngineError, match=r"cannot be loaded by TensorRT .*Serialization assertion.*compile it again"):
        TrtSession(bundle, simulation.gpu)


def test_a_runtime_that_cannot_start_raises_with_the_reason(compiled, scenario, simulation, tiny):
    bundle = compiled(tiny)
    scenario.fails_to_start = True
    with pytest.raises(EngineError, match="cannot start on this GPU: CUDA initialization failure"):
        TrtSession(bundle, simulation.gpu)


def test_an_engine_without_a_crop_size_raises_on_load(build, simulation, tiny):
    engines = engines_of(build(tiny))
    wider = Bundle(tiny.folder, replace(tiny.card, io_spec=replace(tiny.card.io_spec, crop_sizes=(32, 48, 64))))
    with pytest.raises(EngineError, match="no engine for 64x64"):
        TrtSession(wider, simulation.gpu, engines=engines)


def test_close_releases_everything_and_can_be_repeated(compiled, simulation, edge, monkeypatch):
    from facesr_edge.engines.tensorrt import session as trt_session

    monkeypatch.setattr(trt_session, "Gpu", lambda: simulation.gpu)
    bundle = compiled(edge)
    simulation.gpu.__exit__.reset_mock()
    simulation.memory.clear()
    arrays, empty = [], simulation.empty
    simulation.gpu.empty.side_effect = lambda shape, dtype: arrays.append(empty(shape, dtype)) or arrays[-1]
    session = TrtSession(bundle)
    session.infer(images(1, 32, 32))
    for _ in range(2):
        session.close()
    for array in arrays:
        with pytest.raises(EngineError, match="closed"):
            _ = array.pointer
    assert simulation.stream.close.call_count == 1 and simulation.gpu.__exit__.call_count == 1
    for use in (session.infer, session.infer_on_device, session.output_on_device, session.layer_times):
        with pytest.raises(EngineError, match="the engine is closed; load it again"):
            use(images(1, 32, 32))


def test_a_gpu_passed_by_the_caller_stays_open(session, simulation):
    session.close()
    assert simulation.gpu.__exit__.call_count == 1  # the one of the build

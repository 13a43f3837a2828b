"""The GPU through the real bindings: memory, streams, events, graphs, errors in words, and nothing left behind."""

import gc
import threading
import time

import numpy as np
import pytest
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.errors import EngineError

KERNEL = """extern "C" __global__
void enlarge(const unsigned char *a, int b, int c, int d, unsigned char *e, int f) { *e = *a; }"""


def ramp(*shape, dtype=np.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def fetched(gpu, array, stream):
    host = gpu.pinned(array.shape, array.dtype)
    gpu.download(array, host, stream)
    stream.synchronize()
    return host.copy()


def uploaded(gpu, host, stream):
    array = gpu.empty(host.shape, host.dtype)
    gpu.upload(host, array, stream)
    return array


def compiled(gpu, source):
    """Kernels, or a skip where their compiler is missing."""
    try:
        return gpu.module(source, "kernel.cu")
    except EngineError as error:
        if "no NVRTC here" in str(error):
            pytest.skip(str(error))
        raise


def test_a_gpu_says_what_it_is(gpu, machine, bindings):
    name, capability, memory, driver = machine.says()
    assert (gpu.name, gpu.compute_capability, gpu.driver) == (name, capability, driver)
    assert gpu.memory_bytes == pytest.approx(memory, rel=0.05)  # the driver keeps some for itself
    assert gpu.graphs == (bindings == "cuda-python")
    assert gpu.runtime.startswith(f"{bindings} ") and gpu.runtime.split()[1][0].isdigit()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float32, np.bool_])
def test_what_is_uploaded_comes_back(gpu, dtype):
    stream = gpu.stream()
    host = ramp(3, 5, 7, dtype=dtype)
    there = gpu.empty(host.shape, dtype)
    again = gpu.empty(host.shape, dtype)
    gpu.upload(host, there, stream)
    gpu.copy(there, again, stream)
    assert np.array_equal(fetched(gpu, again, stream), host)
    assert (there.shape, there.dtype, there.nbytes) == (host.shape, host.dtype, host.nbytes)


def test_work_is_done_when_the_stream_has_passed_and_not_before(gpu, machine):
    stream = gpu.stream()
    source, target = gpu.pinned((4,), np.float32), gpu.pinned((4,), np.float32)
    there = gpu.empty((4,), np.float32)
    source[:], target[:] = 1, 0
    with machine.hold(stream):
        gpu.upload(source, there, stream)
        gpu.download(there, target, stream)
        source[:] = 2  # page-locked memory is read when the copy's turn comes
        assert target.max() == 0
    stream.synchronize()
    assert target.min() == 2


@pytest.mark.parametrize("size", [4, 2**14, 2**18, 2**22])
def test_ordinary_memory_is_taken_at_once(gpu, size):
    stream, long = gpu.stream(), gpu.pinned((2**25,), np.uint8)
    host, there = np.ones(size, np.float32), gpu.empty((size,), np.float32)
    gpu.upload(long, gpu.empty(long.shape, long.dtype), stream)  # something to do before
    gpu.upload(host, there, stream)
    host[:] = 2
    assert fetched(gpu, there, stream).max() == 1


def test_one_stream_waits_for_another(gpu, machine):
    first, then = gpu.stream(), gpu.stream()
    source, there, target = gpu.pinned((4,), np.int32), gpu.empty((4,), np.int32), gpu.pinned((4,), np.int32)
    source[:], target[:] = 7, 0
    with machine.hold(first):
        gpu.upload(source, there, first)
        then.follow(first.handle)
        gpu.download(there, target, then)
        time.sleep(0.02)
        assert target.max() == 0
    then.synchronize()
    assert target.min() == 7


def test_events_time_what_lies_between_them(gpu):
    stream, before, after = gpu.stream(), gpu.event(), gpu.event()
    before.record(stream)
    host = gpu.pinned((2**22,), np.uint8)
    gpu.upload(host, gpu.empty(host.shape, host.dtype), stream)
    after.record(stream)
    assert 0 < after.milliseconds_since(before) < 1000


def test_an_event_that_never_happened_has_no_time(gpu):
    with pytest.raises(EngineError, match="GPU refused"):
        gpu.event().milliseconds_since(gpu.event())


def test_a_graph_does_all_that_was_captured_and_nothing_while_it_is(gpu):
    if not gpu.graphs:
        with pytest.raises(EngineError, match=r"pycuda .* captures no CUDA graphs; pip install cuda-python"):
            gpu.capture(gpu.stream()).__enter__()
        return
    stream = gpu.stream()
    source, there, target = gpu.pinned((4,), np.int32), gpu.empty((4,), np.int32), gpu.pinned((4,), np.int32)
    source[:], target[:] = 1, 0
    with gpu.capture(stream) as graph:
        gpu.upload(source, there, stream)
        gpu.download(there, target, stream)
        with pytest.raises(EngineError, match="holds nothing; launch it after"):
            graph.launch(stream)
    stream.synchronize()
    assert target.max() == 0
    for value in (3, 4):
        source[:] = value
        graph.launch(stream)
        stream.synchronize()
        assert target.min() == target.max() == value


def test_what_cannot_be_captured_is_told_and_the_stream_works_on(gpu):
    if not gpu.graphs:
        pytest.skip("these bindings capture no graphs")
    stream, host = gpu.stream(), gpu.pinned((4,), np.int32)
    host[:] = 5
    there = gpu.empty((4,), np.int32)
    with pytest.raises(EngineError, match="CAPTURE_UNSUPPORTED"), gpu.capture(stream):
        stream.synchronize()
    with pytest.raises(ZeroDivisionError), gpu.capture(stream):
        gpu.upload(host, there, stream)
        1 / 0  # noqa: B018
    gpu.upload(host, there, stream)
    assert fetched(gpu, there, stream).min() == 5


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (1,)])
def test_page_locked_arrays_are_as_any_other(gpu, machine, shape):
    array = gpu.pinned(shape, np.float16)
    assert array.shape == shape and array.flags.c_contiguous and array.flags.writeable
    view = array.reshape(-1)[:1]
    del array
    assert machine.held()["pinned"] == 1
    view[:] = 1  # still there
    del view
    assert "pinned" not in machine.held()


def test_a_page_locked_array_outlives_the_gpu(machine, bindings):
    gpu = Gpu(0, bindings)
    array = gpu.pinned((4,), np.float32)
    gpu.close()
    array[:] = 3
    assert machine.held() == {"pinned": 1, "contexts": 1}
    del array
    assert machine.held() == {}


def test_everything_is_given_back_with_the_gpu(machine, bindings):
    with Gpu(0, bindings) as gpu:
        stream = gpu.stream()
        kept = [stream, gpu.event(), gpu.empty((5,), np.uint8), compiled(gpu, KERNEL)]
        if gpu.graphs:
            with gpu.capture(stream) as graph:
                pass
            kept.append(graph)
        held = machine.held()
        assert {"streams", "events", "memory", "modules", "contexts"} <= set(held)
    assert machine.held() == {}
    gpu.close()
    for thing in kept:
        thing.close()  # harmless


def test_what_nobody_holds_is_given_back(gpu, machine):
    before = machine.held()
    for _ in range(50):
        stream = gpu.stream()
        uploaded(gpu, ramp(100), stream)
        gpu.event().record(stream)
        gpu.pinned((10,), np.uint8)
        del stream
    gc.collect()
    assert machine.held() == before


USES = {
    "synchronize": lambda gpu, stream, array: stream.synchronize(),
    "pointer": lambda gpu, stream, array: array.pointer,
    "upload": lambda gpu, stream, array: gpu.upload(np.zeros(4, np.uint8), array, gpu.stream()),
    "queue": lambda gpu, stream, array: gpu.upload(np.zeros(4, np.uint8), gpu.empty((4,), np.uint8), stream),
    "interface": lambda gpu, stream, array: array.__cuda_array_interface__,
    "capsule": lambda gpu, stream, array: array.__dlpack__(),
    "record": lambda gpu, stream, array: gpu.event().record(stream),
}


@pytest.mark.parametrize("use", sorted(USES))
def test_what_is_closed_says_so(gpu, use):
    stream, array = gpu.stream(), gpu.empty((4,), np.uint8)
    for thing in (stream, array):
        thing.close()
        thing.close()
    with pytest.raises(EngineError, match=r"is closed; make another"):
        USES[use](gpu, stream, array)


def test_a_closed_gpu_says_so(bindings):
    gpu = Gpu(0, bindings)
    stream = gpu.stream()
    gpu.close()
    gpu.close()
    for use in (gpu.stream, gpu.event, lambda: gpu.empty((1,), np.uint8), lambda: gpu.pinned((1,), np.uint8)):
        with pytest.raises(EngineError, match="the GPU is closed; open it again"):
            use()
    with pytest.raises(EngineError, match="the stream is closed"):
        stream.synchronize()


def test_two_of_one_gpu_live_beside_each_other(gpu, bindings):
    with Gpu(0, bindings) as other:
        stream = other.stream()
        assert fetched(other, uploaded(other, ramp(6), stream), stream)[5] == 5
    stream = gpu.stream()
    assert fetched(gpu, uploaded(gpu, ramp(6), stream), stream)[5] == 5


def test_any_thread_may_call(gpu):
    stream, results = gpu.stream(), []

    def work():
        mine = gpu.stream()
        results.append(fetched(gpu, uploaded(gpu, ramp(6), stream), stream)[5])
        results.append(fetched(gpu, uploaded(gpu, ramp(6), mine), mine)[5])

    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    work()
    assert results == [5] * 8


def test_the_context_of_another_is_current_again_afterwards(gpu, machine):
    with gpu.current():
        with gpu.current():
            gpu.empty((1,), np.uint8)
        assert machine.held()["current"] >= 1
    assert "current" not in machine.held()


def test_too_much_memory_is_told_in_words(gpu):
    first, size = gpu.empty((2**19,), np.uint8), 2 * gpu.memory_bytes
    with pytest.raises(
        EngineError, match=rf"refused .* of {size / 2**20:.1f} MiB .*: the GPU has no memory left; stop"
    ):
        gpu.empty((size,), np.uint8)
    stream = gpu.stream()
    gpu.upload(np.full(2**19, 9, np.uint8), first, stream)  # what was there works on
    assert fetched(gpu, first, stream).min() == 9


def test_no_gpu_is_told_in_words(played, bindings):
    played.make(gpus=0)
    with pytest.raises(EngineError, match="the driver sees no GPU; check nvidia-smi"):
        Gpu(0, bindings)


def test_a_gpu_that_is_not_there_is_told_in_words(bindings):
    with pytest.raises(EngineError, match="no GPU of that number; nvidia-smi lists them"):
        Gpu(999, bindings)


def test_a_driver_older_than_the_bindings_is_told_in_words(played, bindings):
    played.make(driver=11080)
    if bindings == "pycuda":  # built against the machine's own toolkit
        with Gpu(0, bindings) as gpu:
            assert gpu.driver == "11.8"
        return
    with pytest.raises(EngineError, match=r"is for CUDA 1\d, the driver serves CUDA 11\.8; .* 'cuda-bindings<12'"):
        Gpu(0, bindings)


def test_copies_want_two_of_one_kind(gpu):
    stream, array = gpu.stream(), gpu.empty((4, 4), np.float32)
    for host in (np.zeros((4, 4), np.float64), np.zeros((16,), np.float32), np.zeros((3, 4), np.float32)):
        with pytest.raises(EngineError, match="expected arrays of one shape and type"):
            gpu.upload(host, array, stream)
        with pytest.raises(EngineError, match="expected arrays of one shape and type"):
            gpu.download(array, host, stream)
    with pytest.raises(EngineError, match="without gaps"):
        gpu.upload(np.zeros((8, 4), np.float32)[::2], array, stream)
    with pytest.raises(EngineError, match="expected arrays of one shape and type"):
        gpu.copy(array, gpu.empty((4,), np.float32), stream)


def test_a_kernel_that_does_not_compile_is_told_with_its_line(gpu):
    with pytest.raises(EngineError, match=r"kernel\.cu") as told:
        compiled(gpu, "\nint x = ;")
    assert "error" in str(told.value) and "\n" not in str(told.value)


def test_a_kernel_that_is_not_there_is_told(gpu):
    module = compiled(gpu, KERNEL)
    with pytest.raises(EngineError, match=r"refused cuModuleGetFunction of shrink .*NOT_FOUND"):
        module.launch("shrink", (1, 1, 1), (1, 1, 1), (), gpu.stream())


def test_a_launch_that_cannot_be_is_told(gpu):
    module = compiled(gpu, KERNEL)
    array, number = gpu.empty((4,), np.uint8), np.int32(1)
    arguments = (array, number, number, number, array, number)
    with pytest.raises(EngineError, match=r"refused cuLaunchKernel.*INVALID_VALUE"):
        module.launch("enlarge", (1, 1, 1), (2048, 1, 1), arguments, gpu.stream())


def test_a_kernel_that_leaves_its_memory_is_found_by_whoever_waits_and_the_gpu_can_be_closed(machine, bindings):
    gpu = Gpu(0, bindings)
    module, stream = compiled(gpu, KERNEL), gpu.stream()
    kept = [gpu.event(), gpu.empty((4,), np.uint8), gpu.pinned((4,), np.uint8)]
    numbers = (np.uint64(64), *[np.int32(1)] * 3, np.uint64(64), np.int32(1))
    machine.lose()
    module.launch("enlarge", (1, 1, 1), (1, 1, 1), numbers, stream)
    with pytest.raises(EngineError, match=r"ILLEGAL_ADDRESS.*context is lost; restart the program"):
        stream.synchronize()
    gpu.close()  # says nothing more, and tries all of them
    with pytest.raises(EngineError, match="the GPU is closed"):
        gpu.stream()
    assert stream.closed and kept

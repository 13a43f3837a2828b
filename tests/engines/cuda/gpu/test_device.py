"""`Gpu` with the real bindings: memory, streams, events, graphs, kernels, errors and release of resources."""

import gc
import subprocess
import sys
import threading
import time
from importlib import import_module

import numpy as np
import pytest
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.extra import driver_cuda, gpu_extra, rtx_extra
from facesr_edge.engines.errors import EngineError

KERNEL = """extern "C" __global__
void enlarge(const unsigned char *a, int b, int c, int d, unsigned char *e, int f) { *e = *a; }"""


def ramp(*shape, dtype=np.float32):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def download(gpu, array, stream):
    host = gpu.pinned(array.shape, array.dtype)
    gpu.download(array, host, stream)
    stream.synchronize()
    return host.copy()


def upload(gpu, host, stream):
    array = gpu.empty(host.shape, host.dtype)
    gpu.upload(host, array, stream)
    return array


def compile_module(gpu, source):
    """Compile kernels; skips if the compiler is missing."""
    try:
        return gpu.module(source, "kernel.cu")
    except EngineError as error:
        if "NVRTC not found" in str(error):
            pytest.skip(str(error))
        raise


def test_gpu_properties_are_those_of_the_machine(gpu, machine, bindings):
    name, capability, memory, driver = machine.properties()
    assert (gpu.name, gpu.compute_capability, gpu.driver) == (name, capability, driver)
    assert gpu.memory_bytes == pytest.approx(memory, rel=0.05)  # the driver reserves some
    assert gpu.multiprocessors == 14 or (machine.real and gpu.multiprocessors > 0)
    assert gpu.graphs == (bindings == "cuda-python")
    assert gpu.runtime.startswith(f"{bindings} ") and gpu.runtime.split()[1][0].isdigit()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float16, np.float32, np.bool_])
def test_uploaded_data_is_downloaded_unchanged(gpu, dtype):
    stream = gpu.stream()
    host = ramp(3, 5, 7, dtype=dtype)
    device = gpu.empty(host.shape, dtype)
    again = gpu.empty(host.shape, dtype)
    gpu.upload(host, device, stream)
    gpu.copy(device, again, stream)
    assert np.array_equal(download(gpu, again, stream), host)
    assert (device.shape, device.dtype, device.nbytes) == (host.shape, host.dtype, host.nbytes)


def test_queued_copies_run_asynchronously(gpu, machine):
    stream = gpu.stream()
    source, target = gpu.pinned((4,), np.float32), gpu.pinned((4,), np.float32)
    device = gpu.empty((4,), np.float32)
    source[:], target[:] = 1, 0
    with machine.blocked(stream):
        gpu.upload(source, device, stream)
        gpu.download(device, target, stream)
        source[:] = 2  # page-locked memory is read when the copy runs
        assert target.max() == 0
    stream.synchronize()
    assert target.min() == 2


@pytest.mark.parametrize("size", [4, 2**14, 2**18, 2**22])
def test_pageable_memory_is_copied_before_upload_returns(gpu, size):
    stream, long = gpu.stream(), gpu.pinned((2**25,), np.uint8)
    host, device = np.ones(size, np.float32), gpu.empty((size,), np.float32)
    gpu.upload(long, gpu.empty(long.shape, long.dtype), stream)  # keeps the stream busy
    gpu.upload(host, device, stream)
    host[:] = 2
    assert download(gpu, device, stream).max() == 1


def test_a_stream_waits_for_another(gpu, machine):
    first, second = gpu.stream(), gpu.stream()
    source, device, target = gpu.pinned((4,), np.int32), gpu.empty((4,), np.int32), gpu.pinned((4,), np.int32)
    source[:], target[:] = 7, 0
    with machine.blocked(first):
        gpu.upload(source, device, first)
        second.wait_for(first.handle)
        gpu.download(device, target, second)
        time.sleep(0.02)
        assert target.max() == 0
    second.synchronize()
    assert target.min() == 7


def test_events_measure_the_time_between_them(gpu):
    stream, before, after = gpu.stream(), gpu.event(), gpu.event()
    before.record(stream)
    host = gpu.pinned((2**22,), np.uint8)
    gpu.upload(host, gpu.empty(host.shape, host.dtype), stream)
    after.record(stream)
    assert 0 < after.milliseconds_since(before) < 1000


def test_an_event_that_is_not_recorded_raises(gpu):
    with pytest.raises(EngineError, match=r"CUDA call .* failed"):
        gpu.event().milliseconds_since(gpu.event())


EXIT = """
import atexit
kept = []
atexit.register(lambda: print(kept[0].sum(), flush=True))  # before those of any import: called last
import ctypes, os, sys
ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
sys.setdlopenflags(os.RTLD_LAZY)
from facesr_edge.engines.cuda.device import Gpu
kept.append(Gpu(0, sys.argv[2]).pinned((4,), "uint8"))
kept[0][:] = 7
"""


def test_pinned_arrays_are_readable_until_the_process_ends(emulated, bindings, library):
    command = [sys.executable, "-c", EXIT, str(library), bindings]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "28\n"), done.stderr


def test_captured_work_runs_only_when_the_graph_is_launched(gpu):
    if not gpu.graphs:
        with pytest.raises(EngineError, match=r"pycuda .* does not support CUDA graphs; pip install cuda-python"):
            gpu.capture(gpu.stream()).__enter__()
        return
    stream = gpu.stream()
    source, device, target = gpu.pinned((4,), np.int32), gpu.empty((4,), np.int32), gpu.pinned((4,), np.int32)
    source[:], target[:] = 1, 0
    with gpu.capture(stream) as graph:
        gpu.upload(source, device, stream)
        gpu.download(device, target, stream)
        with pytest.raises(EngineError, match="is empty; launch it after"):
            graph.launch(stream)
    stream.synchronize()
    assert target.max() == 0
    for value in (3, 4):
        source[:] = value
        graph.launch(stream)
        stream.synchronize()
        assert target.min() == target.max() == value


def test_a_failed_capture_raises_and_the_stream_remains_usable(gpu):
    if not gpu.graphs:
        pytest.skip("the bindings do not support CUDA graphs")
    stream, host = gpu.stream(), gpu.pinned((4,), np.int32)
    host[:] = 5
    device = gpu.empty((4,), np.int32)
    with pytest.raises(EngineError, match="CAPTURE_UNSUPPORTED"), gpu.capture(stream):
        stream.synchronize()
    with pytest.raises(ZeroDivisionError), gpu.capture(stream):
        gpu.upload(host, device, stream)
        1 / 0  # noqa: B018
    gpu.upload(host, device, stream)
    assert download(gpu, device, stream).min() == 5


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (1,)])
def test_page_locked_arrays_live_as_long_as_their_views(gpu, machine, shape):
    array = gpu.pinned(shape, np.float16)
    assert array.shape == shape and array.flags.c_contiguous and array.flags.writeable
    view = array.reshape(-1)[:1]
    del array
    assert machine.live_objects()["pinned"] == 1
    view[:] = 1  # the memory is still allocated
    del view
    assert "pinned" not in machine.live_objects()


def test_a_page_locked_array_outlives_the_gpu(machine, bindings):
    gpu = Gpu(0, bindings)
    array = gpu.pinned((4,), np.float32)
    gpu.close()
    array[:] = 3
    assert machine.live_objects() == {"pinned": 1, "contexts": 1}
    del array
    assert machine.live_objects() == {}


def test_closing_the_gpu_releases_everything(machine, bindings):
    with Gpu(0, bindings) as gpu:
        stream = gpu.stream()
        resources = [stream, gpu.event(), gpu.empty((5,), np.uint8), compile_module(gpu, KERNEL)]
        if gpu.graphs:
            with gpu.capture(stream) as graph:
                pass
            resources.append(graph)
        live_objects = machine.live_objects()
        assert {"streams", "events", "memory", "modules", "contexts"} <= set(live_objects)
    assert machine.live_objects() == {}
    gpu.close()
    for resource in resources:
        resource.close()  # no effect


def test_unreferenced_resources_are_released(gpu, machine):
    before = machine.live_objects()
    for _ in range(50):
        stream = gpu.stream()
        upload(gpu, ramp(100), stream)
        gpu.event().record(stream)
        gpu.pinned((10,), np.uint8)
        del stream
    gc.collect()
    assert machine.live_objects() == before


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
def test_using_a_closed_resource_raises(gpu, use):
    stream, array = gpu.stream(), gpu.empty((4,), np.uint8)
    for resource in (stream, array):
        resource.close()
        resource.close()
    with pytest.raises(EngineError, match=r"is closed; create another"):
        USES[use](gpu, stream, array)


def test_using_a_closed_gpu_raises(bindings):
    gpu = Gpu(0, bindings)
    stream = gpu.stream()
    gpu.close()
    gpu.close()
    for use in (gpu.stream, gpu.event, lambda: gpu.empty((1,), np.uint8), lambda: gpu.pinned((1,), np.uint8)):
        with pytest.raises(EngineError, match="the GPU is closed; open it again"):
            use()
    with pytest.raises(EngineError, match="the stream is closed"):
        stream.synchronize()


def test_two_gpu_objects_of_one_device_can_be_open(gpu, bindings):
    with Gpu(0, bindings) as other:
        stream = other.stream()
        assert download(other, upload(other, ramp(6), stream), stream)[5] == 5
    stream = gpu.stream()
    assert download(gpu, upload(gpu, ramp(6), stream), stream)[5] == 5


def test_any_thread_can_call(gpu):
    stream, results = gpu.stream(), []

    def work():
        own_stream = gpu.stream()
        results.append(download(gpu, upload(gpu, ramp(6), stream), stream)[5])
        results.append(download(gpu, upload(gpu, ramp(6), own_stream), own_stream)[5])

    for _ in range(3):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    work()
    assert results == [5] * 8


def test_the_previous_context_is_restored(gpu, machine):
    with gpu.current():
        with gpu.current():
            gpu.empty((1,), np.uint8)
        assert machine.live_objects()["current"] >= 1
    assert "current" not in machine.live_objects()


def test_out_of_memory_raises_with_the_size(gpu):
    first, size = gpu.empty((2**19,), np.uint8), 2 * gpu.memory_bytes
    with pytest.raises(EngineError, match=rf"of {size / 2**20:.1f} MiB failed .*: out of GPU memory; stop"):
        gpu.empty((size,), np.uint8)
    stream = gpu.stream()
    gpu.upload(np.full(2**19, 9, np.uint8), first, stream)  # earlier allocations remain usable
    assert download(gpu, first, stream).min() == 9


def test_a_machine_without_a_gpu_raises(emulated, bindings):
    emulated.configure(gpus=0)
    with pytest.raises(EngineError, match="the driver finds no GPU; check nvidia-smi"):
        Gpu(0, bindings)


def test_an_invalid_device_number_raises(bindings):
    with pytest.raises(EngineError, match="no GPU of that number; nvidia-smi lists them"):
        Gpu(999, bindings)


def test_a_driver_older_than_the_bindings_raises(emulated, bindings):
    emulated.configure(driver=11080)
    if bindings == "pycuda":  # built against the local CUDA toolkit
        with Gpu(0, bindings) as gpu:
            assert gpu.driver == "11.8"
        return
    with pytest.raises(EngineError, match=r"requires CUDA 1\d, the driver supports CUDA 11\.8; update the driver$"):
        Gpu(0, bindings)


@pytest.mark.parametrize(("version", "extra"), [(11080, "cu12"), (12040, "cu12"), (13000, "cu13"), (14010, "cu13")])
def test_driver_decides_the_extra_with_its_packages(emulated, bindings, version, extra):
    emulated.configure(driver=version)
    assert (driver_cuda(), gpu_extra()) == (version // 1000, f"tensorrt-{extra}")
    assert rtx_extra() == ("tensorrt-rtx-cu12" if extra == "cu12" else "tensorrt-rtx")


def test_a_cuda_12_driver_with_cuda_13_bindings_raises_with_the_extra_that_fits(emulated, bindings):
    emulated.configure(driver=12040)
    if bindings == "pycuda" or import_module("cuda.bindings").__version__.startswith("12."):
        pytest.skip("needs cuda-python 13")
    with pytest.raises(EngineError, match=r"supports CUDA 12\.4; .* pip install 'facesr-edge\[tensorrt-cu12\]'"):
        Gpu(0, bindings)


def test_copies_require_equal_shape_and_dtype(gpu):
    stream, array = gpu.stream(), gpu.empty((4, 4), np.float32)
    for host in (np.zeros((4, 4), np.float64), np.zeros((16,), np.float32), np.zeros((3, 4), np.float32)):
        with pytest.raises(EngineError, match="expected arrays of equal shape and dtype"):
            gpu.upload(host, array, stream)
        with pytest.raises(EngineError, match="expected arrays of equal shape and dtype"):
            gpu.download(array, host, stream)
    with pytest.raises(EngineError, match="expected contiguous arrays"):
        gpu.upload(np.zeros((8, 4), np.float32)[::2], array, stream)
    with pytest.raises(EngineError, match="expected arrays of equal shape and dtype"):
        gpu.copy(array, gpu.empty((4,), np.float32), stream)


def test_a_kernel_that_does_not_compile_raises_with_its_line(gpu):
    with pytest.raises(EngineError, match=r"kernel\.cu") as caught:
        compile_module(gpu, "\nint x = ;")
    assert "error" in str(caught.value) and "\n" not in str(caught.value)


def test_an_unknown_kernel_raises(gpu):
    module = compile_module(gpu, KERNEL)
    with pytest.raises(EngineError, match=r"cuModuleGetFunction of shrink failed .*NOT_FOUND"):
        module.launch("shrink", (1, 1, 1), (1, 1, 1), (), gpu.stream())


def test_an_invalid_launch_raises(gpu):
    module = compile_module(gpu, KERNEL)
    array, number = gpu.empty((4,), np.uint8), np.int32(1)
    arguments = (array, number, number, number, array, number)
    with pytest.raises(EngineError, match=r"cuLaunchKernel failed.*INVALID_VALUE"):
        module.launch("enlarge", (1, 1, 1), (2048, 1, 1), arguments, gpu.stream())


def test_an_illegal_address_raises_on_synchronize_and_the_gpu_can_be_closed(machine, bindings):
    gpu = Gpu(0, bindings)
    module, stream = compile_module(gpu, KERNEL), gpu.stream()
    resources = [gpu.event(), gpu.empty((4,), np.uint8), gpu.pinned((4,), np.uint8)]
    numbers = (np.uint64(64), *[np.int32(1)] * 3, np.uint64(64), np.int32(1))
    machine.lose()
    module.launch("enlarge", (1, 1, 1), (1, 1, 1), numbers, stream)
    with pytest.raises(EngineError, match=r"ILLEGAL_ADDRESS.*context is lost; restart the program"):
        stream.synchronize()
    gpu.close()  # does not raise, and releases what it can
    with pytest.raises(EngineError, match="the GPU is closed"):
        gpu.stream()
    assert stream.closed and resources

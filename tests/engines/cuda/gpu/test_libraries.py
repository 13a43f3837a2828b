"""Arrays shared with PyTorch and CuPy on a real GPU: same memory, correct synchronization."""

import gc
from contextlib import nullcontext

import numpy as np
import pytest

LIBRARIES = ["torch", "cupy"]
PROTOCOLS = ["dlpack", "interface"]
DTYPES = ["uint8", "int32", "float16", "float32", "bool"]


class Torch:
    """PyTorch operations of the tests."""

    def __init__(self):
        self.torch = pytest.importorskip("torch")
        if not self.torch.cuda.is_available():
            pytest.skip("needs PyTorch with CUDA")

    def from_host(self, host):
        return self.torch.from_numpy(host).cuda()

    def import_array(self, array, protocol):
        return self.torch.from_dlpack(array) if protocol == "dlpack" else self.torch.as_tensor(array, device="cuda")

    def to_host(self, array):
        return array.cpu().numpy()

    def stream(self):
        stream = self.torch.cuda.Stream()
        return stream, stream.cuda_stream, self.torch.cuda.stream(stream)

    def copy(self, source, target):
        target.copy_(source, non_blocking=True)

    def pointer(self, array):
        return array.data_ptr()

    def synchronize(self):
        self.torch.cuda.synchronize()


class Cupy:
    """CuPy operations of the tests."""

    def __init__(self):
        self.cupy = pytest.importorskip("cupy")
        if not self.cupy.is_available():
            pytest.skip("needs CuPy with CUDA")

    def from_host(self, host):
        return self.cupy.asarray(host)

    def import_array(self, array, protocol):
        return self.cupy.from_dlpack(array) if protocol == "dlpack" else self.cupy.asarray(array)

    def to_host(self, array):
        return array.get()

    def stream(self):
        stream = self.cupy.cuda.Stream(non_blocking=True)
        return stream, stream.ptr, stream

    def copy(self, source, target):
        target[...] = source

    def pointer(self, array):
        return array.data.ptr

    def synchronize(self):
        self.cupy.cuda.Device().synchronize()


def library_of(name, machine):
    if not machine.real:
        pytest.skip("needs a real GPU: other libraries do not run on the emulated driver")
    return {"torch": Torch, "cupy": Cupy}[name]()


class Exported:
    """Another library's array with only one of the protocols."""

    def __init__(self, array, protocol):
        self.array = array
        if protocol == "interface":
            self.__cuda_array_interface__ = array.__cuda_array_interface__
        else:
            self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


class StreamHandle:
    """A stream of another library, as an argument of `blocked`."""

    def __init__(self, handle):
        self.handle = handle


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_another_library_imports_the_same_memory(gpu, machine, name, protocol, dtype):
    library, stream = library_of(name, machine), gpu.stream()
    host = (np.arange(24).reshape(2, 3, 4) % 3).astype(dtype)
    array = gpu.empty(host.shape, dtype)
    gpu.upload(host, array, stream)
    stream.synchronize()
    imported = library.import_array(array, protocol)
    assert library.pointer(imported) == array.pointer
    assert library.to_host(imported).dtype == host.dtype and np.array_equal(library.to_host(imported), host)
    part = array[1]
    assert np.array_equal(library.to_host(library.import_array(part, protocol)), host[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_the_memory_of_another_library_is_viewed(gpu, machine, name, protocol, dtype):
    library, stream = library_of(name, machine), gpu.stream()
    host = (np.arange(24).reshape(2, 3, 4) % 3).astype(dtype)
    other_array = library.from_host(host)
    view = gpu.view(Exported(other_array, protocol), stream)
    assert (view.pointer, view.shape, view.dtype) == (library.pointer(other_array), host.shape, host.dtype)
    assert view.contiguous
    back = np.empty(host.shape, dtype)
    gpu.download(view, back, stream)
    stream.synchronize()
    assert np.array_equal(back, host)
    cropped = gpu.view(Exported(other_array[:, :2], protocol), stream)
    assert (cropped.shape, cropped.strides) == ((2, 2, 4), host[:, :2].strides) and not cropped.contiguous


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_another_library_waits_for_the_writer_stream(gpu, machine, name, protocol):
    library, stream = library_of(name, machine), gpu.stream()
    source, array = gpu.pinned((1024,), np.int32), gpu.empty((1024,), np.int32)
    copy = library.from_host(np.zeros(1024, np.int32))
    library.copy(library.from_host(np.zeros(1024, np.int32)), copy)  # loads the kernels before a stream is blocked
    library.synchronize()
    source[:] = 7
    _, _, current = library.stream()
    block = machine.blocked(stream) if protocol == "dlpack" else nullcontext()
    with current, block:
        gpu.upload(source, array, stream)
        if protocol == "interface":  # CuPy synchronizes on the host, PyTorch leaves it to the caller
            stream.synchronize()
        library.copy(library.import_array(array, protocol), copy)
    library.synchronize()
    assert library.to_host(copy).min() == 7


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_a_view_waits_for_the_stream_of_another_library(gpu, machine, name, protocol):
    if (name, protocol) == ("torch", "interface"):
        pytest.skip("PyTorch exports no stream in this protocol")
    library, stream = library_of(name, machine), gpu.stream()
    other_array, seven = (library.from_host(np.full(1024, n, np.int32)) for n in (0, 7))
    target = gpu.pinned((1024,), np.int32)
    library.copy(other_array, library.from_host(np.zeros(1024, np.int32)))
    library.synchronize()
    other, handle, current = library.stream()
    with current, machine.blocked(StreamHandle(handle)):
        library.copy(seven, other_array)
        gpu.download(gpu.view(Exported(other_array, protocol), stream), target, stream)
    stream.synchronize()
    assert target.min() == 7 and other is not None


@pytest.mark.parametrize("name", LIBRARIES)
def test_memory_lives_as_long_as_another_library_uses_it(gpu, machine, name):
    library, stream = library_of(name, machine), gpu.stream()
    array = gpu.empty((1024,), np.uint8)
    gpu.upload(np.full(1024, 7, np.uint8), array, stream)
    imported = library.import_array(array, "dlpack")
    array.close()
    gc.collect()
    assert machine.live_objects()["memory"] == 1 and library.to_host(imported).min() == 7
    del imported
    gc.collect()
    assert "memory" not in machine.live_objects()


@pytest.mark.parametrize("name", LIBRARIES)
def test_memory_of_another_library_lives_as_long_as_its_view(gpu, machine, name):
    library, stream = library_of(name, machine), gpu.stream()
    view = gpu.view(Exported(library.from_host(np.full(2**20, 7, np.uint8)), "dlpack"), stream)
    gc.collect()
    others = [library.from_host(np.zeros(2**20, np.uint8)) for _ in range(8)]  # would reuse freed memory
    back = np.empty(view.shape, np.uint8)
    gpu.download(view, back, stream)
    stream.synchronize()
    assert back.min() == 7 and len(others) == 8


@pytest.mark.parametrize("name", LIBRARIES)
def test_another_library_keeps_working_after_the_gpu_is_closed(machine, bindings, name):
    from facesr_edge.engines.cuda.device import Gpu

    library = library_of(name, machine)
    other_array = library.from_host(np.full(64, 7, np.uint8))
    for _ in range(2):
        with Gpu(0, bindings) as gpu, gpu.current():
            gpu.empty((64,), np.uint8)
            assert library.to_host(library.from_host(library.to_host(other_array))).min() == 7
        assert library.to_host(other_array + other_array).max() == 14

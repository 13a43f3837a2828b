"""Arrays handed to and taken from PyTorch and CuPy on a real GPU: the same memory, and nobody reads it too early."""

import gc
from contextlib import nullcontext

import numpy as np
import pytest

LIBRARIES = ["torch", "cupy"]
PROTOCOLS = ["dlpack", "interface"]
DTYPES = ["uint8", "int32", "float16", "float32", "bool"]


class Torch:
    """PyTorch, as the tests need it."""

    def __init__(self):
        self.torch = pytest.importorskip("torch")
        if not self.torch.cuda.is_available():
            pytest.skip("needs a PyTorch that sees the GPU")

    def made(self, host):
        return self.torch.from_numpy(host).cuda()

    def taken(self, array, protocol):
        return self.torch.from_dlpack(array) if protocol == "dlpack" else self.torch.as_tensor(array, device="cuda")

    def host(self, array):
        return array.cpu().numpy()

    def stream(self):
        stream = self.torch.cuda.Stream()
        return stream, stream.cuda_stream, self.torch.cuda.stream(stream)

    def copied(self, source, target):
        target.copy_(source, non_blocking=True)

    def pointer(self, array):
        return array.data_ptr()

    def wait(self):
        self.torch.cuda.synchronize()


class Cupy:
    """CuPy, the same."""

    def __init__(self):
        self.cupy = pytest.importorskip("cupy")
        if not self.cupy.is_available():
            pytest.skip("needs a CuPy that sees the GPU")

    def made(self, host):
        return self.cupy.asarray(host)

    def taken(self, array, protocol):
        return self.cupy.from_dlpack(array) if protocol == "dlpack" else self.cupy.asarray(array)

    def host(self, array):
        return array.get()

    def stream(self):
        stream = self.cupy.cuda.Stream(non_blocking=True)
        return stream, stream.ptr, stream

    def copied(self, source, target):
        target[...] = source

    def pointer(self, array):
        return array.data.ptr

    def wait(self):
        self.cupy.cuda.Device().synchronize()


def library_of(name, machine):
    if not machine.real:
        pytest.skip("needs a GPU that is not played: other libraries know their driver")
    return {"torch": Torch, "cupy": Cupy}[name]()


class Handed:
    """Another library's array by one of the protocols alone."""

    def __init__(self, array, protocol):
        self.array = array
        if protocol == "interface":
            self.__cuda_array_interface__ = array.__cuda_array_interface__
        else:
            self.__dlpack__, self.__dlpack_device__ = array.__dlpack__, array.__dlpack_device__


class Named:
    """A stream of another library, as `hold` wants it."""

    def __init__(self, handle):
        self.handle = handle


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_another_library_sees_the_same_memory(gpu, machine, name, protocol, dtype):
    library, stream = library_of(name, machine), gpu.stream()
    host = (np.arange(24).reshape(2, 3, 4) % 3).astype(dtype)
    array = gpu.empty(host.shape, dtype)
    gpu.upload(host, array, stream)
    stream.synchronize()
    seen = library.taken(array, protocol)
    assert library.pointer(seen) == array.pointer
    assert library.host(seen).dtype == host.dtype and np.array_equal(library.host(seen), host)
    part = array[1]
    assert np.array_equal(library.host(library.taken(part, protocol)), host[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_the_memory_of_another_library_is_seen(gpu, machine, name, protocol, dtype):
    library, stream = library_of(name, machine), gpu.stream()
    host = (np.arange(24).reshape(2, 3, 4) % 3).astype(dtype)
    made = library.made(host)
    view = gpu.view(Handed(made, protocol), stream)
    assert (view.pointer, view.shape, view.dtype) == (library.pointer(made), host.shape, host.dtype)
    assert view.contiguous
    back = np.empty(host.shape, dtype)
    gpu.download(view, back, stream)
    stream.synchronize()
    assert np.array_equal(back, host)
    cropped = gpu.view(Handed(made[:, :2], protocol), stream)
    assert (cropped.shape, cropped.strides) == ((2, 2, 4), host[:, :2].strides) and not cropped.contiguous


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_another_library_waits_for_the_work_that_fills_an_array(gpu, machine, name, protocol):
    library, stream = library_of(name, machine), gpu.stream()
    source, array = gpu.pinned((1024,), np.int32), gpu.empty((1024,), np.int32)
    copy = library.made(np.zeros(1024, np.int32))
    library.copied(
        library.made(np.zeros(1024, np.int32)), copy
    )  # whatever has to be loaded is loaded before a stream is held
    library.wait()
    source[:] = 7
    _, _, current = library.stream()
    holding = machine.hold(stream) if protocol == "dlpack" else nullcontext()
    with current, holding:
        gpu.upload(source, array, stream)
        if protocol == "interface":  # CuPy waits on the host, PyTorch leaves it to the caller
            stream.synchronize()
        library.copied(library.taken(array, protocol), copy)
    library.wait()
    assert library.host(copy).min() == 7


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", LIBRARIES)
def test_an_array_of_another_library_is_waited_for(gpu, machine, name, protocol):
    if (name, protocol) == ("torch", "interface"):
        pytest.skip("PyTorch names no stream in this protocol")
    library, stream = library_of(name, machine), gpu.stream()
    made, seven = (library.made(np.full(1024, n, np.int32)) for n in (0, 7))
    target = gpu.pinned((1024,), np.int32)
    library.copied(made, library.made(np.zeros(1024, np.int32)))
    library.wait()
    other, handle, current = library.stream()
    with current, machine.hold(Named(handle)):
        library.copied(seven, made)
        gpu.download(gpu.view(Handed(made, protocol), stream), target, stream)
    stream.synchronize()
    assert target.min() == 7 and other is not None


@pytest.mark.parametrize("name", LIBRARIES)
def test_memory_lives_as_long_as_another_library_sees_it(gpu, machine, name):
    library, stream = library_of(name, machine), gpu.stream()
    array = gpu.empty((1024,), np.uint8)
    gpu.upload(np.full(1024, 7, np.uint8), array, stream)
    seen = library.taken(array, "dlpack")
    array.close()
    gc.collect()
    assert machine.held()["memory"] == 1 and library.host(seen).min() == 7
    del seen
    gc.collect()
    assert "memory" not in machine.held()


@pytest.mark.parametrize("name", LIBRARIES)
def test_memory_of_another_library_lives_as_long_as_it_is_seen_here(gpu, machine, name):
    library, stream = library_of(name, machine), gpu.stream()
    view = gpu.view(Handed(library.made(np.full(2**20, 7, np.uint8)), "dlpack"), stream)
    gc.collect()
    others = [library.made(np.zeros(2**20, np.uint8)) for _ in range(8)]  # would be put where it was
    back = np.empty(view.shape, np.uint8)
    gpu.download(view, back, stream)
    stream.synchronize()
    assert back.min() == 7 and len(others) == 8


@pytest.mark.parametrize("name", LIBRARIES)
def test_another_library_works_on_when_the_gpu_is_closed(machine, bindings, name):
    from facesr_edge.engines.cuda.device import Gpu

    library = library_of(name, machine)
    made = library.made(np.full(64, 7, np.uint8))
    for _ in range(2):
        with Gpu(0, bindings) as gpu, gpu.current():
            gpu.empty((64,), np.uint8)
            assert library.host(library.made(library.host(made))).min() == 7
        assert library.host(made + made).max() == 14

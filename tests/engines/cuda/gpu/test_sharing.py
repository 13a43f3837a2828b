"""GPU arrays shared with other libraries: layout, lifetime of the memory and stream synchronization."""

import gc

import numpy as np
import pytest
from facesr_edge.engines.errors import EngineError


class Surface:
    """Array of another library that has only the CUDA Array Interface."""

    def __init__(self, array, **fields):
        self.array = array
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, **fields}


def test_the_cuda_array_interface_describes_the_array(gpu):
    array, stream = gpu.empty((2, 3), np.float32), gpu.stream()
    assert array.__cuda_array_interface__ == {
        "shape": (2, 3),
        "typestr": "<f4",
        "data": (array.pointer, False),
        "version": 3,
        "strides": None,
        "stream": None,
    }
    gpu.upload(np.zeros((2, 3), np.float32), array, stream)
    assert array.__cuda_array_interface__["stream"] == stream.handle  # readers must wait for it
    stream.close()
    assert array.__cuda_array_interface__["stream"] is None  # the stream is done
    assert gpu.view(array, gpu.stream()).pointer == array.pointer


@pytest.mark.parametrize("protocol", ["dlpack", "interface"])
def test_a_view_shares_the_memory(gpu, protocol):
    array, stream = gpu.empty((4, 5), np.float16), gpu.stream()
    view = gpu.view(array if protocol == "dlpack" else Surface(array), stream)
    assert (view.pointer, view.shape, view.dtype, view.strides) == (array.pointer, (4, 5), np.float16, (10, 2))
    gpu.upload(np.full((4, 5), 3, np.float16), view, stream)
    host = np.empty((4, 5), np.float16)
    gpu.download(array, host, stream)
    stream.synchronize()
    assert host.min() == 3


@pytest.mark.parametrize("protocol", ["dlpack", "interface"])
def test_memory_is_freed_with_its_last_view(gpu, machine, protocol):
    array = gpu.empty((4,), np.uint8)
    other = array if protocol == "dlpack" else Surface(array)
    view = gpu.view(other)
    if protocol == "dlpack":
        array.close()  # exported: freed by the consumer
    del array, other
    gc.collect()
    assert machine.live_objects()["memory"] == 1
    view.close()
    view.close()
    gc.collect()
    assert "memory" not in machine.live_objects()


def test_an_unused_capsule_releases_the_memory(gpu, machine):
    array = gpu.empty((4,), np.uint8)
    capsule = array.__dlpack__()
    array.close()
    assert machine.live_objects()["memory"] == 1
    del capsule
    assert "memory" not in machine.live_objects()


def test_entries_and_leading_entries_share_the_memory(gpu):
    stream, array = gpu.stream(), gpu.empty((4, 3, 2), np.int32)
    gpu.upload(np.arange(24, dtype=np.int32).reshape(4, 3, 2), array, stream)
    first, third, host = array.leading(2), array[2], np.empty((3, 2), np.int32)
    assert (len(array), first.shape, third.shape) == (4, (2, 3, 2), (3, 2))
    assert (first.pointer, third.pointer) == (array.pointer, array.pointer + 48)
    array.close()
    gpu.download(third, host, stream)
    stream.synchronize()
    assert host[0, 0] == 12
    for access in (lambda: first.leading(3), lambda: first[2], lambda: first[-1]):
        with pytest.raises(EngineError, match=r"expected .*0 to"):
            access()


@pytest.mark.parametrize("protocol", ["dlpack", "interface"])
def test_the_consumer_stream_waits_for_the_writer_stream(gpu, machine, protocol):
    writer, reader = gpu.stream(), gpu.stream()
    source, array, target = gpu.pinned((4,), np.int32), gpu.empty((4,), np.int32), gpu.pinned((4,), np.int32)
    source[:], target[:] = 7, 0
    with machine.blocked(writer):
        gpu.upload(source, array, writer)
        view = gpu.view(array if protocol == "dlpack" else Surface(array), reader)
        gpu.download(view, target, reader)
    reader.synchronize()  # the writer stream is not synchronized explicitly
    assert target.min() == 7


def test_a_view_without_a_stream_does_not_synchronize(gpu, machine):
    if not gpu.graphs:
        pytest.skip("pycuda synchronizes all streams")
    writer, reader = gpu.stream(), gpu.stream()
    source, array, target = gpu.pinned((4,), np.int32), gpu.empty((4,), np.int32), gpu.pinned((4,), np.int32)
    source[:] = 0
    gpu.upload(source, array, reader)
    reader.synchronize()
    source[:], target[:] = 7, 1
    with machine.blocked(writer):
        gpu.upload(source, array, writer)
        view = gpu.view(array)  # no stream: the caller has synchronized
        gpu.download(view, target, reader)
        reader.synchronize()
        assert target.max() == 0


def test_dlpack_export_follows_the_specification(gpu):
    array = gpu.empty((4,), np.uint8)
    assert array.__dlpack_device__() == (2, 0)
    for request in ({"copy": True}, {"dl_device": (1, 0)}):
        with pytest.raises(BufferError, match="is not supported"):
            array.__dlpack__(**request)
    assert "dltensor" in repr(array.__dlpack__(stream=None, max_version=(1, 1), dl_device=(2, 0), copy=False))


def test_arrays_that_are_not_on_this_gpu_raise(gpu):
    class OtherDevice:
        def __dlpack_device__(self):
            return 2, 5

        def __dlpack__(self, **_):
            raise AssertionError("must not be called")

    with pytest.raises(EngineError, match="got one in host memory; upload it first"):
        gpu.view(np.zeros(3))
    with pytest.raises(EngineError, match="expected an array on GPU 0, got one on GPU 5"):
        gpu.view(OtherDevice())
    with pytest.raises(EngineError, match="expected an array with __dlpack__ or __cuda_array_interface__, got list"):
        gpu.view([1, 2])


def test_padded_rows_are_viewed_but_cannot_be_copied(gpu):
    whole = gpu.empty((4, 16), np.uint8)
    view = gpu.view(Surface(whole, shape=(4, 10), strides=(16, 1)))
    assert not view.contiguous and view.nbytes == 40
    assert view.__cuda_array_interface__["strides"] == (16, 1)
    with pytest.raises(EngineError, match="expected contiguous arrays"):
        gpu.download(view, np.empty((4, 10), np.uint8), gpu.stream())

"""Arrays in the GPU's memory handed to and taken from other libraries: where, whose, and who waits for whom."""

import gc

import numpy as np
import pytest
from facesr_edge.engines.errors import EngineError


class Surface:
    """Memory of another library, described as Numba, CuPy and DeepStream do."""

    def __init__(self, array, **fields):
        self.array = array
        self.__cuda_array_interface__ = {**array.__cuda_array_interface__, **fields}


def test_the_interface_says_where_the_array_is(gpu):
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
    assert array.__cuda_array_interface__["stream"] == stream.handle  # who reads it has to wait for that
    stream.close()
    assert array.__cuda_array_interface__["stream"] is None  # its work is done
    assert gpu.view(array, gpu.stream()).pointer == array.pointer


@pytest.mark.parametrize("protocol", ["dlpack", "interface"])
def test_a_view_is_the_same_memory(gpu, protocol):
    array, stream = gpu.empty((4, 5), np.float16), gpu.stream()
    view = gpu.view(array if protocol == "dlpack" else Surface(array), stream)
    assert (view.pointer, view.shape, view.dtype, view.strides) == (array.pointer, (4, 5), np.float16, (10, 2))
    gpu.upload(np.full((4, 5), 3, np.float16), view, stream)
    host = np.empty((4, 5), np.float16)
    gpu.download(array, host, stream)
    stream.synchronize()
    assert host.min() == 3


@pytest.mark.parametrize("protocol", ["dlpack", "interface"])
def test_memory_lives_as_long_as_somebody_sees_it(gpu, machine, protocol):
    array = gpu.empty((4,), np.uint8)
    other = array if protocol == "dlpack" else Surface(array)
    view = gpu.view(other)
    if protocol == "dlpack":
        array.close()  # lent: freed when the taker lets go
    del array, other
    gc.collect()
    assert machine.held()["memory"] == 1
    view.close()
    view.close()
    gc.collect()
    assert "memory" not in machine.held()


def test_a_capsule_that_nobody_takes_holds_nothing_for_ever(gpu, machine):
    array = gpu.empty((4,), np.uint8)
    capsule = array.__dlpack__()
    array.close()
    assert machine.held()["memory"] == 1
    del capsule
    assert "memory" not in machine.held()


def test_entries_and_the_first_of_them_share_the_memory(gpu):
    stream, array = gpu.stream(), gpu.empty((4, 3, 2), np.int32)
    gpu.upload(np.arange(24, dtype=np.int32).reshape(4, 3, 2), array, stream)
    first, third, host = array.leading(2), array[2], np.empty((3, 2), np.int32)
    assert (len(array), first.shape, third.shape) == (4, (2, 3, 2), (3, 2))
    assert (first.pointer, third.pointer) == (array.pointer, array.pointer + 48)
    array.close()
    gpu.download(third, host, stream)
    stream.synchronize()
    assert host[0, 0] == 12
    for wrong in (lambda: first.leading(3), lambda: first[2], lambda: first[-1]):
        with pytest.raises(EngineError, match=r"expected .*0 to"):
            wrong()


@pytest.mark.parametrize("protocol", ["dlpack", "interface"])
def test_who_takes_an_array_waits_for_the_work_that_fills_it(gpu, machine, protocol):
    filling, reading = gpu.stream(), gpu.stream()
    source, array, target = gpu.pinned((4,), np.int32), gpu.empty((4,), np.int32), gpu.pinned((4,), np.int32)
    source[:], target[:] = 7, 0
    with machine.hold(filling):
        gpu.upload(source, array, filling)
        view = gpu.view(array if protocol == "dlpack" else Surface(array), reading)
        gpu.download(view, target, reading)
    reading.synchronize()  # the filling stream is not waited for by name
    assert target.min() == 7


def test_a_lender_that_is_told_not_to_wait_does_not(gpu, machine):
    if not gpu.graphs:
        pytest.skip("pycuda waits for all streams")
    filling, reading = gpu.stream(), gpu.stream()
    source, array, target = gpu.pinned((4,), np.int32), gpu.empty((4,), np.int32), gpu.pinned((4,), np.int32)
    source[:] = 0
    gpu.upload(source, array, reading)
    reading.synchronize()
    source[:], target[:] = 7, 1
    with machine.hold(filling):
        gpu.upload(source, array, filling)
        view = gpu.view(array)  # the caller says that it has waited
        gpu.download(view, target, reading)
        reading.synchronize()
        assert target.max() == 0


def test_dlpack_keeps_to_its_rules(gpu):
    array = gpu.empty((4,), np.uint8)
    assert array.__dlpack_device__() == (2, 0)
    for wish in ({"copy": True}, {"dl_device": (1, 0)}):
        with pytest.raises(BufferError, match="stays where it is"):
            array.__dlpack__(**wish)
    assert "dltensor" in repr(array.__dlpack__(stream=None, max_version=(1, 1), dl_device=(2, 0), copy=False))


def test_arrays_that_are_not_on_the_gpu_are_told(gpu):
    class Elsewhere:
        def __dlpack_device__(self):
            return 2, 5

        def __dlpack__(self, **_):
            raise AssertionError("must not be asked")

    with pytest.raises(EngineError, match="got one in the host's; upload it first"):
        gpu.view(np.zeros(3))
    with pytest.raises(EngineError, match="expected an array on GPU 0, got one on GPU 5"):
        gpu.view(Elsewhere())
    with pytest.raises(EngineError, match="expected an array with __dlpack__ or __cuda_array_interface__, got list"):
        gpu.view([1, 2])


def test_rows_with_gaps_are_seen_but_not_copied_as_if_without(gpu):
    whole = gpu.empty((4, 16), np.uint8)
    view = gpu.view(Surface(whole, shape=(4, 10), strides=(16, 1)))
    assert not view.contiguous and view.nbytes == 40
    assert view.__cuda_array_interface__["strides"] == (16, 1)
    with pytest.raises(EngineError, match="without gaps"):
        gpu.download(view, np.empty((4, 10), np.uint8), gpu.stream())

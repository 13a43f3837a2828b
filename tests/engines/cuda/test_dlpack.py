"""DLPack capsules against those of numpy and PyTorch, on the CPU: how they are laid out, and who frees what when."""

import gc
import sys
import weakref

import numpy as np
import pytest
from facesr_edge.engines.cuda import dlpack
from facesr_edge.engines.cuda.dlpack import Layout, capsule_of, packed, taken_from
from facesr_edge.engines.errors import EngineError

CPU = (1, 0)
DTYPES = ["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64", "complex64"]


class Owner:
    """Lends its array as a library does, and can be watched."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **_):
        a = self.array
        return capsule_of(Layout(a.ctypes.data, a.shape, a.dtype, a.strides, CPU), self)

    def __dlpack_device__(self):
        return CPU


def filled(dtype, shape=(3, 4, 5)):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_reads_what_is_lent(dtype):
    array = filled(dtype)
    taken = np.from_dlpack(Owner(array))
    assert taken.dtype == array.dtype and np.array_equal(taken, array)
    assert taken.ctypes.data == array.ctypes.data  # no copy


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_numpy_lends_is_read(dtype):
    array = filled(dtype)
    taken = taken_from(array.__dlpack__())
    assert taken.layout == Layout(array.ctypes.data, array.shape, array.dtype, array.strides, CPU)


def test_rows_with_gaps_keep_their_strides():
    array = filled("float32", (6, 8))[::2, :5]
    assert taken_from(array.__dlpack__()).layout.strides == (64, 4)
    assert np.array_equal(np.from_dlpack(Owner(array)), array)


def test_pytorch_reads_what_is_lent():
    torch = pytest.importorskip("torch")
    array = filled("float32")
    tensor = torch.from_dlpack(Owner(array))
    tensor[0, 0, 0] = 99
    assert array[0, 0, 0] == 99
    assert taken_from(tensor.__dlpack__()).layout.pointer == array.ctypes.data


def test_what_is_lent_lives_until_the_taker_lets_go():
    owner = Owner(filled("float32"))
    seen, array = weakref.ref(owner), owner.array
    taken = np.from_dlpack(owner)
    del owner
    gc.collect()
    assert seen() is not None and np.array_equal(taken, array)
    del taken
    gc.collect()
    assert seen() is None and dlpack._lent == {}


def test_a_capsule_that_nobody_takes_frees_what_it_holds():
    owner = Owner(filled("float32"))
    seen, capsule = weakref.ref(owner), owner.__dlpack__()
    del owner
    assert seen() is not None
    del capsule
    assert seen() is None and dlpack._lent == {}


def test_what_is_taken_is_given_back_once():
    array = filled("float32")
    before = sys.getrefcount(array)
    taken = taken_from(array.__dlpack__())
    assert sys.getrefcount(array) > before
    taken.close()
    taken.close()
    assert sys.getrefcount(array) == before
    taken = taken_from(array.__dlpack__())
    del taken
    assert sys.getrefcount(array) == before


def test_a_capsule_is_taken_once():
    capsule = filled("float32").__dlpack__()
    taken = taken_from(capsule)
    assert "used_dltensor" in repr(capsule)
    with pytest.raises(EngineError, match="expected a DLPack capsule that nobody has taken"):
        taken_from(capsule)
    del capsule  # its array is the taker's now
    assert taken.layout.shape == (3, 4, 5)
    with pytest.raises(EngineError, match="expected a DLPack capsule"):
        taken_from("no capsule at all")


def test_numbers_that_numpy_does_not_know_are_told():
    torch = pytest.importorskip("torch")
    with pytest.raises(EngineError, match=r"got DLPack's type 4 of 16 bits; convert it first"):
        taken_from(torch.zeros(3, dtype=torch.bfloat16).__dlpack__())
    with pytest.raises(BufferError, match="expected numbers or booleans, got <U3"):
        capsule_of(Layout(0, (1,), np.dtype("<U3"), (12,), CPU), None)


@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3, 4), (1, 5, 1)])
def test_packed_strides_are_numpys(shape):
    assert packed(shape, 4) == np.zeros(shape, np.float32).strides or 0 in shape


def test_many_rounds_leave_nothing_behind():
    array = filled("uint8")
    before = sys.getrefcount(array)
    for _ in range(1000):
        np.from_dlpack(Owner(array))
        taken_from(array.__dlpack__()).close()
    gc.collect()
    assert sys.getrefcount(array) == before and dlpack._lent == {}

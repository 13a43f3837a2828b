"""DLPack export and import against numpy and PyTorch, on the CPU: layout and lifetime."""

import gc
import sys
import weakref

import numpy as np
import pytest
from facesr_edge.engines.cuda import dlpack
from facesr_edge.engines.cuda.dlpack import Layout, capsule_from_layout, contiguous_strides, tensor_from_capsule
from facesr_edge.engines.errors import EngineError

CPU = (1, 0)
DTYPES = ["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64", "complex64"]


class Owner:
    """Exports its array; can be weakly referenced."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **_):
        array = self.array
        layout = Layout(array.ctypes.data, array.shape, array.dtype, array.strides, CPU)
        return capsule_from_layout(layout, self)

    def __dlpack_device__(self):
        return CPU


def ramp(dtype, shape=(3, 4, 5)):
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_imports_exported_arrays(dtype):
    array = ramp(dtype)
    imported = np.from_dlpack(Owner(array))
    assert imported.dtype == array.dtype and np.array_equal(imported, array)
    assert imported.ctypes.data == array.ctypes.data  # no copy


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_numpy_are_imported(dtype):
    array = ramp(dtype)
    imported = tensor_from_capsule(array.__dlpack__())
    assert imported.layout == Layout(array.ctypes.data, array.shape, array.dtype, array.strides, CPU)


def test_strides_are_kept():
    array = ramp("float32", (6, 8))[::2, :5]
    assert tensor_from_capsule(array.__dlpack__()).layout.strides == (64, 4)
    assert np.array_equal(np.from_dlpack(Owner(array)), array)


def test_pytorch_imports_and_exports():
    torch = pytest.importorskip("torch")
    array = ramp("float32")
    tensor = torch.from_dlpack(Owner(array))
    tensor[0, 0, 0] = 99
    assert array[0, 0, 0] == 99
    assert tensor_from_capsule(tensor.__dlpack__()).layout.pointer == array.ctypes.data


def test_an_exported_array_lives_as_long_as_its_consumer():
    owner = Owner(ramp("float32"))
    reference, array = weakref.ref(owner), owner.array
    imported = np.from_dlpack(owner)
    del owner
    gc.collect()
    assert reference() is not None and np.array_equal(imported, array)
    del imported
    gc.collect()
    assert reference() is None and dlpack._exported == {}


def test_an_unused_capsule_releases_its_array():
    owner = Owner(ramp("float32"))
    reference, capsule = weakref.ref(owner), owner.__dlpack__()
    del owner
    assert reference() is not None
    del capsule
    assert reference() is None and dlpack._exported == {}


def test_an_imported_array_is_released_once():
    array = ramp("float32")
    before = sys.getrefcount(array)
    imported = tensor_from_capsule(array.__dlpack__())
    assert sys.getrefcount(array) > before
    imported.close()
    imported.close()
    assert sys.getrefcount(array) == before
    imported = tensor_from_capsule(array.__dlpack__())
    del imported
    assert sys.getrefcount(array) == before


def test_a_capsule_is_consumed_once():
    capsule = ramp("float32").__dlpack__()
    imported = tensor_from_capsule(capsule)
    assert "used_dltensor" in repr(capsule)
    with pytest.raises(EngineError, match="expected an unused DLPack capsule"):
        tensor_from_capsule(capsule)
    del capsule  # the array belongs to the consumer
    assert imported.layout.shape == (3, 4, 5)
    with pytest.raises(EngineError, match="expected an unused DLPack capsule"):
        tensor_from_capsule("not a capsule")


def test_unsupported_dtypes_raise():
    torch = pytest.importorskip("torch")
    with pytest.raises(EngineError, match=r"got DLPack type code 4 of 16 bits; convert it first"):
        tensor_from_capsule(torch.zeros(3, dtype=torch.bfloat16).__dlpack__())
    with pytest.raises(BufferError, match="expected numbers or booleans, got <U3"):
        capsule_from_layout(Layout(0, (1,), np.dtype("<U3"), (12,), CPU), None)


@pytest.mark.parametrize("shape", [(), (0,), (7,), (2, 3, 4), (1, 5, 1)])
def test_contiguous_strides_equal_those_of_numpy(shape):
    assert contiguous_strides(shape, 4) == np.zeros(shape, np.float32).strides or 0 in shape


def test_1000_exports_and_imports_leak_nothing():
    array = ramp("uint8")
    before = sys.getrefcount(array)
    for _ in range(1000):
        np.from_dlpack(Owner(array))
        tensor_from_capsule(array.__dlpack__()).close()
    gc.collect()
    assert sys.getrefcount(array) == before and dlpack._exported == {}

"""DLPack: export and import of arrays as Python capsules, without a copy.

Source: the DLPack specification, ``dlpack.h`` and its Python rules: a capsule is named "dltensor" until a consumer
takes the tensor, renames the capsule "used_dltensor" and later calls the tensor's deleter once.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from math import prod
from typing import Any
from weakref import finalize

import numpy as np

from ..errors import EngineError

CUDA, CUDA_HOST, CUDA_MANAGED = 2, 3, 13
"""DLDeviceType values of memory that a GPU can address."""
_TYPE_CODES = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}
"""numpy dtype kind -> DLDataTypeCode."""
_UNUSED_NAME, _USED_NAME = b"dltensor", b"used_dltensor"


class _ManagedTensor(ctypes.Structure):
    """DLManagedTensor: a DLTensor, the exporter's context and the deleter."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
        ("context", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
    )


_Callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
"""Type of tensor deleters and capsule destructors."""


def _capsule_function(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(result, *arguments)((f"PyCapsule_{name}", ctypes.pythonapi))


_capsule_new = _capsule_function("New", ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Callback)
_is_valid = _capsule_function("IsValid", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
_get_pointer = _capsule_function("GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
_set_name = _capsule_function("SetName", ctypes.c_int, ctypes.py_object, ctypes.c_char_p)
# The destructor gets the capsule as an address: a py_object argument would increment the count of a dying object.
_address_is_valid = _capsule_function("IsValid", ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)
_address_get_pointer = _capsule_function("GetPointer", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)

_exported: dict[int, tuple[Any, ...]] = {}
"""Address of an exported tensor -> the tensor, its shape and strides, and the owner of its memory."""


def _delete_exported(address: int) -> None:
    _exported.pop(address, None)


def _destroy_capsule(capsule: int) -> None:
    if _address_is_valid(capsule, _UNUSED_NAME):
        _exported.pop(_address_get_pointer(capsule, _UNUSED_NAME), None)


_deleter, _destructor = _Callback(_delete_exported), _Callback(_destroy_capsule)


@dataclass(frozen=True)
class Layout:
    """Memory layout of an array.

    Args:
        pointer: address of the first element.
        shape: elements along each axis.
        dtype: element type.
        strides: bytes from one element to the next along each axis.
        device: DLPack device type and device number.
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]
    device: tuple[int, int]


def capsule_from_layout(layout: Layout, owner: Any) -> Any:
    """Export an array as a capsule named "dltensor"; `owner` is referenced until the consumer calls the deleter.

    Raises:
        BufferError: DLPack cannot describe the dtype.
    """
    kind, size, ndim = layout.dtype.kind, layout.dtype.itemsize, len(layout.shape)
    if kind not in _TYPE_CODES:
        raise BufferError(f"expected numbers or booleans, got {layout.dtype}, which DLPack cannot describe")
    shape = (ctypes.c_int64 * ndim)(*layout.shape)
    strides = (ctypes.c_int64 * ndim)(*(s // size for s in layout.strides))
    tensor = _ManagedTensor(layout.pointer, *layout.device, ndim, _TYPE_CODES[kind], 8 * size, 1)
    tensor.shape = ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64))
    tensor.strides = ctypes.cast(strides, ctypes.POINTER(ctypes.c_int64))
    tensor.deleter = ctypes.cast(_deleter, ctypes.c_void_p)
    address = ctypes.addressof(tensor)
    _exported[address] = (tensor, shape, strides, owner)
    return _capsule_new(address, _UNUSED_NAME, _destructor)


class ImportedTensor:
    """Array taken from a capsule; its deleter is called by `close`, or when the object is collected."""

    def __init__(self, layout: Layout, address: int) -> None:
        self.layout = layout
        self._finalizer = finalize(self, _call_deleter, address)

    def close(self) -> None:
        """Return the memory to its library; no effect if closed."""
        self._finalizer()


def tensor_from_capsule(capsule: Any) -> ImportedTensor:
    """Import an array.

    Raises:
        EngineError: not an unused capsule, or a data type that numpy does not have.
    """
    if not _is_valid(capsule, _UNUSED_NAME):
        raise EngineError("expected an unused DLPack capsule, got a used one or another object; export the array again")
    address = _get_pointer(capsule, _UNUSED_NAME)
    tensor = _ManagedTensor.from_address(address)
    kinds = [kind for kind, code in _TYPE_CODES.items() if code == tensor.code]
    size = tensor.bits // 8
    try:
        dtype = np.dtype(f"{kinds[0]}{size}")
    except (IndexError, TypeError):
        raise EngineError(
            f"expected a data type that numpy supports, got DLPack type code {tensor.code} of {tensor.bits} bits; "
            "convert it first"
        ) from None
    if tensor.lanes != 1:
        raise EngineError(f"expected scalar elements, got vectors of {tensor.lanes}; convert them first")
    shape = tuple(tensor.shape[: tensor.ndim])
    elements = tensor.strides[: tensor.ndim] if tensor.strides else None
    strides = tuple(size * step for step in elements) if elements else contiguous_strides(shape, size)
    pointer = (tensor.data or 0) + tensor.byte_offset
    layout = Layout(pointer, shape, dtype, strides, (tensor.device_type, tensor.device_id))
    _set_name(capsule, _USED_NAME)
    return ImportedTensor(layout, address)


def contiguous_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides in bytes of a C-contiguous array."""
    return tuple(itemsize * prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _call_deleter(address: int) -> None:
    deleter = _ManagedTensor.from_address(address).deleter
    if deleter:
        _Callback(deleter)(address)

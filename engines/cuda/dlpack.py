"""DLPack: arrays in the GPU's memory handed between libraries without a copy, as capsules of Python's C interface.

Source: the DLPack specification, ``dlpack.h`` and its Python rules: a capsule is named "dltensor" until somebody takes
the tensor out of it, who renames it and calls the tensor's deleter once.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any
from weakref import finalize

import numpy as np

from ..errors import EngineError

CUDA, CUDA_HOST, CUDA_MANAGED = 2, 3, 13
"""Kinds of memory that a GPU can read by its address."""
_KINDS = {"i": 0, "u": 1, "f": 2, "c": 5, "b": 6}
"""Kind of a numpy dtype -> DLPack's code."""
_FRESH, _TAKEN = b"dltensor", b"used_dltensor"


class _Tensor(ctypes.Structure):
    """DLManagedTensor: a DLTensor, what its maker keeps, and how to let go of it."""

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


_Deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_Destructor = ctypes.CFUNCTYPE(None, ctypes.c_void_p)

_python = ctypes.pythonapi
_new = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, _Destructor)(("PyCapsule_New", _python))
_is = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_IsValid", _python))
_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", _python))
_rename = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_SetName", _python))
# The destructor gets a capsule that is dying: as a bare address, for a reference would bring it back to life.
_dying_is = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", _python))
_dying_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_GetPointer", _python))

_lent: dict[int, tuple[Any, ...]] = {}
"""Address of a tensor that somebody holds -> the tensor and what its memory belongs to."""


def _let_go(address: int) -> None:
    _lent.pop(address, None)


def _unless_taken(capsule: int) -> None:
    if _dying_is(capsule, _FRESH):
        _lent.pop(_dying_pointer(capsule, _FRESH), None)


_deleter, _destructor = _Deleter(_let_go), _Destructor(_unless_taken)


@dataclass(frozen=True)
class Layout:
    """Where an array lies.

    Args:
        pointer: address of the first element.
        shape: elements along each axis.
        dtype: of an element.
        strides: bytes from one element to the next along each axis.
        device: DLPack's kind of memory, and number of the device.
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]
    device: tuple[int, int]


def capsule_of(layout: Layout, owner: Any) -> Any:
    """Lend an array.

    Args:
        layout: where it lies.
        owner: what its memory belongs to; held until the taker lets go.

    Returns:
        A capsule named "dltensor".

    Raises:
        BufferError: DLPack has no word for the dtype.
    """
    kind, size, ndim = layout.dtype.kind, layout.dtype.itemsize, len(layout.shape)
    if kind not in _KINDS:
        raise BufferError(f"expected numbers or booleans, got {layout.dtype}, which DLPack cannot describe")
    shape = (ctypes.c_int64 * ndim)(*layout.shape)
    strides = (ctypes.c_int64 * ndim)(*(s // size for s in layout.strides))
    tensor = _Tensor(layout.pointer, *layout.device, ndim, _KINDS[kind], 8 * size, 1)
    tensor.shape = ctypes.cast(shape, ctypes.POINTER(ctypes.c_int64))
    tensor.strides = ctypes.cast(strides, ctypes.POINTER(ctypes.c_int64))
    tensor.deleter = ctypes.cast(_deleter, ctypes.c_void_p)
    address = ctypes.addressof(tensor)
    _lent[address] = (tensor, shape, strides, owner)
    return _new(address, _FRESH, _destructor)


class Taken:
    """An array taken out of a capsule; given back by `close`, or when nobody holds it any more."""

    def __init__(self, layout: Layout, address: int) -> None:
        self.layout = layout
        self._finalizer = finalize(self, _give_back, address)

    def close(self) -> None:
        """Give it back to its library; harmless when done already."""
        self._finalizer()


def taken_from(capsule: Any) -> Taken:
    """Take an array out of a capsule.

    Raises:
        EngineError: not a fresh capsule, or numbers that numpy has no word for.
    """
    if not _is(capsule, _FRESH):
        raise EngineError("expected a DLPack capsule that nobody has taken, got another; ask for a new one")
    address = _pointer(capsule, _FRESH)
    tensor = _Tensor.from_address(address)
    kinds = [kind for kind, code in _KINDS.items() if code == tensor.code]
    size = tensor.bits // 8
    try:
        dtype = np.dtype(f"{kinds[0]}{size}")
    except (IndexError, TypeError):
        raise EngineError(
            f"expected an array of numbers that numpy knows, got DLPack's type {tensor.code} of {tensor.bits} bits; "
            "convert it first"
        ) from None
    if tensor.lanes != 1:
        raise EngineError(f"expected plain numbers, got vectors of {tensor.lanes}; convert them first")
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    strides = tuple(tensor.strides[i] * size for i in range(tensor.ndim)) if tensor.strides else packed(shape, size)
    pointer = (tensor.data or 0) + tensor.byte_offset
    layout = Layout(pointer, shape, dtype, strides, (tensor.device_type, tensor.device_id))
    _rename(capsule, _TAKEN)
    return Taken(layout, address)


def packed(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Strides in bytes of an array whose rows follow each other without gaps."""
    strides: list[int] = []
    step = itemsize
    for length in reversed(shape):
        strides.insert(0, step)
        step *= length
    return tuple(strides)


def _give_back(address: int) -> None:
    deleter = _Tensor.from_address(address).deleter
    if deleter:
        _Deleter(deleter)(address)

"""Tensors of an ONNX file that are stored in other files, found without the onnx package.

ONNX Runtime, OpenVINO and TensorRT load such files from wherever the graph says, by releases of ONNX Runtime up to 1.18
even outside of its folder. Only the wire format of protocol buffers is needed to find them; no weights are copied.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import BundleError, EngineError
from ..files import read_regular

MAX_FILE_BYTES = 2 << 30
"""Limit of the size of an ONNX file, that of protocol buffers."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MESSAGES = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Entry"},
    "Entry": {},
}
"""Message -> field number -> message, in ``onnx.proto``, for the fields that lead to tensors."""
_DATA_LOCATION, _EXTERNAL = 14, 1
_KEY, _VALUE = 1, 2


def check_complete(path: Path, onnx: bytes) -> None:
    """Check that a runtime can load an ONNX file without opening others.

    Args:
        path: for the message.
        onnx: content of the file.

    Raises:
        BundleError: not an ONNX file, or one with external data.
    """
    try:
        locations = external_data(onnx)
    except (ValueError, RecursionError):
        raise BundleError(f"{path} is not an ONNX file; copy it again, or rebuild it") from None
    if locations:
        raise BundleError(
            f"{path} has weights in another file ({locations[0]!r}), which is not verified; "
            "store them in the graph: onnx.save(onnx.load(FILE), FILE)"
        )


def read_onnx(path: Path) -> bytes:
    """Read an ONNX file that does not belong to a bundle, see `check_complete`.

    Raises:
        EngineError: missing, unreadable, not an ONNX file, or one with external data.
    """
    try:
        content = read_regular(path, MAX_FILE_BYTES)
        check_complete(path, content)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EngineError(f"{path} cannot be read ({reason}); give an ONNX file") from None
    except BundleError as error:
        raise EngineError(str(error)) from None
    return content


def external_data(onnx: bytes) -> tuple[str, ...]:
    """Locations of the external data of an ONNX file, as written in it; empty if it is complete.

    Raises:
        ValueError: not an ONNX file.
    """
    return tuple(dict.fromkeys(_locations(memoryview(onnx), "Model")))


def _locations(data: memoryview, kind: str) -> Iterator[str]:
    entry: dict[int, str] = {}
    for number, value in _fields(data):
        if isinstance(value, int):
            if kind == "Tensor" and number == _DATA_LOCATION and value == _EXTERNAL:
                yield "another file"
        elif kind == "Entry":
            entry[number] = bytes(value).decode("utf-8", "replace")
        elif number in _MESSAGES[kind]:
            yield from _locations(value, _MESSAGES[kind][number])
    if entry.get(_KEY) == "location":
        yield entry.get(_VALUE, "")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of each field of a message."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire}")
        if position + length > end:
            raise ValueError("a field is longer than its message")
        if wire == _BYTES:
            yield number, data[position : position + length]
        position += length


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """A variable-length integer, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("an integer does not end")

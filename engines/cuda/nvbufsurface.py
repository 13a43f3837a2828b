"""Frames of DeepStream on a Jetson (NvBufSurface) in GPU memory, without a copy. Not run on a Jetson yet.

CUDA cannot address the memory of a Jetson's video hardware; an EGL image of it can be registered with CUDA. The
layouts are those of nvbufsurface.h (JetPack 5 to 7), gstbuffer.h and cudaEGL.h. The driver is called with ctypes, since
pycuda has no EGL functions.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ..errors import EngineError
from .driver import driver_error

SURFACE_ARRAY = 4
"""NVBUF_MEM_SURFACE_ARRAY: memory of a Jetson's video hardware, the default of its GStreamer elements."""
RGBA, RGBX = 19, 23
"""NVBUF_COLOR_FORMAT_RGBA and _RGBx."""
_OTHER_FORMATS = {20: "BGRA", 21: "ARGB", 22: "ABGR", 24: "BGRx", 25: "xRGB", 26: "xBGR"}
_PITCH_LINEAR = 1
_MAP_READ = 1
_U32, _POINTER = ctypes.c_uint32, ctypes.c_void_p


class _Buffer(ctypes.Structure):
    """NvBufSurfaceParams: one frame of a batch."""

    _fields_ = (
        *((name, _U32) for name in ("width", "height", "pitch", "color_format", "layout")),
        *(("descriptor", ctypes.c_uint64), ("size", _U32), ("address", _POINTER), ("planes", ctypes.c_uint64 * 29)),
        *(("host_addresses", _POINTER * 4), ("egl_image", _POINTER), ("reserved", _POINTER * 8)),
    )


class _Batch(ctypes.Structure):
    """NvBufSurface."""

    _fields_ = (
        *(("gpu", _U32), ("size", _U32), ("filled", _U32), ("contiguous", ctypes.c_bool), ("memory", ctypes.c_int)),
        *(("buffers", ctypes.POINTER(_Buffer)), ("reserved", _POINTER * 4)),
    )


class _MapInfo(ctypes.Structure):
    """GstMapInfo."""

    _fields_ = (
        *(("memory", _POINTER), ("flags", ctypes.c_int), ("data", _POINTER)),
        *(("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t), ("reserved", _POINTER * 8)),
    )


class _EglFrame(ctypes.Structure):
    """CUeglFrame."""

    _fields_ = (
        ("planes", _POINTER * 3),
        *((name, ctypes.c_uint) for name in ("width", "height", "depth", "pitch", "plane_count", "channels")),
        *((name, ctypes.c_int) for name in ("frame_type", "color_format", "format")),
    )


@dataclass(frozen=True)
class RgbaFrame:
    """Frame in GPU memory, (height, width, 4) uint8 RGBA, with the CUDA Array Interface.

    Args:
        address: of the first pixel.
        width, height: in pixels.
        pitch: bytes from row to row.
    """

    address: int
    width: int
    height: int
    pitch: int

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "typestr": "|u1",
            "shape": (self.height, self.width, 4),
            "strides": (self.pitch, 4, 1),
            "data": (self.address, False),
            "stream": None,
        }


@contextmanager
def mapped_frame(buffer: int, index: int) -> Iterator[RgbaFrame]:
    """Map a frame of a batch into GPU memory. A context must be current; wait for work on the frame within the block.

    Args:
        buffer: address of the GstBuffer: ``hash(buffer)`` in Python.
        index: of the frame in the batch.

    Raises:
        EngineError: a library is missing, the frame is not RGBA in memory of the video hardware, or mapping fails.
    """
    cuda, surfaces = _library("libcuda.so.1"), _library("libnvbufsurface.so.1.0.0", "libnvbufsurface.so")
    with ExitStack() as stack:
        batch = stack.enter_context(_mapped_batch(buffer))
        _check(batch, index)
        if surfaces.NvBufSurfaceMapEglImage(ctypes.byref(batch), index):
            raise EngineError("NvBufSurfaceMapEglImage failed: EGL finds no display; try it with DISPLAY unset")
        stack.callback(surfaces.NvBufSurfaceUnMapEglImage, ctypes.byref(batch), index)
        resource, frame = ctypes.c_void_p(), _EglFrame()
        image = _POINTER(batch.buffers[index].egl_image)
        _call(cuda, "cuGraphicsEGLRegisterImage", ctypes.byref(resource), image, 0)
        stack.callback(_call, cuda, "cuGraphicsUnregisterResource", resource)
        _call(cuda, "cuGraphicsResourceGetMappedEglFrame", ctypes.byref(frame), resource, 0, 0)
        if (frame.frame_type, frame.plane_count, frame.channels) != (_PITCH_LINEAR, 1, 4):
            raise _not_rgba(f"{frame.plane_count} planes of {frame.channels} channels")
        yield RgbaFrame(frame.planes[0], frame.width, frame.height, frame.pitch)


@contextmanager
def _mapped_batch(buffer: int) -> Iterator[_Batch]:
    """The batch that a GstBuffer of memory:NVMM holds."""
    gst, info = _library("libgstreamer-1.0.so.0"), _MapInfo()
    if not gst.gst_buffer_map(_POINTER(buffer), ctypes.byref(info), _MAP_READ):
        raise EngineError("gst_buffer_map failed: the buffer cannot be read; end the pipeline with memory:NVMM buffers")
    try:
        if info.size < ctypes.sizeof(_Batch):
            raise EngineError(
                f"expected a buffer of memory:NVMM, got {info.size} bytes; add video/x-raw(memory:NVMM) to the pipeline"
            )
        yield _Batch.from_address(info.data)
    finally:
        gst.gst_buffer_unmap(_POINTER(buffer), ctypes.byref(info))


def _check(batch: _Batch, index: int) -> None:
    if batch.memory != SURFACE_ARRAY:
        raise EngineError(
            f"expected memory of the video hardware (type {SURFACE_ARRAY}), got type {batch.memory}; "
            "leave out nvbuf-memory-type"
        )
    if not 0 <= index < batch.filled:
        raise EngineError(f"expected a frame of 0 to {batch.filled - 1}, got {index}; take batch_id of its metadata")
    color_format = batch.buffers[index].color_format
    if color_format not in (RGBA, RGBX):
        raise _not_rgba(_OTHER_FORMATS.get(color_format, f"NvBufSurfaceColorFormat {color_format}"))


def _not_rgba(found: str) -> EngineError:
    return EngineError(
        f"expected a pitch-linear RGBA frame, got {found}; "
        "convert it: nvvideoconvert ! video/x-raw(memory:NVMM),format=RGBA"
    )


def _library(*names: str) -> Any:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise EngineError(f"{names[0]} not found; it is part of JetPack: sudo apt install nvidia-jetpack")


def _call(cuda: Any, name: str, *arguments: Any) -> None:
    status = getattr(cuda, name)(*arguments)
    if status:
        text = ctypes.c_char_p()
        cuda.cuGetErrorName(status, ctypes.byref(text))
        raise driver_error(name, (text.value or b"unknown").decode())

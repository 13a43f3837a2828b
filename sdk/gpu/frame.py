"""Frames on a GPU: uploaded from the host, or used where they are in GPU memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...engines.cuda import dlpack
from ...engines.cuda.array import DeviceArray
from ...engines.cuda.frame_ops import Nv12
from ...engines.errors import InputError
from ..pipeline.frame import Frame
from ..pipeline.tiling import Plan
from .context import GpuContext, Lane


@dataclass(frozen=True, eq=False)
class GpuFrame:
    """A frame on the GPU.

    Args:
        pixels: (H, W, 3) uint8 BGR.
        plan: detector passes over the frame.
        source: the frame in host memory; None if it came in GPU memory.
        lane: of the frame.
    """

    pixels: DeviceArray
    plan: Plan
    source: Frame | None
    lane: Lane


def is_gpu_frame(frame: Any) -> bool:
    """Whether a frame is in GPU memory: NV12, or an array with the CUDA array interface or a CUDA DLPack device."""
    if isinstance(frame, Nv12) or hasattr(frame, "__cuda_array_interface__"):
        return True
    kind = frame.__dlpack_device__()[0] if hasattr(frame, "__dlpack_device__") else None
    return kind in (dlpack.CUDA, dlpack.CUDA_MANAGED)


class FrameUploader:
    """Moves frames to the GPU, into buffers of their lane.

    Args:
        context: stream and kernels.
        plan_for: width and height -> detector passes over such a frame.
    """

    def __init__(self, context: GpuContext, plan_for: Callable[[int, int], Plan]) -> None:
        self._gpu, self._stream = context.gpu, context.stream
        self._ops, self._plan_for = context.ops, plan_for

    def from_host(self, frame: Frame, lane: Lane) -> GpuFrame:
        """Upload a frame once, through page-locked memory."""
        pinned = lane.buffers.pinned("frame", frame.pixels.shape)
        pinned[...] = frame.pixels
        pixels = lane.buffers.device("frame", frame.pixels.shape)
        self._gpu.upload(pinned, pixels, self._stream)
        return GpuFrame(pixels, self._plan(pixels), frame, lane)

    def from_gpu(self, frame: Any, lane: Lane) -> GpuFrame:
        """Use a frame in GPU memory; the stream waits for the work that writes it.

        Args:
            frame: (H, W, 3) uint8 BGR with ``__dlpack__`` or ``__cuda_array_interface__``, or NV12.

        Raises:
            InputError: another shape or dtype.
            EngineError: it is on another GPU.
        """
        pixels = self._bgr(frame, lane)
        return GpuFrame(pixels, self._plan(pixels), None, lane)

    def _plan(self, pixels: DeviceArray) -> Plan:
        height, width = pixels.shape[:2]
        return self._plan_for(width, height)

    def _bgr(self, frame: Any, lane: Lane) -> DeviceArray:
        """Contiguous BGR; without a copy if it has this layout."""
        if isinstance(frame, Nv12):
            luma, chroma = self._gpu.view(frame.luma, self._stream), self._gpu.view(frame.chroma, self._stream)
            return self._gather(Nv12(luma, chroma, frame.color_space), lane, *luma.shape)
        view = self._gpu.view(frame, self._stream)
        if view.dtype != np.uint8 or len(view.shape) != 3 or view.shape[2] != 3 or 0 in view.shape:
            raise InputError(f"expected a frame of (H, W, 3) uint8 BGR on the GPU, got {view.shape} {view.dtype}")
        view.stream = self._stream  # which waits for the owner's; readers on other streams wait for it
        return view if view.contiguous else self._gather(view, lane, *view.shape[:2])

    def _gather(self, frame: DeviceArray | Nv12, lane: Lane, height: int, width: int) -> DeviceArray:
        """Copy the frame as one window; its rows are contiguous."""
        window = lane.buffers.device("frame", (1, height, width, 3))
        self._ops.gather(frame, [(0, 0)], window)
        return window[0]

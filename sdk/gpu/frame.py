"""The way of a frame onto the GPU, from the host or from where it lies there already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.cuda import dlpack
from ...engines.cuda.array import DeviceArray
from ...engines.cuda.frame_ops import Nv12
from ...engines.errors import InputError
from ...engines.postprocess import GREY, within
from ..pipeline.frame import Frame
from ..pipeline.tiling import Plan
from .context import GpuContext


@dataclass(frozen=True, eq=False)
class GpuFrame:
    """A frame on the GPU.

    Args:
        picture: (H, W, 3) uint8 BGR; rows may have gaps between them if it came from the host.
        network_input: (1, H', W', 3), the frame padded with grey as the detector takes it; none where that is shown
            something else than the whole frame at full size, or where padding would need gaps between the rows of a
            frame that came on the GPU.
        plan: how the detector looks at it.
        source: the frame as the host has it; none if it came on the GPU.
    """

    picture: DeviceArray
    network_input: DeviceArray | None
    plan: Plan
    source: Frame | None


def lies_on_gpu(frame: Any) -> bool:
    """Whether a frame is in the GPU's memory: NV12, or an array that CUDA's or DLPack's protocol says is there."""
    if isinstance(frame, Nv12) or hasattr(frame, "__cuda_array_interface__"):
        return True
    kind = frame.__dlpack_device__()[0] if hasattr(frame, "__dlpack_device__") else None
    return kind in (dlpack.CUDA, dlpack.CUDA_MANAGED)


class FrameUploader:
    """Brings frames onto the GPU, into memory that is used again for the next one.

    Args:
        bench: where the work is queued.
        plan_for: width and height -> how the detector looks at such a frame.
    """

    def __init__(self, bench: GpuContext, plan_for: Callable[[int, int], Plan]) -> None:
        self._gpu, self._stream, self._room = bench.gpu, bench.stream, bench.room
        self._stages, self._plan_for = bench.stages, plan_for

    def from_host(self, frame: Frame) -> GpuFrame:
        """Upload a frame once, through page-locked memory, in the layout that the detector takes where it can be."""
        height, width = frame.pixels.shape[:2]
        plan = self._plan_for(width, height)
        high, wide = plan.looks[0].network_hw if plan.kind == "full" else (height, width)
        pinned = self._room.pinned("frame", (1, high, wide, 3))
        within(pinned[0], height, width)[:] = frame.pixels
        there = self._room.on_gpu("frame", pinned.shape)
        self._gpu.upload(pinned, there, self._stream)
        picture = there.part((height, width, 3), strides=(3 * wide, 3, 1))
        return GpuFrame(picture, there if plan.kind == "full" else None, plan, frame)

    def from_gpu(self, frame: Any) -> GpuFrame:
        """Take a frame where it lies; the stream is made to wait for the work that fills it.

        Args:
            frame: (H, W, 3) uint8 BGR with ``__dlpack__`` or ``__cuda_array_interface__``, or NV12.

        Raises:
            InputError: another shape or type.
            EngineError: it lies on another GPU.
        """
        picture = self._picture(frame)
        height, width = picture.shape[:2]
        plan = self._plan_for(width, height)
        high, wide = plan.looks[0].network_hw
        if plan.kind != "full" or wide != width:
            return GpuFrame(picture, None, plan, None)
        padded = self._room.on_gpu("frame", (1, high, wide, 3))
        self._gpu.copy(picture, padded.part(picture.shape), self._stream)
        if high > height:
            grey = _grey(high - height, wide)
            self._gpu.upload(grey, padded.part(grey.shape, start=picture.nbytes), self._stream)
        return GpuFrame(picture, padded, plan, None)

    def _picture(self, frame: Any) -> DeviceArray:
        """BGR without gaps between its rows, where it lies if it is so already."""
        if isinstance(frame, Nv12):
            luma, chroma = self._gpu.view(frame.luma, self._stream), self._gpu.view(frame.chroma, self._stream)
            return self._gathered(Nv12(luma, chroma, frame.colours), *luma.shape)
        seen = self._gpu.view(frame, self._stream)
        if seen.dtype != np.uint8 or len(seen.shape) != 3 or seen.shape[2] != 3 or 0 in seen.shape:
            raise InputError(f"expected a frame of (H, W, 3) uint8 BGR on the GPU, got {seen.shape} {seen.dtype}")
        return seen if seen.contiguous else self._gathered(seen, *seen.shape[:2])

    def _gathered(self, frame: DeviceArray | Nv12, height: int, width: int) -> DeviceArray:
        """The whole frame as windows as wide as it is, one below the other: their rows follow each other."""
        corners = [(0, top) for top in range(0, height, width)]
        windows = self._room.on_gpu("windows", (len(corners), width, width, 3))
        self._stages.gather(frame, corners, windows)
        return windows.part((height, width, 3))


@lru_cache(maxsize=4)
def _grey(height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), GREY, np.uint8)

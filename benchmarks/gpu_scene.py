"""Test frames on GPU and host, and every frame operation on both; timed by `gpu_stages.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from facesr_edge.engines.cuda.array import DeviceArray
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.frame_ops import FrameOps, Nv12
from facesr_edge.engines.cuda.streams import Stream
from facesr_edge.sdk.pipeline.crop import Window, crops_of
from facesr_edge.sdk.pipeline.paste import FEATHER, enlarge, paste
from facesr_edge.sdk.pipeline.results import Face
from numpy.typing import NDArray

SIDE, SCALE = 96, 4
"""Crop size in pixels, and scale of the network."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Stage:
    """A frame operation on GPU and CPU."""

    name: str
    faces: int  # number of faces; 0 if independent of it
    gpu: Callable[[], None]  # queues the operation
    cpu: Callable[[], Any] | None  # the same on the CPU; None for copies
    difference: Callable[[], float]  # to the CPU result in gray levels, after one `gpu` call
    max_difference: float  # allowed difference
    nbytes: int  # minimum number of bytes read and written


class Scene:
    """Frames of one size (columns and rows, even), with all work queued on one stream."""

    def __init__(self, gpu: Gpu, ops: FrameOps, stream: Stream, size_wh: tuple[int, int]) -> None:
        self.gpu, self.ops, self.stream = gpu, ops, stream
        (width, height), self.rng = size_wh, np.random.default_rng(0)
        self.frame: Pixels = gpu.pinned((height, width, 3), np.uint8)
        self.frame[:] = smooth_image(self.rng, height, width)
        self.device_frame = self.upload(self.frame)
        self.composite = gpu.empty((SCALE * height, SCALE * width, 3), np.uint8)
        self.background = enlarge(self.frame, SCALE)
        planar = cv2.cvtColor(self.frame, cv2.COLOR_BGR2YUV_I420)
        chroma = np.ascontiguousarray(planar[height:].reshape(2, -1).T.reshape(height // 2, width))
        self.nv12 = np.vstack((planar[:height], chroma))
        self.device_nv12 = Nv12(self.upload(self.nv12[:height]), self.upload(chroma), "bt601")

    def upload(self, host: NDArray[Any]) -> DeviceArray:
        """Copy an array to the GPU."""
        array = self.gpu.empty(host.shape, host.dtype)
        self.gpu.upload(host, array, self.stream)
        return array

    def download(self, array: DeviceArray) -> Pixels:
        """Copy an array to the host."""
        host = np.empty(array.shape, array.dtype)
        self.gpu.download(array, host, self.stream)
        self.stream.synchronize()
        return host

    def difference_to(self, array: DeviceArray, expected: NDArray[Any]) -> Callable[[], float]:
        """Function that returns the maximum difference of two images in gray levels."""

        def difference() -> float:
            one, other = (np.asarray(p, np.uint8).reshape(len(p), -1) for p in (self.download(array), expected))
            return float(cv2.norm(one, other, cv2.NORM_INF))

        return difference

    def frame_stages(self) -> Iterator[Stage]:
        """Operations on whole frames. Each must be timed before the next is requested."""
        frame, device_frame, composite = self.frame, self.device_frame, self.composite
        self.gpu.upload(~frame, device_frame, self.stream)
        upload = partial(self.gpu.upload, frame, device_frame, self.stream)
        yield Stage("upload", 0, upload, None, self.difference_to(device_frame, frame), 0, frame.nbytes)
        on_gpu, on_cpu = partial(self.ops.enlarge, device_frame, composite), partial(enlarge, frame, SCALE)
        difference, nbytes = self.difference_to(composite, self.background), frame.nbytes + composite.nbytes
        yield Stage("enlarge", 0, on_gpu, on_cpu, difference, 1, nbytes)
        host = self.gpu.pinned(composite.shape, np.uint8)
        download = partial(self.gpu.download, composite, host, self.stream)
        yield Stage("download", 0, download, None, self.difference_to(composite, host), 0, composite.nbytes)

    def face_stages(self, count: int) -> Iterator[Stage]:
        """Operations on `count` faces at random positions. Each must be timed before the next is requested."""
        height, width = self.frame.shape[:2]
        corners = [
            (int(self.rng.integers(0, width - SIDE)), int(self.rng.integers(0, height - SIDE))) for _ in range(count)
        ]
        windows = {n: Window(x, y, SIDE) for n, (x, y) in enumerate(corners)}
        crops = crops_of(self.frame, windows)[0].pixels
        large = np.stack([cv2.resize(crop, None, fx=SCALE, fy=SCALE) for crop in crops])
        out, device_large = self.gpu.empty(crops.shape, np.uint8), self.upload(large)
        gather_bgr = partial(self.ops.gather, self.device_frame, corners, out)
        cpu_crops = partial(crops_of, self.frame, windows)
        yield Stage("gather BGR", count, gather_bgr, cpu_crops, self.difference_to(out, crops), 0, 2 * crops.nbytes)

        def nv12_crops() -> Pixels:
            return crops_of(np.asarray(cv2.cvtColor(self.nv12, cv2.COLOR_YUV2BGR_NV12), np.uint8), windows)[0].pixels

        def nv12_difference() -> float:
            return float(np.abs(self.download(out).astype(int) - nv12_crops()).mean())  # OpenCV replicates chroma

        gather_nv12 = partial(self.ops.gather, self.device_nv12, corners, out)
        yield Stage("gather NV12", count, gather_nv12, nv12_crops, nv12_difference, 2, crops.nbytes * 3 // 2)
        placed = [((x, y, SIDE), device_large[n]) for n, (x, y) in enumerate(corners)]
        no_detection = np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32)
        faces = tuple(Face(*no_detection, windows[n].xyxy, crops[n], large[n], 0.0) for n in range(count))
        cpu_composite = self.background.copy()
        paste(cpu_composite, faces, SCALE)
        self.gpu.upload(self.background, self.composite, self.stream)
        on_gpu = partial(self.ops.paste, self.composite, placed, SCALE, FEATHER)
        on_cpu = partial(paste, cpu_composite, faces, SCALE)
        difference = self.difference_to(self.composite, cpu_composite)
        yield Stage("paste", count, on_gpu, on_cpu, difference, 1, 3 * large.nbytes)


def smooth_image(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """Random image without sharp edges, similar to camera frames."""
    small = rng.integers(0, 256, (height // 64 + 2, width // 64 + 2, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)

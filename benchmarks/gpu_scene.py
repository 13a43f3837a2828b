"""Frames with faces on a GPU and on the host, and every stage of them on both: what `gpu_stages.py` times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from facesr_edge.engines.cuda.array import DeviceArray
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.frame_ops import FrameOps, Nv12
from facesr_edge.engines.cuda.streams import Stream
from facesr_edge.networks.layers.bicubic import resize_batch
from facesr_edge.sdk.pipeline.crop import Window, crops_of
from facesr_edge.sdk.pipeline.paste import FEATHER, enlarge, paste
from facesr_edge.sdk.pipeline.results import Face
from numpy.typing import NDArray

SIDE, SCALE = 96, 4
"""Of the windows in pixels, and of the network."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Stage:
    """A stage of a frame.

    Args:
        name: what it does.
        faces: how many of them; 0 where that does not matter.
        gpu: queues it.
        cpu: does the same on the CPU; none where there is nothing to do there.
        apart: after one `gpu`, grey levels between its result and the CPU's.
        most: as far as they may be apart.
        nbytes: that it has to read and write at least.
    """

    name: str
    faces: int
    gpu: Callable[[], None]
    cpu: Callable[[], Any] | None
    apart: Callable[[], float]
    most: float
    nbytes: int


class Scene:
    """Frames of one size.

    Args:
        gpu: where they go.
        stages: made on `stream`.
        stream: where all work is queued.
        size_wh: columns and rows, even.
    """

    def __init__(self, gpu: Gpu, stages: FrameOps, stream: Stream, size_wh: tuple[int, int]) -> None:
        self.gpu, self.stages, self.stream = gpu, stages, stream
        (width, height), self.rng = size_wh, np.random.default_rng(0)
        self.frame: Pixels = gpu.pinned((height, width, 3), np.uint8)
        self.frame[:] = smooth(self.rng, height, width)
        self.there = self.uploaded(self.frame)
        self.composite = gpu.empty((SCALE * height, SCALE * width, 3), np.uint8)
        self.background = enlarge(self.frame, SCALE)
        planar = cv2.cvtColor(self.frame, cv2.COLOR_BGR2YUV_I420)
        chroma = np.ascontiguousarray(planar[height:].reshape(2, -1).T.reshape(height // 2, width))
        self.nv12 = np.vstack((planar[:height], chroma))
        self.nv12_there = Nv12(self.uploaded(self.nv12[:height]), self.uploaded(chroma), "bt601")

    def uploaded(self, host: NDArray[Any]) -> DeviceArray:
        """A copy on the GPU."""
        array = self.gpu.empty(host.shape, host.dtype)
        self.gpu.upload(host, array, self.stream)
        return array

    def fetched(self, array: DeviceArray) -> Pixels:
        """A copy on the host."""
        host = np.empty(array.shape, array.dtype)
        self.gpu.download(array, host, self.stream)
        self.stream.synchronize()
        return host

    def apart(self, array: DeviceArray, wanted: NDArray[Any]) -> float:
        """Grey levels between two pictures, where they are farthest apart."""
        got, wanted = (np.asarray(p, np.uint8).reshape(len(p), -1) for p in (self.fetched(array), wanted))
        return float(cv2.norm(got, wanted, cv2.NORM_INF))

    def of_the_frame(self) -> Iterator[Stage]:
        """Stages that do not mind faces. Each is over when the next one is asked for."""
        frame, there, composite = self.frame, self.there, self.composite
        self.gpu.upload(~frame, there, self.stream)
        yield Stage(
            "upload",
            0,
            lambda: self.gpu.upload(frame, there, self.stream),
            None,
            lambda: self.apart(there, frame),
            0,
            frame.nbytes,
        )
        yield Stage(
            "enlarge",
            0,
            lambda: self.stages.enlarge(there, composite),
            lambda: enlarge(frame, SCALE),
            lambda: self.apart(composite, self.background),
            1,
            frame.nbytes + composite.nbytes,
        )
        fetched = self.gpu.pinned(composite.shape, np.uint8)
        yield Stage(
            "download",
            0,
            lambda: self.gpu.download(composite, fetched, self.stream),
            None,
            lambda: self.apart(composite, fetched),
            0,
            composite.nbytes,
        )

    def of_faces(self, count: int) -> Iterator[Stage]:
        """Stages of so many faces, anywhere in the frame. Each is over when the next one is asked for."""
        height, width = self.frame.shape[:2]
        at = [(int(self.rng.integers(0, width - SIDE)), int(self.rng.integers(0, height - SIDE))) for _ in range(count)]
        windows = {n: Window(x, y, SIDE) for n, (x, y) in enumerate(at)}
        crops = crops_of(self.frame, windows)[0].pixels
        large = np.stack([cv2.resize(crop, None, fx=SCALE, fy=SCALE) for crop in crops])
        out = self.gpu.empty(crops.shape, np.uint8)
        crops_there, large_there = self.uploaded(crops), self.uploaded(large)

        yield Stage(
            "gather BGR",
            count,
            lambda: self.stages.gather(self.there, at, out),
            lambda: crops_of(self.frame, windows),
            lambda: self.apart(out, crops),
            0,
            2 * crops.nbytes,
        )

        def of_nv12() -> Pixels:
            return crops_of(np.asarray(cv2.cvtColor(self.nv12, cv2.COLOR_YUV2BGR_NV12), np.uint8), windows)[0].pixels

        yield Stage(
            "gather NV12",
            count,
            lambda: self.stages.gather(self.nv12_there, at, out),
            of_nv12,
            lambda: float(np.abs(self.fetched(out).astype(int) - of_nv12()).mean()),  # OpenCV repeats chroma
            2,
            crops.nbytes * 3 // 2,
        )
        placed = [((x, y, SIDE), large_there[n]) for n, (x, y) in enumerate(at)]
        nowhere = np.zeros(4, np.float32), 1.0, np.zeros((5, 2), np.float32)
        faces = tuple(Face(*nowhere, windows[n].xyxy, crops[n], large[n], 0.0) for n in range(count))
        on_cpu = self.background.copy()
        paste(on_cpu, faces, SCALE)
        self.gpu.upload(self.background, self.composite, self.stream)
        yield Stage(
            "paste",
            count,
            lambda: self.stages.paste(self.composite, placed, SCALE, FEATHER),
            lambda: paste(on_cpu, faces, SCALE),
            lambda: self.apart(self.composite, on_cpu),
            1,
            3 * large.nbytes,
        )

        def projected() -> NDArray[Any]:
            lacking = crops - resize_batch(large, SIDE, SIDE)
            return np.clip(np.rint(large + resize_batch(lacking, SCALE * SIDE, SCALE * SIDE)), 0, 255)

        yield Stage(
            "project",
            count,
            lambda: self.stages.project(crops_there, large_there),
            projected,
            lambda: self.apart(large_there, projected()),
            1,
            3 * large.nbytes + 9 * crops.nbytes,
        )


def smooth(rng: np.random.Generator, height: int, width: int) -> Pixels:
    """A picture without sharp colours, as cameras give."""
    small = rng.integers(0, 256, (height // 64 + 2, width // 64 + 2, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)

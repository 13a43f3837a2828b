"""The first stage on a GPU: a frame that lies there -> detections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.cuda.array import DeviceArray
from ...engines.postprocess import NMS_IOU, Detections, decode, suppress
from ..pipeline.crop import Crops, Window, by_side
from ..pipeline.detect import Detector, merged
from ..pipeline.frame import Frame
from ..pipeline.results import Face
from ..pipeline.upscale import faces_of
from ..profiling.timing import Stopwatch
from .context import DeviceSession, GpuContext
from .frame import GpuFrame


def detect_on_gpu(
    bench: GpuContext, detector: Detector, session: DeviceSession, there: GpuFrame, watch: Stopwatch
) -> tuple[Frame, Detections]:
    """Find the faces of a frame: on the GPU what is looked at whole and at full size, all else from the host's frame.

    Waits for the stream, since boxes are decoded on the host.

    Args:
        bench: where the work is queued.
        detector: finds the faces.
        session: of the detector.
        there: the frame; downloaded if it came on the GPU.
        watch: where the time of looks from the host's frame is put down, as "detect.network".

    Returns:
        The frame as the host has it, and its faces, best first.
    """
    maps = None if there.network_input is None else _queued(bench, session, there.network_input)
    if there.source is None:
        with bench.clock.stage("detect.download"):
            pixels = bench.download("source", there.picture)
    bench.stream.synchronize()
    frame = there.source or Frame(pixels.copy())
    if there.network_input is None or maps is None:
        return frame, detector(frame.pixels, watch)
    near = decode(maps[0], there.network_input.shape[1], there.network_input.shape[2], detector.score)
    if there.plan.overview:
        near = merged(near, detector.look(frame.pixels, there.plan.overview, watch), there.plan)
    return frame, suppress(near, NMS_IOU)


def _queued(bench: GpuContext, session: DeviceSession, network_input: DeviceArray) -> NDArray[Any]:
    """The network's maps, (1, A, 15) float32, once the stream has passed."""
    with bench.clock.stage("detect.network"):
        maps = bench.gpu.view(session.infer_on_device(network_input), bench.stream)
    return bench.download("maps", maps)


@dataclass(frozen=True, eq=False)
class GpuCrops:
    """The crops of one size on the GPU.

    Args:
        members: index of the detection -> window.
        pixels: (n, S, S, 3) uint8 BGR.
    """

    members: dict[int, Window]
    pixels: DeviceArray


@dataclass(frozen=True, eq=False)
class GpuFaces:
    """What became of the crops of one size.

    Args:
        crops: that they were made of.
        pixels: (n, k·S, k·S, 3) uint8 BGR.
        crops_here: the crops in page-locked memory, once the stream has passed.
        pixels_here: and the faces.
    """

    crops: GpuCrops
    pixels: DeviceArray
    crops_here: NDArray[np.uint8]
    pixels_here: NDArray[np.uint8]

    @property
    def placed(self) -> list[tuple[tuple[int, int, int], DeviceArray]]:
        """Left, top and side of each window, and its face."""
        return [((w.x, w.y, w.side), self.pixels[n]) for n, w in enumerate(self.crops.members.values())]


def gathered(bench: GpuContext, picture: DeviceArray, windows: dict[int, Window]) -> list[GpuCrops]:
    """Queue the copies of the windows out of a frame, one batch for each side.

    Args:
        bench: where the work is queued.
        picture: (H, W, 3) uint8 BGR.
        windows: index of the detection -> window.
    """
    batches = []
    for side, members in by_side(windows):
        pixels = bench.room.on_gpu(f"crops of {side}", (len(members), side, side, 3))
        bench.stages.gather(picture, [(window.x, window.y) for window in members.values()], pixels)
        batches.append(GpuCrops(members, pixels))
    return batches


def super_resolved(bench: GpuContext, session: DeviceSession, crops: GpuCrops) -> GpuFaces:
    """Queue the network on the crops of one size, and the download of both."""
    with bench.clock.stage("super_resolve.network"):
        result = bench.gpu.view(session.infer_on_device(crops.pixels), bench.stream)
    side = crops.pixels.shape[1]
    pixels = bench.room.on_gpu(f"faces of {side}", result.shape)
    bench.gpu.copy(result, pixels, bench.stream)  # the session's own memory is valid until its next call only
    crops_here = bench.download(f"crops of {side}", crops.pixels)
    return GpuFaces(crops, pixels, crops_here, bench.download(f"faces of {side}", pixels))


def faces_from(batches: list[GpuFaces], found: Detections) -> tuple[Face, ...]:
    """The faces in memory of their own, in the order of the detections; after the stream was waited for."""
    faces: dict[int, Face] = {}
    for batch in batches:
        members = batch.crops.members
        crops = Crops(tuple(members), tuple(members.values()), batch.crops_here.copy())
        faces |= faces_of(crops, batch.pixels_here.copy(), found)
    return tuple(faces[index] for index in sorted(faces))

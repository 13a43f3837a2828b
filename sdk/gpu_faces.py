"""The second and third stage on a GPU: windows of a frame that lies there -> crops -> super-resolved faces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..engines.detections import Detections
from ..engines.device_array import DeviceArray
from .crop import Crops, Window, by_side
from .enhance import faces_of
from .faces import Face
from .gpu_session import OnDevice
from .gpu_workbench import Workbench


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


def gathered(bench: Workbench, picture: DeviceArray, windows: dict[int, Window]) -> list[GpuCrops]:
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


def super_resolved(bench: Workbench, session: OnDevice, crops: GpuCrops) -> GpuFaces:
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

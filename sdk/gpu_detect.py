"""The first stage on a GPU: a frame that lies there -> detections."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..engines.decode import NMS_IOU, decode, suppress
from ..engines.detections import Detections
from ..engines.device_array import DeviceArray
from .detect import Detector, merged
from .frame import Frame
from .gpu_frame import GpuFrame
from .gpu_session import OnDevice
from .gpu_workbench import Workbench
from .timings import Stopwatch


def detect_on_gpu(
    bench: Workbench, detector: Detector, session: OnDevice, there: GpuFrame, watch: Stopwatch
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


def _queued(bench: Workbench, session: OnDevice, network_input: DeviceArray) -> NDArray[Any]:
    """The network's maps, (1, A, 15) float32, once the stream has passed."""
    with bench.clock.stage("detect.network"):
        maps = bench.gpu.view(session.infer_on_device(network_input), bench.stream)
    return bench.download("maps", maps)

"""The stages of a pipeline on a GPU: a frame is uploaded once, the results are downloaded once, two are in flight."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...engines.cuda.array import DeviceArray
from ...engines.errors import EngineError
from ...engines.postprocess import Detections
from ...engines.session import Output, Session
from ..pipeline.crop import Crops, Window, group_by_side
from ..pipeline.detect import Detector, merge_passes, merge_regions
from ..pipeline.frame import Frame
from ..pipeline.paste import FEATHER, paste
from ..pipeline.regions import RegionPlan
from ..pipeline.results import Face
from ..pipeline.upscale import faces_from
from ..profiling.timing import Span
from .context import DeviceSession, GpuContext, Lane
from .detect import Candidates, NetworkInput, input_of
from .frame import FrameUploader, GpuFrame, is_gpu_frame


@dataclass(frozen=True, eq=False)
class GpuCrops:
    """A batch of crops of one size on the GPU."""

    windows: dict[int, Window]  # by the index of the detection
    pixels: DeviceArray  # (n, S, S, 3) uint8 BGR


@dataclass(frozen=True, eq=False)
class GpuFaces:
    """Upscaled crops of one size."""

    crops: Crops  # in page-locked memory, once the stream is synchronized
    pixels: DeviceArray  # (n, k·S, k·S, 3) uint8 BGR, in memory of the session
    tensor: DeviceArray  # the same with the session's stream
    output: Output  # of the network, in page-locked memory, once the stream is synchronized


class GpuStages:
    """`Stages` on a GPU; the results equal those of `CpuStages`, to a grey level of the composite.

    A frame is uploaded once, through page-locked memory, or used where it is in GPU memory. Kernels write the inputs of
    the engines in place, unless they take several calls: passes of the detector at any scale, and crops. Of the
    detector's output, only candidates are downloaded; they are decoded and suppressed on the host. A frame in GPU
    memory is downloaded once, for `FrameResult.source`: "detect.download" in the timings. If outscale exceeds the
    network's scale, faces are pasted on the host.

    Each frame has buffers of its own until its results are collected, so that the next frame can be queued before. All
    work is on one stream: waiting for the candidates of a frame is also waiting for the results of the one before.

    Stages are timed by CUDA events on the stream; work of the host alone (copies out of page-locked memory) by the
    host's clock. Parts in addition to those of `CpuStages` are "detect.upload",
    "detect.download" and "paste.download".

    Args:
        session: a super-resolution engine on a GPU.
        detector: its session is on the same GPU.
        outscale: ratio of the composite's size to the frame's.

    Raises:
        EngineError: a session is not on a GPU, or on another one, or the kernels do not compile for it.
    """

    overlap: Literal["threads", "in flight"] = "in flight"

    def __init__(self, session: Session, detector: Detector, outscale: int) -> None:
        detector_session = detector.session
        if not isinstance(session, DeviceSession) or not isinstance(detector_session, DeviceSession):
            raise EngineError(
                f"expected two engines on a GPU, got {session.runtime} and {detector_session.runtime}; "
                "compile both bundles"
            )
        if session.gpu.index != detector_session.gpu.index:
            raise EngineError(
                f"expected both engines on one GPU, got {session.gpu.index} and {detector_session.gpu.index}; "
                "load both on one"
            )
        self._session, self._detector, self._detector_session = session, detector, detector_session
        self._outscale, self._host_paste = outscale, outscale > session.io_spec.scale
        self._context = GpuContext(session.gpu)
        self._uploader = FrameUploader(self._context, detector.plan)

    def accepts(self, frame: Any) -> bool:
        """See `Stages.accepts`; a frame in GPU memory."""
        return is_gpu_frame(frame)

    def timed(self, spans: Iterable[Span]) -> AbstractContextManager[Lane]:
        """See `Stages.timed`."""
        return self._context.lane(spans)

    def load(self, frame: Any, timer: Lane) -> GpuFrame:
        """See `Stages.load`."""
        with self._context.opened(), timer.stage("detect.upload"):
            uploader = self._uploader
            return uploader.from_host(frame, timer) if isinstance(frame, Frame) else uploader.from_gpu(frame, timer)

    def source(self, frame: GpuFrame) -> Frame | None:
        """See `Stages.source`."""
        return frame.source

    def detect(self, frame: GpuFrame, timer: Lane, score: float | None = None) -> tuple[Frame, Detections]:
        """See `Stages.detect`. Waits for the stream, since boxes are decoded on the host."""
        source = frame.source
        with self._context.opened() as context:
            candidates = self._queue_detector(frame, [*map(input_of, frame.plan.all_passes)], score)
            if source is None:
                with timer.stage("detect.download"):
                    pixels = timer.download_result("source", frame.pixels)
            context.wait()
            found = candidates.decode()
            return source or Frame(pixels.owned()), merge_passes(frame.plan, found)

    def detect_around(self, frame: GpuFrame, regions: RegionPlan, score: float, timer: Lane) -> Detections:
        """See `Stages.detect_around`. Waits for the stream, unless no face is known."""
        inputs = [NetworkInput(regions.cells, regions.network_hw)] if regions.cells else []
        if regions.overview and regions.plan.overview:
            inputs.append(input_of(regions.plan.overview))
        if not inputs:  # no face is known
            return merge_regions(regions, Detections.empty(), Detections.empty())
        with self._context.opened() as context:
            candidates = self._queue_detector(frame, inputs, score)
            context.wait()
            found = candidates.decode()
        canvas = found.pop(0) if regions.cells else Detections.empty()
        return merge_regions(regions, canvas, found[0] if found else Detections.empty())

    def _queue_detector(self, frame: GpuFrame, inputs: list[NetworkInput], score: float | None) -> Candidates:
        min_score = self._detector.min_score(score)
        return Candidates(frame.lane, self._detector_session, frame.pixels, inputs, min_score)

    def crop(self, frame: GpuFrame, windows: dict[int, Window]) -> list[GpuCrops]:
        """See `Stages.crop`. Crops are written into the input of the engine where one call takes them."""
        batches, lane = [], frame.lane
        lane.held.enter_context(self._session.lock)  # before that of the stages, which its holder needs to release it
        with self._context.opened() as context:
            for side, group in group_by_side(windows):
                shape = len(group), side, side, 3
                pixels = context.input_for(self._session, shape) or lane.buffers.device(f"crops of {side}", shape)
                context.ops.gather(frame.pixels, [(window.x, window.y) for window in group.values()], pixels)
                batches.append(GpuCrops(group, pixels))
        return batches

    def upscale(self, crops: list[GpuCrops], detections: Detections, timer: Lane) -> list[GpuFaces]:
        """See `Stages.upscale`."""
        with self._context.opened() as context:
            faces = [self._queue_network(context, batch, timer) for batch in crops]
            if self._outscale == 1 or self._host_paste:
                self._release(faces, timer)
        return faces

    def _queue_network(self, context: GpuContext, crops: GpuCrops, lane: Lane) -> GpuFaces:
        """Queue the network on the crops of one size, and the download of crops and output."""
        side, residual = crops.pixels.shape[1], None
        with lane.stage("upscale.network"):
            output = self._session.output_on_device(crops.pixels)
            pixels = context.gpu.view(output.tensor, context.stream)
        if output.residual is not None:
            on_stream = context.gpu.view(output.residual, context.stream)
            residual = lane.download(f"residuals of {side}", on_stream)
        host_crops = lane.download(f"crops of {side}", crops.pixels)
        host = Crops(tuple(crops.windows), tuple(crops.windows.values()), host_crops)
        host_faces = lane.download(f"faces of {side}", pixels)
        return GpuFaces(host, pixels, output.tensor, Output(host_faces, residual))

    def _release(self, faces: list[GpuFaces], lane: Lane) -> None:
        """Let other pipelines use the session: all reading of its memory is queued."""
        if faces:
            self._context.output_read(faces[-1].tensor)
        lane.held.close()

    def paste(self, frame: GpuFrame, faces: list[GpuFaces], timer: Lane) -> NDArray[np.uint8]:
        """See `Stages.paste`; without the faces that the host pastes."""
        scale, (height, width) = self._outscale, frame.pixels.shape[:2]
        with self._context.opened() as context:
            composite = timer.buffers.device("composite", (scale * height, scale * width, 3))
            with timer.stage("paste.enlarge"):
                context.ops.enlarge(frame.pixels, composite)
            if not self._host_paste:
                placed = [
                    ((window.x, window.y, window.side), batch.pixels[n])
                    for batch in faces
                    for n, window in enumerate(batch.crops.windows)
                ]
                context.ops.paste(composite, placed, scale, FEATHER)
                self._release(faces, timer)
            with timer.stage("paste.download"):
                timer.composite = timer.download_result("composite", composite)
        return timer.composite.pixels

    def collect(
        self, faces: list[GpuFaces], detections: Detections, composite: NDArray[np.uint8] | None, timer: Lane
    ) -> tuple[tuple[Face, ...], NDArray[np.uint8] | None]:
        """See `Stages.collect`. Does not wait if the host has waited for the detection in a later frame."""
        with self._context.opened():
            timer.finish()
        with timer.host_stage("upscale"):
            collected = faces_from(map(_owned, faces), detections)
        if timer.composite is not None:
            with timer.host_stage("paste"):
                composite = timer.composite.owned()
                if self._host_paste:
                    paste(composite, collected, self._outscale)
        return collected, composite

    def close(self) -> None:
        """See `Stages.close`."""
        self._context.close()


def _owned(faces: GpuFaces) -> tuple[Crops, Output]:
    """Copies of crops and pixels out of page-locked memory, which the next frame reuses."""
    tensor, residual = faces.output
    return replace(faces.crops, pixels=faces.crops.pixels.copy()), Output(tensor.copy(), residual)

"""The stages of a pipeline on a GPU: a frame is uploaded once, the results are downloaded once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

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
from .context import DeviceSession, GpuContext, GpuTimer
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
    pixels: DeviceArray  # (n, k·S, k·S, 3) uint8 BGR
    output: Output  # of the network, in page-locked memory, once the stream is synchronized


class GpuStages:
    """`Stages` on a GPU; the results equal those of `CpuStages`, to a grey level of the composite.

    A frame is uploaded once, through page-locked memory, or used where it is in GPU memory. The detector reads it there
    if it sees the whole frame at full size; resized passes, tiles and the overview are made there by a kernel. Of the
    detector's output, only candidates are downloaded; they are decoded and suppressed on the host. A frame in GPU
    memory is downloaded once, for `FrameResult.source`: "detect.download" in the timings. If outscale exceeds the
    network's scale, faces are pasted on the host.

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

    overlap = False  # buffers are reused for the next frame

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
        self._locks = sorted((session.lock, detector_session.lock), key=id)  # in the same order in every pipeline
        self._uploader = FrameUploader(self._context, detector.plan)

    def accepts(self, frame: Any) -> bool:
        """See `Stages.accepts`; a frame in GPU memory."""
        return is_gpu_frame(frame)

    @contextmanager
    def timed(self, spans: Iterable[Span]) -> Iterator[GpuTimer]:
        """See `Stages.timed`."""
        with self._locks[0], self._locks[1]:  # outputs of the sessions, and buffers, are reused for the next frame
            self._context.check_open()
            self._context.timer.begin(spans)
            try:
                yield self._context.timer
            except BaseException:
                with suppress(EngineError):  # the first error is raised; queued work may still read the frame
                    self._context.stream.synchronize()
                raise

    def load(self, frame: Any, timer: GpuTimer) -> GpuFrame:
        """See `Stages.load`."""
        with timer.stage("detect.upload"):
            return self._uploader.from_host(frame) if isinstance(frame, Frame) else self._uploader.from_gpu(frame)

    def source(self, frame: GpuFrame) -> Frame | None:
        """See `Stages.source`."""
        return frame.source

    def detect(self, frame: GpuFrame, timer: GpuTimer, score: float | None = None) -> tuple[Frame, Detections]:
        """See `Stages.detect`. Synchronizes the stream, since boxes are decoded on the host."""
        context, passes = self._context, frame.plan.all_passes
        inputs = [input_of(passes[0], frame.network_input), *map(input_of, passes[1:])]
        candidates = self._queue_detector(frame, inputs, score, timer)
        if frame.source is None:
            with timer.stage("detect.download"):
                pixels = context.download("source", frame.pixels)
        context.stream.synchronize()
        source = frame.source or Frame(pixels.copy())
        return source, merge_passes(frame.plan, candidates.decode())

    def detect_around(self, frame: GpuFrame, regions: RegionPlan, score: float, timer: GpuTimer) -> Detections:
        """See `Stages.detect_around`. Synchronizes the stream."""
        inputs = [NetworkInput(regions.cells, regions.network_hw)] if regions.cells else []
        if regions.overview and regions.plan.overview:
            inputs.append(input_of(regions.plan.overview))
        candidates = self._queue_detector(frame, inputs, score, timer)
        self._context.stream.synchronize()
        found = candidates.decode()
        canvas = found.pop(0) if regions.cells else Detections.empty()
        return merge_regions(regions, canvas, found[0] if found else Detections.empty())

    def _queue_detector(
        self, frame: GpuFrame, inputs: list[NetworkInput], score: float | None, timer: GpuTimer
    ) -> Candidates:
        min_score = self._detector.min_score(score)
        return Candidates(self._context, self._detector_session, frame.pixels, inputs, min_score, timer)

    def crop(self, frame: GpuFrame, windows: dict[int, Window]) -> list[GpuCrops]:
        """See `Stages.crop`."""
        batches = []
        for side, group in group_by_side(windows):
            pixels = self._context.buffers.device(f"crops of {side}", (len(group), side, side, 3))
            self._context.ops.gather(frame.pixels, [(window.x, window.y) for window in group.values()], pixels)
            batches.append(GpuCrops(group, pixels))
        return batches

    def upscale(self, crops: list[GpuCrops], detections: Detections, timer: GpuTimer) -> list[GpuFaces]:
        """See `Stages.upscale`."""
        return [self._queue_network(batch, timer) for batch in crops]

    def _queue_network(self, crops: GpuCrops, timer: GpuTimer) -> GpuFaces:
        """Queue the network on the crops of one size, and the download of crops and output."""
        context, side = self._context, crops.pixels.shape[1]
        with timer.stage("upscale.network"):
            output = self._session.output_on_device(crops.pixels)
            tensor = context.gpu.view(output.tensor, context.stream)
        pixels = context.buffers.device(f"faces of {side}", tensor.shape)
        context.gpu.copy(tensor, pixels, context.stream)  # the output is valid until the session's next call only
        host_pixels, residual = context.download(f"faces of {side}", pixels), None
        if output.residual is not None:
            on_stream = context.gpu.view(output.residual, context.stream)
            residual = context.download(f"residuals of {side}", on_stream)
        host_crops = context.download(f"crops of {side}", crops.pixels)
        host = Crops(tuple(crops.windows), tuple(crops.windows.values()), host_crops)
        return GpuFaces(host, pixels, Output(host_pixels, residual))

    def paste(self, frame: GpuFrame, faces: list[GpuFaces], timer: GpuTimer) -> NDArray[np.uint8]:
        """See `Stages.paste`; without the faces that the host pastes."""
        context, scale = self._context, self._outscale
        height, width = frame.pixels.shape[:2]
        composite = context.buffers.device("composite", (scale * height, scale * width, 3))
        with timer.stage("paste.enlarge"):
            context.ops.enlarge(frame.pixels, composite)
        if not self._host_paste:
            placed = [
                ((window.x, window.y, window.side), batch.pixels[n])
                for batch in faces
                for n, window in enumerate(batch.crops.windows)
            ]
            context.ops.paste(composite, placed, scale, FEATHER)
        with timer.stage("paste.download"):
            return context.download("composite", composite)

    def collect(
        self, faces: list[GpuFaces], detections: Detections, composite: NDArray[np.uint8] | None, timer: GpuTimer
    ) -> tuple[tuple[Face, ...], NDArray[np.uint8] | None]:
        """See `Stages.collect`."""
        self._context.stream.synchronize()
        timer.resolve()
        with timer.host_stage("upscale"):
            collected = faces_from(map(_owned, faces), detections)
        if composite is not None and self._outscale > 1:
            with timer.host_stage("paste"):
                composite = composite.copy()
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

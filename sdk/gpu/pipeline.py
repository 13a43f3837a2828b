"""The stages in their order, on a GPU: a frame goes there once, the results come back once."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.card import Card
from ...engines.cuda.array import DeviceArray
from ...engines.errors import EngineError
from ..pipeline.crop import windows_for
from ..pipeline.detect import Detector
from ..pipeline.frame import Frame, bgr_from
from ..pipeline.paste import FEATHER, paste
from ..pipeline.pipeline import Pipeline
from ..pipeline.results import Face, FrameResult
from ..profiling.timing import Span, Stopwatch
from .context import DeviceSession, GpuContext
from .frame import FrameUploader, lies_on_gpu
from .stages import GpuFaces, detect_on_gpu, faces_from, gathered, super_resolved


class GpuPipeline(Pipeline):
    """`Pipeline` on a GPU; gives the same results, to a grey level.

    A frame is uploaded once, through page-locked memory, or taken where it lies on the GPU. Detection reads it there if
    the detector is shown the whole frame at full size; where it is shown a smaller or larger one, tiles, or the
    overview for large faces, that look is made from the host's frame, and so is every look at a frame that came on the
    GPU with a width that the detector pads. Boxes are decoded on the host. A frame that came on the GPU is downloaded
    once, for `FrameResult.source` and those looks: "detect.download" in the timings. Where a face is enlarged further
    for the composite than the network does, the host pastes it.

    Stages are timed by CUDA events on the pipeline's stream; work of the host's alone (looks from its frame, the faces'
    agreement with the camera, copies out of page-locked memory) by the host's clock. Parts beside those of `Pipeline`
    are "detect.upload", "detect.download" and "paste.download".

    Args:
        session: a super-resolution engine on a GPU.
        card: what is known of it.
        detector: finds the faces; its session is on the same GPU.
        outscale: see `Pipeline`.
        composite: see `Pipeline`.

    Raises:
        UsageError: another outscale.
        EngineError: a session is for something else, or not on that GPU, or the kernels do not compile here.
    """

    session: DeviceSession

    def __init__(
        self, session: DeviceSession, card: Card, detector: Detector, outscale: int = 2, composite: bool = True
    ) -> None:
        super().__init__(session, card, detector, outscale, composite)
        finder = detector.session
        if not isinstance(session, DeviceSession) or not isinstance(finder, DeviceSession):
            raise EngineError(
                f"expected two engines on a GPU, got {session.runtime} and {finder.runtime}; compile both bundles"
            )
        if session.gpu.index != finder.gpu.index:
            raise EngineError(
                f"expected both engines on one GPU, got {session.gpu.index} and {finder.gpu.index}; load both on one"
            )
        self._finder = finder
        self._bench = GpuContext(session.gpu)
        self._intake = FrameUploader(self._bench, detector.plan)

    def __call__(self, frame: Any) -> FrameResult:
        """Super-resolve the faces of one frame.

        Args:
            frame: what `Pipeline` takes; or on the GPU (H, W, 3) uint8 BGR with ``__dlpack__`` or
                ``__cuda_array_interface__``, or `Nv12`. It may be changed again when this returns.

        Returns:
            Composite, faces and timings, on the host.

        Raises:
            InputError: another shape or type.
            EngineError: the pipeline is closed, the frame lies on another GPU, or the GPU failed.
        """
        if isinstance(frame, Frame) or lies_on_gpu(frame):
            return self._process(frame, [])
        return self._process(Frame(bgr_from(frame)), [])

    def _process(self, frame: Any, spans: list[Span]) -> FrameResult:
        self._bench.check_open()
        try:
            return self._result(frame, Stopwatch(spans))
        except BaseException:
            with suppress(EngineError):  # told already; what is queued may still read the frame
                self._bench.stream.synchronize()
            raise

    def _result(self, frame: Any, watch: Stopwatch) -> FrameResult:
        bench, clock = self._bench, self._bench.clock
        clock.begin()
        with clock.stage("detect"):
            with clock.stage("detect.upload"):
                there = self._intake.from_host(frame) if isinstance(frame, Frame) else self._intake.from_gpu(frame)
            source, found = detect_on_gpu(bench, self.detector, self._finder, there, watch)
        with clock.stage("crop"):
            fitting, too_large = windows_for(found, source.pixels.shape, self.session.io_spec.windows)
            crops = gathered(bench, there.picture, fitting)
        with clock.stage("super_resolve"):
            batches = [super_resolved(bench, self.session, batch) for batch in crops]
        composed = None
        if self.composite:
            with clock.stage("paste"):
                composed = self._composed(there.picture, batches)
        bench.stream.synchronize()
        watch.spans += clock.spans()
        with watch.stage("super_resolve"):
            faces = faces_from(batches, found)
        composite = None
        if self.composite:
            with watch.stage("paste"):
                composite = source.pixels if composed is None else self._own(composed, faces)
        return FrameResult(source, composite, faces, found[too_large], tuple(watch.spans))

    def _composed(self, picture: DeviceArray, batches: list[GpuFaces]) -> NDArray[np.uint8] | None:
        """The composite in page-locked memory, as far as the GPU makes it; none where it is the frame itself."""
        bench, k = self._bench, self.outscale
        if k == 1:
            return None
        height, width = picture.shape[:2]
        background = bench.room.on_gpu("composite", (k * height, k * width, 3))
        with bench.clock.stage("paste.enlarge"):
            bench.stages.enlarge(picture, background)
        if not self._host_pastes:
            bench.stages.paste(background, [face for batch in batches for face in batch.placed], k, FEATHER)
        with bench.clock.stage("paste.download"):
            here: NDArray[np.uint8] = bench.download("composite", background)
        return here

    def _own(self, composed: NDArray[np.uint8], faces: tuple[Face, ...]) -> NDArray[np.uint8]:
        """The composite in memory that the caller keeps."""
        composite: NDArray[np.uint8] = composed.copy()
        if self._host_pastes:
            paste(composite, faces, self.outscale)
        return composite

    @property
    def _host_pastes(self) -> bool:
        return self.outscale > self.session.io_spec.scale

    def close(self) -> None:
        """Give the memory of the pipeline and its engines back; harmless when done already."""
        self._bench.close()
        super().close()

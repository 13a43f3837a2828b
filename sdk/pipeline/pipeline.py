"""The pipeline of a frame: detect → crop → upscale → paste."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.card import Card
from ...engines.errors import EngineError, UsageError
from ...engines.session import Session
from ..profiling.timing import Span
from .crop import windows_for
from .detect import Detector
from .frame import Frame, bgr_from
from .results import FrameResult
from .stages import CpuStages, Stages
from .upscale import upscale_crops

OUTSCALES = (1, 2, 3, 4)


class Pipeline:
    """Face super-resolution of frames; a context manager. Not thread-safe.

    Args:
        session: a super-resolution engine.
        card: of its bundle.
        detector: a face detector.
        outscale: ratio of the composite's size to the frame's, 1 to 4. At 1 the composite is the frame itself, since
            a consistent face downscaled to the frame's grid equals the camera's pixels.
        composite: make the composite; False for faces only.
        stages: builds the stages from session, detector and outscale: `CpuStages` or `GpuStages`.

    Raises:
        UsageError: another outscale.
        EngineError: the session is not for super-resolution, or the stages cannot run the engines.
    """

    def __init__(
        self,
        session: Session,
        card: Card,
        detector: Detector,
        outscale: int = 2,
        composite: bool = True,
        *,
        stages: Callable[[Session, Detector, int], Stages[Any, Any, Any]] = CpuStages,
    ) -> None:
        if session.io_spec.task != "super-resolution":
            raise EngineError(f"expected a super-resolution bundle, got one for {session.io_spec.task}")
        if outscale not in OUTSCALES:
            raise UsageError(f"outscale is {outscale}, expected one of {', '.join(map(str, OUTSCALES))}")
        self.session, self.card, self.detector = session, card, detector
        self.outscale, self.composite = outscale, composite
        self.stages = stages(session, detector, outscale)

    def __call__(self, frame: Any) -> FrameResult:
        """Upscale the faces of one frame.

        Args:
            frame: (H, W, 3) uint8 BGR, or another layout that `bgr_from` converts; or a `Frame`. With engines on a GPU
                also (H, W, 3) uint8 BGR on the GPU with ``__dlpack__`` or ``__cuda_array_interface__``, or `Nv12`. It
                may be changed once this returns.

        Returns:
            Composite, faces and timings, in host memory.

        Raises:
            InputError: another shape or dtype.
            EngineError: the engine failed, the frame is on another GPU, or the pipeline is closed.
        """
        return self._process(frame, [])

    def stream(self, source: Iterable[Frame]) -> Iterator[FrameResult]:
        """Upscale the faces of every frame of a source; "decode" in the timings is the time of the source."""
        frames = iter(source)
        while True:
            start = time.perf_counter_ns()
            frame = next(frames, None)
            if frame is None:
                return
            yield self._process(frame, [Span("decode", start, time.perf_counter_ns() - start)])

    def upscale(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Upscale crops without detection; see `upscale_crops`.

        Args:
            crops: (N, h, w, 3) uint8 BGR, h and w at most the largest crop size of the engine.

        Returns:
            (N, k·h, k·w, 3) uint8 BGR.

        Raises:
            InputError: another shape or dtype, or too large.
        """
        return upscale_crops(self.session, crops)

    def _process(self, frame: Any, spans: list[Span]) -> FrameResult:
        stages = self.stages
        if not isinstance(frame, Frame) and not stages.accepts(frame):
            frame = Frame(bgr_from(frame))
        with stages.timed(spans) as timer:
            with timer.stage("detect"):
                loaded = stages.load(frame)
                source, detections = stages.detect(loaded)
            with timer.stage("crop"):
                windows, too_large = windows_for(detections, source.pixels.shape, self.session.io_spec.crop_sizes)
                crops = stages.crop(loaded, windows)
            with timer.stage("upscale"):
                upscaled = stages.upscale(crops, detections)
            composite = None
            if self.composite:
                with timer.stage("paste"):
                    composite = source.pixels if self.outscale == 1 else stages.paste(loaded, upscaled)
            faces, composite = stages.collect(upscaled, detections, composite)
        return FrameResult(source, composite, faces, detections[too_large], tuple(timer.spans))

    def warm_up(self) -> None:
        """Run every shape of both engines once, so that the first frame is not slower than the others."""
        self.session.warm_up()
        self.detector.session.warm_up()

    def close(self) -> None:
        """Release the stages and both engines; idempotent."""
        self.stages.close()
        self.session.close()
        self.detector.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

"""The stages of a pipeline: the protocol, and the implementation on the CPU. `sdk.gpu.stages` has the one on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import Detections
from ...engines.session import Session
from ..profiling.timing import Span, Stopwatch
from .crop import Crops, Window, crops_of
from .detect import Detector
from .frame import Frame
from .paste import enlarge, paste
from .regions import RegionPlan
from .results import Face
from .upscale import faces_from

FrameT = TypeVar("FrameT")
CropsT = TypeVar("CropsT")
FacesT = TypeVar("FacesT")
TimerT = TypeVar("TimerT", bound=Stopwatch)


class Stages(Protocol[FrameT, CropsT, FacesT, TimerT]):
    """The stages of a frame, called in this order. The type parameters say where frame, crops and faces are kept.

    The stages keep nothing of a frame on the host: its state is in arguments and results, its timings in `timer`.

    Attributes:
        overlap: of the frames of a stream. "threads": detect, crop and upscale, and paste of different frames run at
            once. "in flight": these stages queue their work, one thread calls them, and a frame is collected after the
            next one is queued.
    """

    overlap: Literal["threads", "in flight"]

    def accepts(self, frame: Any) -> bool:
        """Whether `load` takes this frame, which is not in host memory."""

    def timed(self, spans: Iterable[Span]) -> AbstractContextManager[TimerT]:
        """Time one frame; inside the ``with`` the stages are called with its stopwatch.

        Args:
            spans: measured before, e.g. "decode".
        """

    def load(self, frame: Any, timer: TimerT) -> FrameT:
        """Move a `Frame`, or a frame that is accepted, to the memory of the stages."""

    def source(self, frame: FrameT) -> Frame | None:
        """The frame in host memory; None if it came in other memory."""

    def detect(self, frame: FrameT, timer: TimerT, score: float | None = None) -> tuple[Frame, Detections]:
        """Detect faces.

        Args:
            frame: in the memory of the stages.
            timer: of the frame.
            score: minimum score, 0..1; None for the detector's.

        Returns:
            The frame in host memory, and its faces, best first.
        """

    def detect_around(self, frame: FrameT, regions: RegionPlan, score: float, timer: TimerT) -> Detections:
        """Detect faces in regions of a frame that has a `source`; best first."""

    def crop(self, frame: FrameT, windows: dict[int, Window]) -> list[CropsT]:
        """Copy windows (index of the detection -> window) out of the frame, one batch for each size."""

    def upscale(self, crops: list[CropsT], detections: Detections, timer: TimerT) -> FacesT:
        """Run the network on every batch of crops."""

    def paste(self, frame: FrameT, faces: FacesT, timer: TimerT) -> NDArray[np.uint8]:
        """Enlarge the frame by outscale, 2 or more, and paste the faces. The result is final after `collect`."""

    def collect(
        self, faces: FacesT, detections: Detections, composite: NDArray[np.uint8] | None, timer: TimerT
    ) -> tuple[tuple[Face, ...], NDArray[np.uint8] | None]:
        """Wait for the stages.

        Returns:
            Faces in the order of the detections, and composite, in memory that later frames do not reuse.
        """

    def close(self) -> None:
        """Release the memory of the stages, not the engines; idempotent."""


class CpuStages:
    """`Stages` in host memory.

    Args:
        session: a super-resolution engine.
        detector: a face detector.
        outscale: ratio of the composite's size to the frame's.
    """

    overlap: Literal["threads", "in flight"] = "threads"

    def __init__(self, session: Session, detector: Detector, outscale: int) -> None:
        self._session, self._detector, self._outscale = session, detector, outscale

    def accepts(self, frame: Any) -> bool:
        """See `Stages.accepts`."""
        return False

    @contextmanager
    def timed(self, spans: Iterable[Span]) -> Iterator[Stopwatch]:
        """See `Stages.timed`."""
        yield Stopwatch(spans)

    def load(self, frame: Frame, timer: Stopwatch) -> Frame:
        """See `Stages.load`."""
        return frame

    def source(self, frame: Frame) -> Frame:
        """See `Stages.source`."""
        return frame

    def detect(self, frame: Frame, timer: Stopwatch, score: float | None = None) -> tuple[Frame, Detections]:
        """See `Stages.detect`."""
        return frame, self._detector.detect(frame.pixels, score=score, infer=partial(self._detector_maps, timer))

    def detect_around(self, frame: Frame, regions: RegionPlan, score: float, timer: Stopwatch) -> Detections:
        """See `Stages.detect_around`."""
        infer = partial(self._detector_maps, timer)
        return self._detector.detect_around(frame.pixels, regions, score=score, infer=infer)

    def _detector_maps(self, timer: Stopwatch, batch: NDArray[np.uint8]) -> NDArray[Any]:
        with timer.stage("detect.network"):
            return self._detector.session.infer(batch)

    def crop(self, frame: Frame, windows: dict[int, Window]) -> list[Crops]:
        """See `Stages.crop`."""
        return crops_of(frame.pixels, windows)

    def upscale(self, crops: list[Crops], detections: Detections, timer: Stopwatch) -> tuple[Face, ...]:
        """See `Stages.upscale`."""
        with timer.stage("upscale.network"):
            upscaled = self._session.infer_batches([batch.pixels for batch in crops])
        return faces_from(zip(crops, upscaled, strict=True), detections)

    def paste(self, frame: Frame, faces: tuple[Face, ...], timer: Stopwatch) -> NDArray[np.uint8]:
        """See `Stages.paste`."""
        with timer.stage("paste.enlarge"):
            composite = enlarge(frame.pixels, self._outscale)
        paste(composite, faces, self._outscale)
        return composite

    def collect(
        self, faces: tuple[Face, ...], detections: Detections, composite: NDArray[np.uint8] | None, timer: Stopwatch
    ) -> tuple[tuple[Face, ...], NDArray[np.uint8] | None]:
        """See `Stages.collect`."""
        return faces, composite

    def close(self) -> None:
        """See `Stages.close`."""

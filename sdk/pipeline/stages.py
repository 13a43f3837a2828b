"""The stages of a pipeline: the protocol, and the implementation on the CPU. `sdk.gpu.stages` has the one on a GPU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...engines.postprocess import Detections
from ...engines.session import Session
from ..profiling.timing import Span, Stopwatch
from .crop import Crops, Window, crops_of
from .detect import Detector
from .frame import Frame
from .paste import enlarge, paste
from .results import Face
from .upscale import faces_from

FrameT = TypeVar("FrameT")
CropsT = TypeVar("CropsT")
FacesT = TypeVar("FacesT")


class Stages(Protocol[FrameT, CropsT, FacesT]):
    """The stages of a frame, called in this order. The type parameters say where frame, crops and faces are kept."""

    def accepts(self, frame: Any) -> bool:
        """Whether `load` takes this frame, which is not in host memory."""

    def timed(self, spans: Iterable[Span]) -> AbstractContextManager[Stopwatch]:
        """Time one frame; inside the ``with`` the stages are called.

        Args:
            spans: measured before, e.g. "decode".
        """

    def load(self, frame: Any) -> FrameT:
        """Move a `Frame`, or a frame that is accepted, to the memory of the stages."""

    def detect(self, frame: FrameT) -> tuple[Frame, Detections]:
        """Detect faces. Returns the frame in host memory, and its faces, best first."""

    def crop(self, frame: FrameT, windows: dict[int, Window]) -> list[CropsT]:
        """Copy windows (index of the detection -> window) out of the frame, one batch for each size."""

    def upscale(self, crops: list[CropsT], detections: Detections) -> FacesT:
        """Run the network on every batch of crops."""

    def paste(self, frame: FrameT, faces: FacesT) -> NDArray[np.uint8]:
        """Enlarge the frame by outscale, 2 or more, and paste the faces. The result is final after `collect`."""

    def collect(
        self, faces: FacesT, detections: Detections, composite: NDArray[np.uint8] | None
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

    def __init__(self, session: Session, detector: Detector, outscale: int) -> None:
        self._session, self._detector, self._outscale = session, detector, outscale
        self._timer = Stopwatch()

    def accepts(self, frame: Any) -> bool:
        """See `Stages.accepts`."""
        return False

    @contextmanager
    def timed(self, spans: Iterable[Span]) -> Iterator[Stopwatch]:
        """See `Stages.timed`."""
        self._timer = Stopwatch(spans)
        yield self._timer

    def load(self, frame: Frame) -> Frame:
        """See `Stages.load`."""
        return frame

    def detect(self, frame: Frame) -> tuple[Frame, Detections]:
        """See `Stages.detect`."""
        return frame, self._detector.detect(frame.pixels, infer=self._detector_maps)

    def _detector_maps(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        with self._timer.stage("detect.network"):
            return self._detector.session.infer(batch)

    def crop(self, frame: Frame, windows: dict[int, Window]) -> list[Crops]:
        """See `Stages.crop`."""
        return crops_of(frame.pixels, windows)

    def upscale(self, crops: list[Crops], detections: Detections) -> tuple[Face, ...]:
        """See `Stages.upscale`."""
        return faces_from(((batch, self._upscaled(batch.pixels)) for batch in crops), detections)

    def _upscaled(self, batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with self._timer.stage("upscale.network"):
            return self._session.infer(batch)

    def paste(self, frame: Frame, faces: tuple[Face, ...]) -> NDArray[np.uint8]:
        """See `Stages.paste`."""
        with self._timer.stage("paste.enlarge"):
            composite = enlarge(frame.pixels, self._outscale)
        paste(composite, faces, self._outscale)
        return composite

    def collect(
        self, faces: tuple[Face, ...], detections: Detections, composite: NDArray[np.uint8] | None
    ) -> tuple[tuple[Face, ...], NDArray[np.uint8] | None]:
        """See `Stages.collect`."""
        return faces, composite

    def close(self) -> None:
        """See `Stages.close`."""

"""The stages in their order: frame -> detect -> crop -> super-resolve -> paste -> result."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.card import Card
from ...engines.errors import EngineError, InputError, UsageError
from ...engines.session import Session
from ..profiling.timing import Span, Stopwatch
from .crop import crops_of, windows_for
from .detect import Detector
from .frame import Frame, bgr_from
from .paste import enlarge, paste
from .results import Face, FrameResult
from .upscale import super_resolve

OUTSCALES = (1, 2, 3, 4)


class Pipeline:
    """Face super-resolution of frames; one thread at a time. Use it as a context manager, or `close` it.

    Args:
        session: a super-resolution engine.
        card: what is known of it.
        detector: finds the faces.
        outscale: how many times larger the composite is than the frame, 1 to 4. At 1 it is the frame itself, since a
            face that agrees with the camera is the camera's own pixels again.
        composite: make the composite; without it only the faces are.

    Raises:
        UsageError: another outscale.
        EngineError: the session is not for super-resolution.
    """

    def __init__(
        self, session: Session, card: Card, detector: Detector, outscale: int = 2, composite: bool = True
    ) -> None:
        if session.io_spec.task != "super-resolution":
            raise EngineError(f"expected a super-resolution bundle, got one for {session.io_spec.task}")
        if outscale not in OUTSCALES:
            raise UsageError(f"outscale is {outscale}, expected one of {', '.join(map(str, OUTSCALES))}")
        self.session, self.card, self.detector = session, card, detector
        self.outscale, self.composite = outscale, composite

    def __call__(self, frame: NDArray[Any] | Frame) -> FrameResult:
        """Super-resolve the faces of one frame.

        Args:
            frame: (H, W, 3) uint8 BGR; grey and BGRA are taken as well.

        Returns:
            Composite, faces and timings.
        """
        return self._process(frame if isinstance(frame, Frame) else Frame(bgr_from(frame)), [])

    def stream(self, source: Iterable[Frame]) -> Iterator[FrameResult]:
        """Super-resolve frame after frame; the time that the source took stands in the results as "decode"."""
        frames = iter(source)
        while True:
            start = time.perf_counter_ns()
            frame = next(frames, None)
            if frame is None:
                return
            yield self._process(frame, [Span("decode", start, time.perf_counter_ns() - start)])

    def upscale(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The network alone, without detection.

        Args:
            crops: (N, h, w, 3) uint8 BGR faces, at most the largest window high and wide. A size between the windows is
                padded by its edge and cut back.

        Returns:
            (N, k·h, k·w, 3) uint8 BGR.

        Raises:
            InputError: another shape or dtype, or too large.
        """
        io_spec = self.session.io_spec
        if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8 or 0 in crops.shape[1:]:
            raise InputError(f"expected crops of (N, h, w, 3) uint8 BGR, got {crops.shape} {crops.dtype}")
        n, height, width, _ = crops.shape
        side = min((s for s in io_spec.windows if s >= max(height, width)), default=None)
        if side is None:
            raise InputError(
                f"crops are {width}x{height} px, at most {max(io_spec.windows)} is taken; shrink or split them"
            )
        k = io_spec.scale
        if n == 0:
            return np.zeros((0, k * height, k * width, 3), np.uint8)
        if (height, width) != (side, side):
            crops = np.pad(crops, ((0, 0), (0, side - height), (0, side - width), (0, 0)), mode="edge")
        out: NDArray[np.uint8] = self.session.infer(crops)[:, : k * height, : k * width]
        return out

    def _process(self, frame: Frame, spans: list[Span]) -> FrameResult:
        watch = Stopwatch(spans)
        with watch.stage("detect"):
            found = self.detector(frame.pixels, watch)
        with watch.stage("crop"):
            fitting, too_large = windows_for(found, frame.pixels.shape, self.session.io_spec.windows)
            batches = crops_of(frame.pixels, fitting)
        with watch.stage("super_resolve"):
            faces = super_resolve(self.session, batches, found, watch)
        composite = None
        if self.composite:
            with watch.stage("paste"):
                composite = self._compose(frame.pixels, faces, watch)
        return FrameResult(frame, composite, faces, found[too_large], tuple(watch.spans))

    def _compose(self, frame: NDArray[np.uint8], faces: tuple[Face, ...], watch: Stopwatch) -> NDArray[np.uint8]:
        if self.outscale == 1:
            return frame
        with watch.stage("paste.enlarge"):
            background = enlarge(frame, self.outscale)
        paste(background, faces, self.outscale)
        return background

    def warm_up(self) -> None:
        """Make every shape ready, so that the first frame takes no longer than the others."""
        self.session.warm_up()
        self.detector.session.warm_up()

    def close(self) -> None:
        """Give the engines' memory back."""
        self.session.close()
        self.detector.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

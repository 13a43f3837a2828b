"""The pipeline of a frame: detect → crop → upscale → paste."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import reduce
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.card import Card
from ...engines.errors import EngineError, UsageError
from ...engines.postprocess import Detections
from ...engines.session import Session
from ...engines.uncertainty import UncertaintySession
from ...zoo.catalogue import DEFAULT_MODEL
from ..profiling.timing import REGISTER, WAIT, Span, Stopwatch
from .crop import windows_for
from .detect import Detector
from .frame import Color, Frame, check_is_bgr, frame_from
from .overlap import InFlight, Overlap, Step
from .redetect import DetectEvery, check_detect_every
from .results import DetectorUse, FrameResult
from .stages import CpuStages, Stages
from .stream_detector import StreamDetector, full_use
from .track_network import TrackNetwork
from .uncertainty import with_uncertainty
from .upscale import upscale_crops

if TYPE_CHECKING:
    from .multi_frame import MultiFrameStage
    from .stream_tracks import StreamTracks

OUTSCALES = (1, 2, 3, 4)

Job = Iterator[FrameResult | None]
"""One frame in the pipeline: it runs to the end of detect, of upscale (after crop), of paste and of collect, and yields
None three times and the result. Everything that belongs to the frame is local to it, so that the steps of different
frames can run in different threads."""
Detect = Callable[[Any, Stopwatch], tuple[Frame, Detections, DetectorUse]]
"""Detects in a loaded frame: fully, or with the state of one stream, see `StreamDetector`."""


def _advance(job: Job) -> Job:
    """Run the next step of a job."""
    next(job)
    return job


def _finish(job: Job) -> FrameResult:
    """Run the remaining steps of a job."""
    return next(result for result in job if result is not None)


def _queue(job: Job) -> None:
    """Run a job to the end of paste."""
    for _ in range(3):
        next(job)


def _in_flight(jobs: Iterator[Job | None]) -> Generator[FrameResult, None, None]:
    """Results of jobs whose stages queue their work; each is collected after the next one is queued, if one waits."""
    queued: Job | None = None
    for job in jobs:
        failed: BaseException | None = None
        if job is not None:
            try:
                _queue(job)
            except BaseException as error:  # after the result of the job before
                failed = error
        if queued is not None:
            yield _finish(queued)
        if failed is not None:
            raise failed
        queued = job
    if queued is not None:
        yield _finish(queued)


def _frames(source: Any) -> Iterator[Any]:
    """Iterator of the frames of a source; a path or a single frame is rejected."""
    if isinstance(source, (str, os.PathLike)):
        raise UsageError(f"expected a source of frames, got the path {os.fspath(source)!r}; open it with open_source")
    if isinstance(source, (np.ndarray, Frame)) or not hasattr(source, "__iter__"):
        raise UsageError(
            f"expected a source or another iterable of frames, got {type(source).__name__}; "
            "for a single frame call the pipeline: pipeline(frame)"
        )
    return iter(source)


def _source_spans(frame: Any, start_s: float, start_ns: int) -> list[Span]:
    """Spans of a frame that the source was asked for: of one that had not arrived then, waiting and the rest.

    Args:
        frame: with its time of arrival, if it comes from a camera.
        start_s, start_ns: when the source was asked, on the clocks of `time.monotonic` and `time.perf_counter_ns`.
    """
    end_ns = time.perf_counter_ns()
    arrival_s = frame.arrival_s if isinstance(frame, Frame) else None
    if arrival_s is None:
        return [Span("decode", start_ns, end_ns - start_ns)]
    arrival_ns = min(start_ns + max(0, round(1e9 * (arrival_s - start_s))), end_ns)
    return [Span(WAIT, start_ns, arrival_ns - start_ns), Span("decode", arrival_ns, end_ns - arrival_ns)]


class Pipeline:
    """Face super-resolution of frames; a context manager.

    Thread-safe: it can be called while it streams, and from several threads, which wait for each other in its session
    and detector; several pipelines may share these. An iterator of `stream` belongs to one thread. After `os.fork` it
    can be used in the parent only, and it cannot be pickled: load another one in the child process.

    Args:
        session: a super-resolution engine.
        card: of its bundle.
        detector: a face detector.
        outscale: ratio of the composite's size to the frame's, 1 to 4. At 1 the composite is the frame itself, since
            a consistent face downscaled to the frame's grid equals the camera's pixels.
        composite: make the composite; False for faces only.
        stages: builds the stages from session, detector and outscale, 1 without a composite: `CpuStages` or
            `GpuStages`.
        detect_every: frames of a stream from one full detection to the next, 1 or more; or "auto". See `load`.
        threads: maximum number of stages that compute at once in a stream, except on a GPU; 0 for one per core.
        close_detector: close the detector with the pipeline; False if others use it.
        uncertainty: calibrated for the network, for `Face.uncertainty`; closed with the pipeline. None for none.
        frames: maximum number of frames that a face of a stream is made from.
        track_network: for faces of several frames, closed with the pipeline; needed if `frames` is more than 1.

    Raises:
        UsageError: another outscale, an invalid detect_every, or a number of frames that the network does not take.
        EngineError: the session is not for super-resolution, the stages cannot run the engines, or the networks do not
            fit together.
    """

    def __init__(
        self,
        session: Session,
        card: Card,
        detector: Detector,
        outscale: int = 2,
        composite: bool = True,
        *,
        stages: Callable[[Session, Detector, int], Stages[Any, Any, Any, Any]] = CpuStages,
        detect_every: DetectEvery = 1,
        threads: int = 0,
        close_detector: bool = True,
        uncertainty: UncertaintySession | None = None,
        frames: int = 1,
        track_network: TrackNetwork | None = None,
    ) -> None:
        if session.io_spec.task != "super-resolution":
            raise EngineError(f"expected a super-resolution bundle, got one for {session.io_spec.task}")
        if session.io_spec.frames > 1:
            raise EngineError(
                f"{card.name} reads several frames of a face and runs beside a model: give it as the track model, with "
                f"2 to {session.io_spec.frames} frames, and a model for single frames such as {DEFAULT_MODEL}"
            )
        if outscale not in OUTSCALES:
            raise UsageError(f"outscale is {outscale}, expected one of {', '.join(map(str, OUTSCALES))}")
        check_detect_every(detect_every)
        self.session, self.card, self.detector = session, card, detector
        self.detect_every = detect_every
        self.outscale, self.composite = outscale, composite
        self.stages = stages(session, detector, outscale if composite else 1)
        self.uncertainty = uncertainty
        if (frames > 1) != (track_network is not None):
            raise UsageError(f"frames is {frames}; expected more than 1 with a multi-frame network, and 1 without")
        if track_network is not None and self.stages.overlap != "threads":
            raise EngineError("faces of several frames need stages on the CPU, got those of a GPU; use CpuStages")
        self.multi_frame: MultiFrameStage | None = None
        if track_network is not None:
            from .multi_frame import MultiFrameStage  # with the registration, which most pipelines do not need

            self.multi_frame = MultiFrameStage(session, track_network, frames)
        self._close_detector, self._closed = close_detector, False
        self._threads = threads or os.cpu_count() or 1
        self._streams: WeakSet[Overlap] = WeakSet()

    @property
    def frames(self) -> int:
        """Maximum number of frames that a face of a stream is made from."""
        return self.multi_frame.frames if self.multi_frame else 1

    def __call__(self, frame: Any, *, color: Color = "bgr", bits: int | None = None) -> FrameResult:
        """Upscale the faces of one frame, each from this frame alone, also with `frames`.

        Args:
            frame: (H, W, 3) uint8 BGR, or another layout that `bgr_from` converts; or a `Frame`. With engines on a GPU
                also (H, W, 3) uint8 BGR on the GPU with ``__dlpack__`` or ``__cuda_array_interface__``, or `Nv12`. It
                may be changed once this returns.
            color, bits: of an array that is not uint8 BGR, e.g. ``color="rgb"``, see `bgr_from`. Results are BGR.

        Returns:
            Composite, faces and timings, in host memory.

        Raises:
            InputError: another shape or dtype.
            UsageError: color or bits are invalid, or given for a frame that is not an array in host memory.
            EngineError: the engine failed, the frame is on another GPU, or the pipeline is closed.
        """
        return _finish(self._job(self._frame(frame, 0, color, bits), [], self._detect))

    def stream(
        self,
        source: Iterable[Any],
        *steps: Callable[[FrameResult], FrameResult],
        overlap: bool = True,
        color: Color = "bgr",
        bits: int | None = None,
    ) -> Generator[FrameResult, None, None]:
        """Upscale the faces of every frame of a source, several frames at a time.

        Decoding, detection, upscaling (with cropping), pasting and each of `steps` run in threads of their own, on
        consecutive frames at once. On a GPU, detection to pasting is one of these steps, with two frames in flight: the
        results of a frame are copied out while the GPU works on the next one, if that has been read. Order and pixels
        are those of frame-by-frame processing. "decode" in the timings is the time of the source. Of a live source it
        is the time since the frame arrived, and the time before is "wait". "total" is the sum of the stages without
        "wait", i.e. the work for one frame, not the time between two results.

        With `frames` of more than 1, the faces of consecutive frames are linked into tracks, and the crops of a track
        are registered to each other: "register" in the timings. `Face.frames` tells from how many frames a face is
        made. Faces without enough earlier crops are made by the single-frame network from one: at the start of a track,
        after a cut, where the registration fails, in the first frames of every 250, and in single pictures.

        Frames are read ahead: at most one more than the threads of the pipeline, and at most one for each step (on a
        GPU two), are between source and consumer. A frame must not be changed after it was read. Reading starts with
        the first result and stops when the iterator or the pipeline is closed; a source that does not return is left to
        its thread after 0.5 s.

        Args:
            source: frames, or images as `__call__` takes.
            steps: called with each result, in order, e.g. to encode it; the return value is passed on.
            overlap: False to process one frame at a time in the thread of the caller.
            color, bits: of the arrays, see `__call__`.

        Raises:
            UsageError: the source is a path or a single frame; or as for a frame.
            InputError, EngineError: as for a frame, or the pipeline is closed.
        """
        self._check_open()
        detect = StreamDetector(self.stages, self.detector, self.detect_every)
        tracks = self.multi_frame.new_tracks() if self.multi_frame else None
        jobs = self._jobs(source, detect, color, bits, tracks)
        if not overlap:
            for job in jobs:
                yield reduce(lambda result, step: step(result), steps, _finish(job))
            return
        threaded = self.stages.overlap == "threads"
        stages: list[Step] = [_advance, _advance, _finish] if threaded else [InFlight(_in_flight)]
        with Overlap(jobs, [*stages, *steps], self._threads) as results:
            self._streams.add(results)
            yield from results

    def upscale(self, crops: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Upscale crops without detection; see `upscale_crops`.

        Args:
            crops: (N, h, w, 3) uint8 BGR, h and w at most the largest crop size of the engine.

        Returns:
            (N, k·h, k·w, 3) uint8 BGR.

        Raises:
            InputError: another shape or dtype, or too large.
            EngineError: the pipeline is closed.
        """
        self._check_open()
        return upscale_crops(self.session, crops)

    def _jobs(
        self,
        source: Iterable[Any],
        detect: Detect,
        color: Color = "bgr",
        bits: int | None = None,
        tracks: StreamTracks | None = None,
    ) -> Iterator[Job]:
        """A job for each frame of a source; an array gets its position as index."""
        frames = _frames(source)
        end: Any = object()
        for index in count():
            start_s, start_ns = time.monotonic(), time.perf_counter_ns()
            frame = next(frames, end)
            if frame is end:
                return
            frame = self._frame(frame, index, color, bits)
            yield self._job(frame, _source_spans(frame, start_s, start_ns), detect, index, tracks)

    def _frame(self, image: Any, index: int, color: Color, bits: int | None) -> Any:
        """A `Frame`, or a frame that the stages accept."""
        if not isinstance(image, Frame) and self.stages.accepts(image):
            check_is_bgr("a frame in GPU memory", color, bits)
            return image
        return frame_from(image, index, color=color, bits=bits)

    def _job(
        self, frame: Any, spans: list[Span], detect: Detect, index: int = 0, tracks: StreamTracks | None = None
    ) -> Job:
        self._check_open()
        stages = self.stages
        with stages.timed(spans) as timer:
            with timer.stage("detect"):
                loaded = stages.load(frame, timer)
                source, detections, use = detect(loaded, timer)
            if not isinstance(frame, Frame):  # it came in GPU memory
                source = replace(source, index=index)
            yield None
            with timer.stage("crop"):
                windows, too_large = windows_for(detections, source.pixels.shape, self.session.io_spec.crop_sizes)
                crops = stages.crop(loaded, windows)
            upscaled = self._upscale(source, crops, detections, timer, tracks)
            yield None
            composite = None
            if self.composite:
                with timer.stage("paste"):
                    composite = source.pixels if self.outscale == 1 else stages.paste(loaded, upscaled, timer)
            yield None
            faces, composite = stages.collect(upscaled, detections, composite, timer)
            if self.uncertainty is not None and faces:
                start_ns = time.perf_counter_ns()  # on the host, after the stages
                faces = with_uncertainty(faces, self.uncertainty)
                timer.spans.append(Span("uncertainty", start_ns, time.perf_counter_ns() - start_ns))
            if faces and composite is not None and self.outscale > 1:
                source = replace(source, upscaled=True)
            # before another frame gets the timer
            result = FrameResult(source, composite, faces, detections[too_large], tuple(timer.spans), use)
        yield result

    def _upscale(
        self, source: Frame, crops: Any, detections: Detections, timer: Any, tracks: StreamTracks | None
    ) -> Any:
        """Upscale the faces of a frame, with the crops of their tracks if the frame belongs to a stream with them."""
        if self.multi_frame is None or tracks is None:
            with timer.stage("upscale"):
                return self.stages.upscale(crops, detections, timer)
        with timer.stage(REGISTER):
            tracked = tracks.follow(source, detections, crops)
            prepared = self.multi_frame.prepare(crops, tracked)
        with timer.stage("upscale"):
            return self.multi_frame.upscale(prepared, crops, tracked, detections, timer)

    def _detect(self, loaded: Any, timer: Stopwatch) -> tuple[Frame, Detections, DetectorUse]:
        """Detect in a whole frame."""
        frame, detections = self.stages.detect(loaded, timer)
        return frame, detections, full_use(self.detector, frame)

    def warm_up(self) -> None:
        """Run every shape of both engines once, so that the first frame is not slower than the others.

        Raises:
            EngineError: the pipeline is closed.
        """
        self._check_open()
        self.session.warm_up()
        self.detector.session.warm_up()
        if self.multi_frame is not None:
            self.multi_frame.warm_up()

    def _check_open(self) -> None:
        if self._closed:  # the engines may not notice: they are not called for a frame without faces
            raise EngineError("the pipeline is closed; load it again")

    def close(self) -> None:
        """Release the stages and the engines; later calls raise an EngineError. Idempotent.

        Streams stop. A call in another thread finishes the step that it is in, and raises an EngineError if a later one
        needs what was released.
        """
        self._closed = True
        for stream in list(self._streams):
            stream.close()
        self.stages.close()
        self.session.close()
        if self.multi_frame is not None:
            self.multi_frame.close()
        if self.uncertainty is not None:
            self.uncertainty.close()
        if self._close_detector:
            self.detector.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

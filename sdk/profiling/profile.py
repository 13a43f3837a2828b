"""Latency of each pipeline stage: per frame, as percentiles, and the overhead of this package."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.timing import LatencyStats, latency_stats
from ...engines.bundle.card import Card
from ...engines.errors import InputError
from ..doctor.machine import Machine, peak_memory_mb, this_machine
from ..media.images.image_file import read_image
from ..media.sinks import open_sink
from ..media.source_sink import Source
from ..pipeline.frame import Frame
from ..pipeline.pipeline import Pipeline
from ..pipeline.results import Face, FrameResult
from ..pipeline.run import Writer, run
from ..pipeline.tiling import Plan
from .detection_budget import DetectionBudget, DetectionCounter
from .layers import LayerTimes, time_layers
from .timing import PROFILE_ROWS, REGISTER, FrameTiming

FRAMES = {"image": 30, "folder": 30, "video": 100, "live": 100}
"""Kind of source -> default number of measured frames."""
WARM_UP = 3


@dataclass(frozen=True, eq=False)
class Profile:
    """Measurements of one profiling run, with machine and configuration.

    Args:
        source: name of the input.
        size_wh: frame size in pixels; if frames differ, that of the frame with the most faces.
        outscale: size of the composite relative to the frame.
        model: name of the super-resolution model.
        card: card of the super-resolution model.
        precision: that ran.
        plan: detection plan: scale, tiles and megapixels of the detector input.
        runtimes: "upscale" and "detect" -> runtime.
        versions: package -> version.
        machine: machine that ran it.
        peak_memory_mb: peak resident memory of the process in MB; None if the system does not report it.
        warm_up: number of warm-up frames, which are not measured.
        timeline: timings of the measured frames, in order, each processed alone.
        detection: full detections of these frames, and the faces missed in the others.
        overlapped_fps: throughput in frames/s of as many frames with overlapping stages, from opening the source to the
            last result; None for a live source, which sets the rate itself.
        faces: faces of the frame with the most faces, shown in the report.
        layers: latency of each layer of the networks; empty unless requested.
    """

    source: str
    size_wh: tuple[int, int]
    outscale: int
    model: str
    card: Card
    precision: str
    plan: Plan
    runtimes: dict[str, str]
    versions: dict[str, str]
    machine: Machine
    peak_memory_mb: float | None
    warm_up: int
    timeline: tuple[FrameTiming, ...]
    detection: DetectionBudget
    overlapped_fps: float | None
    faces: tuple[Face, ...]
    layers: LayerTimes

    @property
    def stages(self) -> dict[str, LatencyStats]:
        """Latency of each of `PROFILE_ROWS`; of the registration only if the faces had several frames."""
        frames = [timing.milliseconds for timing in self.timeline]
        rows = [name for name in PROFILE_ROWS if name != REGISTER or any(ms[name] for ms in frames)]
        return {name: latency_stats([ms[name] for ms in frames]) for name in rows}

    @property
    def overhead(self) -> LatencyStats:
        """Total latency minus networks, registration, decoding, encoding and background resizing."""
        return latency_stats([timing.overhead_ms for timing in self.timeline])

    @property
    def overhead_share(self) -> float:
        """Mean overhead relative to the mean total, 0..1."""
        return self.overhead.mean / self.stages["total"].mean

    @property
    def faces_per_frame(self) -> float:
        """Mean number of upscaled faces per frame."""
        return float(np.mean([timing.faces for timing in self.timeline]))

    @property
    def fps(self) -> float:
        """Sequential throughput in frames/s."""
        return 1e3 / self.stages["total"].mean

    def to_dict(self) -> dict[str, Any]:
        """JSON document without pixels and spans."""
        return {
            "source": self.source,
            "size_wh": list(self.size_wh),
            "outscale": self.outscale,
            "model": self.model,
            "precision": self.precision,
            "detect": {**self.plan.to_dict(), "budget": self.detection.to_dict()},
            "frames": len(self.timeline),
            "warm_up": self.warm_up,
            "faces_per_frame": round(self.faces_per_frame, 3),
            "fps": round(self.fps, 2),
            "overlapped_fps": None if self.overlapped_fps is None else round(self.overlapped_fps, 2),
            "stages_ms": {name: value.to_dict() for name, value in self.stages.items()},
            "overhead_ms": {**self.overhead.to_dict(), "share_of_total": round(self.overhead_share, 4)},
            "frames_ms": [round(timing.milliseconds["total"], 3) for timing in self.timeline],
            "layers": {part: [asdict(layer) for layer in times] for part, times in self.layers.items()},
            "peak_memory_mb": None if self.peak_memory_mb is None else round(self.peak_memory_mb, 1),
            "machine": self.machine.to_dict(),
            "runtimes": self.runtimes,
            "versions": self.versions,
        }


def profile(
    pipeline: Pipeline,
    source: Source,
    *,
    frames: int | None = None,
    warm_up: int = WARM_UP,
    encode: bool = True,
    layers: bool = False,
    report: Callable[[int], None] = lambda done: None,
) -> Profile:
    """Profile a pipeline on a source: frame by frame, then the throughput with overlapping stages.

    Args:
        pipeline: pipeline to measure.
        source: input; images are decoded repeatedly until there are enough frames, a video may end earlier.
        frames: number of measured frames; None for 30 of images, 100 of videos and live sources.
        warm_up: number of frames before the measurement.
        encode: include encoding: images as JPEG in memory, videos to a temporary file.
        layers: also measure each layer of the networks, after the frames.
        report: called with the number of processed frames, including warm-up.

    Raises:
        InputError: the source has no frames beyond the warm-up.
    """
    count = warm_up + (frames or FRAMES[source.kind])
    if source.kind != "image":  # frames of one image have the same crop sizes, which the first frame warms up
        pipeline.warm_up()
    with ExitStack() as stack:
        sink = stack.enter_context(_discarding_sink(pipeline, source)) if encode and pipeline.composite else None
        timeline: list[FrameTiming] = []
        best: FrameResult | None = None
        detections = DetectionCounter()
        for done, result in enumerate(run(pipeline, _frames(source, count), sink, overlap=False), start=1):
            report(done)
            if done <= warm_up:
                continue
            detections.add(result, pipeline.detector.plan(*result.source.pixels.shape[1::-1]).megapixels)
            timeline.append(FrameTiming(done - warm_up - 1, len(result.faces), result.spans))
            if best is None or len(result.faces) > len(best.faces):
                best = result
    if best is None:
        raise InputError(f"{source.name} ends within the {warm_up} warm-up frames; use --warm-up 0 or a longer input")
    overlapped_fps = None if source.kind == "live" else _overlapped_fps(pipeline, source, len(timeline), encode)
    height, width = best.source.pixels.shape[:2]
    plan = pipeline.detector.plan(width, height)
    return Profile(
        source=source.name,
        size_wh=(width, height),
        outscale=pipeline.outscale,
        model=pipeline.card.name,
        card=pipeline.card,
        precision=pipeline.session.precision,
        plan=plan,
        runtimes={"upscale": pipeline.session.runtime, "detect": pipeline.detector.session.runtime},
        versions=package_versions(),
        machine=this_machine(),
        peak_memory_mb=peak_memory_mb(),
        warm_up=warm_up,
        timeline=tuple(timeline),
        detection=detections.budget(pipeline.detector),
        overlapped_fps=overlapped_fps,
        faces=best.faces,
        layers=time_layers(pipeline, plan, best.faces) if layers else {},
    )


def _overlapped_fps(pipeline: Pipeline, source: Source, count: int, encode: bool) -> float:
    with ExitStack() as stack:
        sink = stack.enter_context(_discarding_sink(pipeline, source)) if encode and pipeline.composite else None
        start = time.perf_counter()
        done = sum(1 for _ in run(pipeline, _frames(source, count), sink))
        return done / (time.perf_counter() - start)


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that process a frame."""
    versions = {}
    for name in ("facesr-edge", "onnxruntime", "opencv-python-headless", "av", "numpy"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


class _JpegInMemory:
    """Sink that encodes to JPEG and discards the result."""

    def write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        cv2.imencode(".jpg", pixels)


@contextmanager
def _discarding_sink(pipeline: Pipeline, source: Source) -> Iterator[Writer]:
    if source.kind in ("image", "folder"):
        yield _JpegInMemory()
        return
    with (
        TemporaryDirectory() as folder,
        open_sink(Path(folder) / "profile.mp4", source, outscale=pipeline.outscale) as sink,
    ):
        yield sink


def _frames(source: Source, count: int) -> Iterator[Frame]:
    """The first `count` frames; images are decoded again for each repetition, so that decoding is measured."""
    return islice(_repeat(source) if source.kind in ("image", "folder") else iter(source), count)


def _repeat(source: Source) -> Iterator[Frame]:
    again = True
    while again:  # a folder without a readable image ends
        again = False
        for frame in _images(source):
            again = True
            yield frame


def _images(source: Source) -> Iterator[Frame]:
    if source.kind == "image" and source.path:  # the source itself decodes its image only once
        yield Frame(read_image(source.path), name=source.path.name)
    else:
        yield from source

"""Latency, throughput and memory of the pipeline over frame size and number of faces, interleaved in one run."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from datetime import datetime
from multiprocessing import get_context
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.timing import LatencyStats, latency_stats
from ...engines.errors import InputError, UsageError
from ..doctor.machine import Machine, busy, load_now, peak_memory_mb, this_machine
from ..pipeline.pipeline import Pipeline
from ..pipeline.results import FrameResult
from ..profiling.profile import package_versions
from ..profiling.timing import BREAKDOWN, FrameTiming
from .defaults import COUNTS, FRAMES, ROUNDS, SIZES
from .scenes import Scene, make_scene, portraits_of
from .tables import STATS, RunProgress


@dataclass(frozen=True)
class SceneTiming:
    """Measurements of one frame size and number of faces.

    Args:
        size: key of `SIZES`.
        faces: number of faces in every frame.
        timeline: timings of the frames that ran one after another, `Pipeline.__call__`, of all rounds.
        overlapped_ms: time per frame of each round of `Pipeline.stream`.
        peak_memory_mb: of a process that streams only these frames; None if the system does not report it.
    """

    size: str
    faces: int
    timeline: tuple[FrameTiming, ...]
    overlapped_ms: tuple[float, ...]
    peak_memory_mb: float | None

    @property
    def total(self) -> LatencyStats:
        """Latency of a frame, sequential, in ms."""
        return latency_stats([timing.milliseconds["total"] for timing in self.timeline])

    @property
    def breakdown_ms(self) -> dict[str, float]:
        """Component of `BREAKDOWN` -> mean ms; they add up to the mean of `total`."""
        frames = [timing.breakdown_ms for timing in self.timeline]
        return {name: float(np.mean([ms[name] for ms in frames])) for name in BREAKDOWN}

    @property
    def overhead_ms(self) -> float:
        """Mean time that is neither networks nor background resizing."""
        return float(np.mean([timing.overhead_ms for timing in self.timeline]))

    @property
    def overhead_share(self) -> float:
        """Mean overhead relative to the mean total, 0..1."""
        return self.overhead_ms / self.total.mean

    @property
    def sequential_fps(self) -> float:
        """Frames/s, one frame after another; from the median."""
        return 1e3 / self.total.p50

    @property
    def overlapped_fps(self) -> float:
        """Frames/s of `Pipeline.stream`; from the median of the rounds."""
        return 1e3 / float(np.median(self.overlapped_ms))

    def to_dict(self) -> dict[str, Any]:
        """For JSON; ms are rounded to 1 µs."""
        return {
            "size": self.size,
            "size_wh": list(SIZES[self.size]),
            "faces": self.faces,
            "frames": len(self.timeline),
            "total_ms": self.total.to_dict(STATS),
            "breakdown_ms": {name: round(ms, 3) for name, ms in self.breakdown_ms.items()},
            "overhead_ms": round(self.overhead_ms, 3),
            "overhead_share": round(self.overhead_share, 4),
            "sequential_fps": round(self.sequential_fps, 3),
            "overlapped_fps": round(self.overlapped_fps, 3),
            "peak_memory_mb": None if self.peak_memory_mb is None else round(self.peak_memory_mb, 1),
        }


@dataclass(frozen=True)
class Growth:
    """Least-squares line through the latencies of one frame size over the number of faces."""

    size: str
    ms_per_face: float
    ms_per_frame: float  # without faces


@dataclass(frozen=True)
class PipelineTimings:
    """All frame sizes and numbers of faces of one run."""

    machine: Machine
    when: str  # start, ISO 8601 with time zone
    load: float | None  # load average of the last minute at the start; None if the system does not report it
    model: str
    precision: str
    runtimes: dict[str, str]  # "upscale" and "detect" -> runtime
    outscale: int  # size of the composite relative to the frame
    threads: int  # CPU threads; 0 for one per core
    portraits: str  # name of the pasted faces
    frames: int  # in each round
    rounds: int
    scenes: tuple[SceneTiming, ...]
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=package_versions)

    @property
    def sizes(self) -> tuple[str, ...]:
        """Frame sizes in the order of the run."""
        return tuple(dict.fromkeys(scene.size for scene in self.scenes))

    def of_size(self, size: str) -> list[SceneTiming]:
        """Scenes of a frame size."""
        return [scene for scene in self.scenes if scene.size == size]

    @property
    def growth(self) -> tuple[Growth, ...]:
        """Growth of the sequential latency with the faces, for each size with two or more numbers of faces."""
        lines = []
        for size in self.sizes:
            scenes = self.of_size(size)
            if len(scenes) > 1:
                slope, start = np.polyfit([s.faces for s in scenes], [s.total.p50 for s in scenes], 1)
                lines.append(Growth(size, float(slope), float(start)))
        return tuple(lines)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        run = ("when", "load", "model", "precision", "runtimes", "outscale", "threads", "portraits", "frames", "rounds")
        return {
            "machine": self.machine.to_dict(),
            **{name: getattr(self, name) for name in run},
            "versions": self.versions,
            "notes": list(self.notes),
            "scenes": [scene.to_dict() for scene in self.scenes],
            "growth": [
                {"size": g.size, "ms_per_face": round(g.ms_per_face, 3), "ms_per_frame": round(g.ms_per_frame, 3)}
                for g in self.growth
            ],
        }


def measure_pipeline(
    load: Callable[[], Pipeline],
    images: Sequence[NDArray[np.uint8]],
    dataset_name: str,
    *,
    sizes: Sequence[str] = tuple(SIZES),
    counts: Sequence[int] = COUNTS,
    frames: int = FRAMES,
    rounds: int = ROUNDS,
    threads: int = 0,
    report: RunProgress = lambda step, done, total: None,
) -> PipelineTimings:
    """Measure a pipeline on frames of several sizes with several numbers of faces.

    In each round every combination has a turn, in an order shuffled anew: its frames run one after another, then
    through `Pipeline.stream`. Peak memory is measured before, in a process for each combination.

    Args:
        load: loads the pipeline; is pickled for the processes that measure memory.
        images: with a face each, see `portraits_of`.
        dataset_name: name of the images.
        sizes: keys of `SIZES`.
        counts: numbers of faces.
        frames, rounds: frames in a round, and rounds.
        threads: CPU threads that `load` was given, for the record.
        report: see `RunProgress`.

    Raises:
        UsageError: the faces do not fit into a frame.
        InputError: the detector finds another number of faces.
    """
    machine, load_average = this_machine(), load_now()
    when = datetime.now().astimezone().isoformat(timespec="seconds")
    with load() as pipeline:
        portraits = portraits_of(images, pipeline.detector)
        scenes = [make_scene(size, faces, portraits) for size in sizes for faces in counts]
        for number, scene in enumerate(scenes):
            report("checking the frames", number, len(scenes))
            check_faces(scene, pipeline(scene.frame(0)))
        memory = []
        for number, scene in enumerate(scenes):
            report("measuring memory", number, len(scenes))
            memory.append(peak_memory_of(load, scene, frames))
        measured = _timed(pipeline, scenes, frames, rounds, report)
        return PipelineTimings(
            machine=machine,
            when=when,
            load=load_average,
            model=pipeline.card.name,
            precision=pipeline.session.precision,
            runtimes={"upscale": pipeline.session.runtime, "detect": pipeline.detector.session.runtime},
            outscale=pipeline.outscale,
            threads=threads,
            portraits=dataset_name,
            frames=frames,
            rounds=rounds,
            scenes=tuple(
                SceneTiming(scene.size, scene.faces, tuple(timeline), tuple(overlapped), peak)
                for scene, (timeline, overlapped), peak in zip(scenes, measured, memory, strict=True)
            ),
            notes=busy(machine, load_average),
        )


def check_faces(scene: Scene, result: FrameResult) -> None:
    """Check that the detector found every face of a frame, and nothing else.

    Raises:
        InputError: another number of faces.
    """
    found = len(result.faces) + len(result.too_large)
    if found != scene.faces:
        where = f"frame {result.source.index} of {scene.size} with {scene.faces} faces"
        raise InputError(f"the detector finds {found} faces in {where}; give other --faces")


def peak_memory_of(load: Callable[[], Pipeline], scene: Scene, frames: int) -> float | None:
    """Peak resident memory in MB of a process that loads a pipeline and streams the frames of a scene.

    Raises:
        UsageError: the process ended, for instance because memory ran out.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:  # spawn: nothing of this process counts
        try:
            return executor.submit(_stream, load, scene, frames).result()
        except BrokenProcessPool:
            raise UsageError(f"{scene.faces} faces in {scene.size} need more memory; use fewer --sizes") from None


def _stream(load: Callable[[], Pipeline], scene: Scene, frames: int) -> float | None:
    with load() as pipeline:
        for _ in pipeline.stream(scene.frames(frames)):
            pass
    return peak_memory_mb()


Measured = tuple[list[FrameTiming], list[float]]
"""Timings of the sequential frames, and ms per frame of each overlapped round."""


def _timed(
    pipeline: Pipeline, scenes: Sequence[Scene], frames: int, rounds: int, report: RunProgress
) -> list[Measured]:
    """Time every scene in every round."""
    pipeline.warm_up()
    measured: list[Measured] = [([], []) for _ in scenes]
    order, random = list(range(len(scenes))), Random(0)
    for done in range(rounds):
        random.shuffle(order)
        for turn, index in enumerate(order):
            report("timing", done * len(scenes) + turn, rounds * len(scenes))
            timeline, overlapped = measured[index]
            drawn = list(scenes[index].frames(frames))
            pipeline(drawn[0])  # loads weights and frame buffers of this size
            for frame in drawn:
                result = pipeline(frame)
                check_faces(scenes[index], result)
                timeline.append(FrameTiming(len(timeline), len(result.faces), result.spans))
            gc.collect()
            start = time.perf_counter()
            for _ in pipeline.stream(drawn):
                pass
            overlapped.append(1e3 * (time.perf_counter() - start) / frames)
    report("timing", rounds * len(scenes), rounds * len(scenes))
    return measured

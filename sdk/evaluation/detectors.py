"""Detectors judged on labelled scenes: their quality, and what a frame costs, taken in turn in one run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.data.detection import Scene
from ...calibration.data.tiled_frame import tiled_frame
from ...calibration.metrics.detection import MIN_SCORE, Detect
from ...calibration.metrics.detection_report import DetectorQuality, ScenePredictions, detector_quality, predict_scenes
from ...zoo.catalogue import DEFAULT_SCORE
from ..doctor.machine import Machine, this_machine
from ..load import load_detector
from ..pipeline.detect import Detector
from ..pipeline.tiling import MIN_FACE
from ..profiling.timing import Latency, latency

SIZES_WH = ((640, 360), (1920, 1080))
"""Sizes of the frames that are timed."""
FRAMES = 3
"""How many different frames of each size are timed, in turn."""
RUNS = 21
"""How often each detector sees a frame of each size, after a warm-up."""
PICTURES_A_FRAME = 40


@dataclass(frozen=True, eq=False)
class DetectorResult:
    """One detector.

    Args:
        name: of its file or bundle.
        runtime: what ran it.
        quality: its figures.
        latencies_ms: (width, height) of a frame -> time of the whole call.
        seen: all scenes and what it found in them.
    """

    name: str
    runtime: str
    quality: DetectorQuality
    latencies_ms: dict[tuple[int, int], Latency]
    seen: tuple[ScenePredictions, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, without what was found."""
        times = {f"{width}x{height}": figures.to_dict() for (width, height), figures in self.latencies_ms.items()}
        return {"name": self.name, "runtime": self.runtime, **self.quality.to_dict(), "latency_ms": times}


@dataclass(frozen=True, eq=False)
class DetectorResults:
    """All detectors of one run.

    Args:
        detectors: in the order they were asked for.
        machine: that they ran on.
    """

    detectors: tuple[DetectorResult, ...]
    machine: Machine

    @property
    def ratios(self) -> dict[tuple[int, int], float]:
        """(width, height) of a frame -> median time of the first detector over the second's; empty for one detector."""
        if len(self.detectors) != 2:
            return {}
        first, second = (judged.latencies_ms for judged in self.detectors)
        return {size: first[size].p50 / second[size].p50 for size in first}

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        ratios = {f"{width}x{height}": round(ratio, 3) for (width, height), ratio in self.ratios.items()}
        return {
            "machine": self.machine.to_dict(),
            "detectors": [judged.to_dict() for judged in self.detectors],
            **({"latency_ratio": ratios} if ratios else {}),
        }


def benchmark_detectors(
    models: Sequence[str | Path],
    scenes: Sequence[Scene],
    *,
    score: float = DEFAULT_SCORE,
    min_face: float = MIN_FACE,
    engine: str = "auto",
    threads: int = 0,
    runs: int = RUNS,
    report: Callable[[int], None] = lambda done: None,
) -> DetectorResults:
    """Measure detectors side by side.

    Args:
        models: each what `load_detector` takes.
        scenes: labelled pictures, at least one.
        score: least score in use, 0..1; what lies below is ranked for recall and precision all the same.
        min_face: smallest face of interest, in pixels.
        engine: "auto", or a runtime's name.
        threads: CPU threads of one call; 0 for one a core.
        runs: how often each detector is timed at each size.
        report: told how many of the scenes are done.

    Raises:
        UnknownNameError, BundleError, EngineError, UsageError, InputError: the text says what and what to do.
    """
    with ExitStack() as stack:
        options: dict[str, Any] = {"score": score, "min_face": min_face, "engine": engine, "threads": threads}
        detectors = [stack.enter_context(closing(load_detector(model, **options))) for model in models]
        faintly = [Detector(detector.session, min(score, MIN_SCORE), min_face) for detector in detectors]
        seen: list[tuple[ScenePredictions, ...]] = []
        for done, scene in enumerate(scenes, start=1):
            seen.append(tuple(predict_scenes(detect, scene) for detect in faintly))
            report(done)
        times = {size: latencies(detectors, frames_of(scenes, size), runs) for size in SIZES_WH}
        judged = tuple(
            DetectorResult(
                name=name,
                runtime=detector.session.runtime,
                quality=detector_quality(own := tuple(each[n] for each in seen), score),
                latencies_ms={size: figures[n] for size, figures in times.items()},
                seen=own,
            )
            for n, (name, detector) in enumerate(zip(names_of(models), detectors, strict=True))
        )
    return DetectorResults(judged, this_machine())


def names_of(models: Sequence[str | Path]) -> list[str]:
    """What to call detectors: the names of their bundles or files; where these are alike, the whole paths."""
    paths = [Path(model) for model in models]
    names = [path.stem if path.suffix.lower() == ".onnx" else path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(model) for model in models]


def frames_of(scenes: Sequence[Scene], size_wh: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Frames filled with the scenes' own pictures, which are taken evenly from all of them."""
    frames = []
    for n in range(FRAMES):
        chosen = np.linspace(0, len(scenes), PICTURES_A_FRAME, endpoint=False).astype(int) + n
        frames.append(tiled_frame([scenes[i].read() for i in dict.fromkeys(chosen % len(scenes))], size_wh))
    return frames


def latencies(detectors: Sequence[Detect], frames: Sequence[NDArray[np.uint8]], runs: int = RUNS) -> list[Latency]:
    """Time whole calls, the detectors in turn on the same frame, so that a busy machine is fair to all of them.

    Args:
        detectors: warmed up here, on each frame.
        frames: in turn, (H, W, 3) uint8 BGR of one size.
        runs: of each detector.

    Returns:
        Of each detector.
    """
    taken: list[list[float]] = [[] for _ in detectors]
    for frame in frames:
        for detect in detectors:
            detect(frame)
    for run in range(runs):
        frame = frames[run % len(frames)]
        turn = list(zip(detectors, taken, strict=True))
        for detect, times in turn if run % 2 else reversed(turn):
            start = time.perf_counter()
            detect(frame)
            times.append(1e3 * (time.perf_counter() - start))
    return [latency(times) for times in taken]

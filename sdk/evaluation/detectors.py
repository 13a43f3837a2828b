"""Detector benchmark on labelled scenes: accuracy, and latency per frame, measured interleaved in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.data.detection import Scene
from ...calibration.data.tiled_frame import tiled_frame
from ...calibration.metrics.detection import MIN_SCORE, Detect
from ...calibration.metrics.detection_report import DetectorQuality, ScenePredictions, detector_quality, predict_scenes
from ...calibration.timing import LatencyStats, interleaved, latency_stats
from ...zoo.catalogue import DEFAULT_SCORE
from ..doctor.machine import Machine, this_machine
from ..load import load_detector
from ..pipeline.detect import Detector
from ..pipeline.tiling import MIN_FACE

SIZES_WH = ((640, 360), (1920, 1080))
"""Timed frame sizes."""
FRAMES = 3
"""Number of different frames of each size."""
RUNS = 21
"""Timed runs of each detector at each size, after the warm-up."""
IMAGES_PER_FRAME = 40


@dataclass(frozen=True, eq=False)
class DetectorResult:
    """Benchmark result of one detector."""

    name: str  # of its file or bundle
    runtime: str  # name and version
    quality: DetectorQuality
    latencies_ms: dict[tuple[int, int], LatencyStats]  # (width, height) of a frame -> latency of the whole call
    predictions: tuple[ScenePredictions, ...]  # of all scenes

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the predictions."""
        latencies = {f"{width}x{height}": stats.to_dict() for (width, height), stats in self.latencies_ms.items()}
        return {"name": self.name, "runtime": self.runtime, **self.quality.to_dict(), "latency_ms": latencies}


@dataclass(frozen=True, eq=False)
class DetectorResults:
    """Benchmark results of all detectors of one run, in the order of the arguments."""

    detectors: tuple[DetectorResult, ...]
    machine: Machine

    @property
    def ratios(self) -> dict[tuple[int, int], float]:
        """(width, height) of a frame -> median latency of the first detector over the second's; empty unless two."""
        if len(self.detectors) != 2:
            return {}
        first, second = (result.latencies_ms for result in self.detectors)
        return {size: first[size].p50 / second[size].p50 for size in first}

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        ratios = {f"{width}x{height}": round(ratio, 3) for (width, height), ratio in self.ratios.items()}
        return {
            "machine": self.machine.to_dict(),
            "detectors": [result.to_dict() for result in self.detectors],
            **({"latency_ratio": ratios} if ratios else {}),
        }


def benchmark_detectors(
    models: Sequence[str | Path],
    scenes: Sequence[Scene],
    *,
    score: float = DEFAULT_SCORE,
    min_face: float = MIN_FACE,
    engine: str = "auto",
    precision: str | None = None,
    threads: int = 0,
    runs: int = RUNS,
    report: Callable[[int], None] = lambda done: None,
) -> DetectorResults:
    """Benchmark detectors on the same scenes and frames.

    Args:
        models: each as for `load_detector`.
        scenes: labelled images, at least one.
        score: score threshold, 0..1; recall and precision use lower scores as well.
        min_face: smallest face to detect, in pixels.
        engine: "auto", or the name of a runtime.
        precision: as for `load_detector`; None for "auto".
        threads: CPU threads per call; 0 for one per core.
        runs: timed runs of each detector at each size.
        report: called with the number of evaluated scenes.

    Raises:
        UnknownNameError, BundleError, EngineError, UsageError, InputError: see the message.
    """
    with ExitStack() as stack:
        options: dict[str, Any] = {"score": score, "min_face": min_face, "engine": engine, "threads": threads}
        options["precision"] = precision or "auto"
        detectors = [stack.enter_context(closing(load_detector(model, **options))) for model in models]
        low_score = [Detector(detector.session, min(score, MIN_SCORE), min_face) for detector in detectors]
        predictions: list[tuple[ScenePredictions, ...]] = []
        for done, scene in enumerate(scenes, start=1):
            predictions.append(tuple(predict_scenes(detect, scene) for detect in low_score))
            report(done)
        latencies = {size: detector_latencies(detectors, frames_of(scenes, size), runs) for size in SIZES_WH}
        results = tuple(
            DetectorResult(
                name=name,
                runtime=detector.session.runtime,
                quality=detector_quality(of_detector, score),
                latencies_ms={size: stats[n] for size, stats in latencies.items()},
                predictions=of_detector,
            )
            for n, (name, detector, of_detector) in enumerate(
                zip(model_names(models), detectors, zip(*predictions, strict=True), strict=True)
            )
        )
    return DetectorResults(results, this_machine())


def model_names(models: Sequence[str | Path]) -> list[str]:
    """Display names of models: bundle or file names, or the full paths if those are not unique."""
    paths = [Path(model) for model in models]
    names = [path.stem if path.suffix.lower() == ".onnx" else path.resolve().name for path in paths]
    return names if len(set(names)) == len(names) else [str(model) for model in models]


def frames_of(scenes: Sequence[Scene], size_wh: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """`FRAMES` frames tiled with images of the scenes, evenly sampled."""
    frames = []
    for n in range(FRAMES):
        indices = np.linspace(0, len(scenes), IMAGES_PER_FRAME, endpoint=False).astype(int) + n
        frames.append(tiled_frame([scenes[i].read() for i in dict.fromkeys(indices % len(scenes))], size_wh))
    return frames


def detector_latencies(
    detectors: Sequence[Detect], frames: Sequence[NDArray[np.uint8]], runs: int = RUNS
) -> list[LatencyStats]:
    """Latency of whole calls, interleaved on each frame.

    Args:
        detectors: functions to time.
        frames: (H, W, 3) uint8 BGR of one size; the runs are divided among them.
        runs: timed runs of each detector, after one untimed run per frame.

    Returns:
        One per detector.
    """
    samples: list[list[float]] = [[] for _ in detectors]
    for n, frame in enumerate(frames):
        calls = [partial(detect, frame) for detect in detectors]
        rounds = len(range(n, runs, len(frames)))
        for all_ms, ms in zip(samples, interleaved(calls, rounds, warm_up=1, discard=0), strict=True):
            all_ms += ms
    return [latency_stats(ms) for ms in samples]

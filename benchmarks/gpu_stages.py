"""Time the frame operations around the networks on this machine's GPU and CPU, in one run.

    python -m facesr_edge.benchmarks.gpu_stages --save FILE.json

Every GPU result is compared with the CPU's before it is timed. "GPU" is the time between two CUDA events, queued after
other work so that the GPU never waits for the host; "call" is the host time until the result is ready. Medians, with
the 10th and 90th percentile. "of copy" is the achieved bandwidth (minimum bytes read and written per second) relative
to that of a plain copy within GPU memory in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.frame_ops import FrameOps
from facesr_edge.engines.cuda.streams import Stream
from facesr_edge.engines.errors import FacesrError
from facesr_edge.sdk.doctor.gpu import nvidia_smi
from facesr_edge.sdk.doctor.machine import this_machine

from .gpu_scene import SCALE, SIDE, Scene, Stage

CPU_SECONDS = 0.5
"""Minimum time for which a CPU operation is repeated, at least three times."""


@dataclass(frozen=True)
class StageTimes:
    """Times of a stage in ms: (median, 10th, 90th percentile)."""

    frame: str
    stage: str
    faces: int
    difference: float
    gpu_ms: tuple[float, float, float]
    call_ms: tuple[float, float, float]
    cpu_ms: tuple[float, float, float] | None
    gb_s: float
    of_copy: float | None

    def __str__(self) -> str:
        cpu = "" if self.cpu_ms is None else f"{self.cpu_ms[0]:9.3f} {self.cpu_ms[0] / self.call_ms[0]:7.1f}"
        share = "" if self.of_copy is None else f"{100 * self.of_copy:6.0f} %"
        gpu = f"{self.gpu_ms[0]:8.4f} ({self.gpu_ms[1]:.4f} to {self.gpu_ms[2]:.4f})"
        start = f"{self.frame:10} {self.stage:14} {self.faces or '':>5} {gpu:30} {self.call_ms[0]:8.3f} "
        return f"{start}{cpu:17} {self.gb_s:8.1f} {share:8} {self.difference:.2g}"


HEADING = (
    f"{'frame':10} {'stage':14} {'faces':>5} {'GPU ms':30} {'call ms':>8} {'CPU ms':>9} {'CPU:call':>7} {'GB/s':>8} "
    f"{'of copy':>8} difference in gray levels"
)


def percentiles(samples: list[float]) -> tuple[float, float, float]:
    """Median, 10th and 90th percentile."""
    median, low, high = np.percentile(samples, [50, 10, 90])
    return float(median), float(low), float(high)


class Timer:
    """Time work that is queued on a stream, in `rounds` repetitions."""

    def __init__(self, gpu: Gpu, stream: Stream, rounds: int) -> None:
        self._gpu, self._stream, self._rounds = gpu, stream, rounds
        self._start, self._end = gpu.event(), gpu.event()
        nbytes = min(2**30, gpu.memory_bytes // 16)
        self._source, self._target = gpu.empty((nbytes,), np.uint8), gpu.empty((nbytes,), np.uint8)

    def copy(self) -> None:
        """Queue a copy that keeps the GPU busy while the host queues the timed work."""
        self._gpu.copy(self._source, self._target, self._stream)

    def gpu_ms(self, queue: Callable[[], None]) -> list[float]:
        """Times between CUDA events, without the first three."""
        times = []
        for _ in range(self._rounds + 3):
            self.copy()
            self._start.record(self._stream)
            queue()
            self._end.record(self._stream)
            times.append(self._end.milliseconds_since(self._start))
        return times[3:]

    def call_ms(self, queue: Callable[[], None]) -> list[float]:
        """Host times until the result is ready."""
        times = []
        for _ in range(self._rounds):
            start = time.perf_counter()
            queue()
            self._stream.synchronize()
            times.append(1e3 * (time.perf_counter() - start))
        return times

    def copy_gb_s(self) -> float:
        """Bandwidth of a copy within GPU memory, bytes read plus written."""
        return 2 * self._source.nbytes / percentiles(self.gpu_ms(self.copy))[0] / 1e6


def cpu_ms(work: Callable[[], Any]) -> list[float]:
    """Host times, without the first."""
    times: list[float] = []
    while len(times) < 4 or (sum(times) < 1e3 * CPU_SECONDS and len(times) < 50):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return times[1:]


def measure(timer: Timer, stream: Stream, stage: Stage, frame: str, copy_gb_s: float) -> StageTimes:
    """Check a stage's result, then time it."""
    stage.gpu()
    stream.synchronize()
    difference = stage.difference()
    if not difference <= stage.max_difference:
        sys.exit(
            f"{stage.name} of {frame} differs from the CPU result by {difference:.3g} gray levels, the limit is "
            f"{stage.max_difference:g}: not timed"
        )
    gpu_ms, call_ms = percentiles(timer.gpu_ms(stage.gpu)), percentiles(timer.call_ms(stage.gpu))
    cpu_times = None if stage.cpu is None else percentiles(cpu_ms(stage.cpu))
    gb_s = stage.nbytes / max(gpu_ms[0], 1e-6) / 1e6
    share = gb_s / copy_gb_s if stage.cpu is not None else None
    return StageTimes(frame, stage.name, stage.faces, difference, gpu_ms, call_ms, cpu_times, gb_s, share)


def save(path: Path, rows: list[StageTimes], metadata: dict[str, Any]) -> None:
    """Write the rows measured so far, with the machine."""
    metadata = {"date": date.today().isoformat(), **metadata, "opencv_threads": cv2.getNumThreads()}
    table = {**metadata, "side": SIDE, "scale": SCALE, "rows": [asdict(row) for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def parse_size(text: str) -> tuple[int, int]:
    """Width and height from a text such as "1920x1080", rounded down to even numbers."""
    width, height = (int(side) // 2 * 2 for side in text.split("x"))
    if min(width, height) <= SIDE:
        raise argparse.ArgumentTypeError(f"expected a frame larger than {SIDE} px, got {text}")
    return width, height


def main() -> None:
    """Measure, print a table and save it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--save", type=Path, help="JSON file to write")
    parser.add_argument("--device", type=int, default=0, help="GPU number")
    parser.add_argument("--frame", type=parse_size, nargs="+", default=[(1920, 1080), (3840, 2160)], help="WxH")
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=50, help="repetitions of each stage on the GPU")
    args = parser.parse_args()
    try:
        with Gpu(args.device) as gpu:
            stream = gpu.stream()
            timer, rows = Timer(gpu, stream, args.rounds), []
            copy_gb_s = timer.copy_gb_s()
            machine = {**this_machine().to_dict(), "gpu": gpu.name, "compute_capability": gpu.compute_capability}
            machine |= {"cuda": gpu.driver, "runtime": gpu.runtime, "nvidia_smi": nvidia_smi()}
            print(f"{gpu.name}, CUDA {gpu.driver}, {gpu.runtime}; copy {copy_gb_s:.0f} GB/s; {this_machine()}")
            print(HEADING)
            for size_wh in args.frame:
                frame = "{}x{}".format(*size_wh)
                with FrameOps(gpu, stream) as ops:
                    scene = Scene(gpu, ops, stream, size_wh)
                    for stages in (scene.frame_stages(), *map(scene.face_stages, args.faces)):
                        for stage in stages:
                            rows.append(measure(timer, stream, stage, frame, copy_gb_s))
                            print(rows[-1], flush=True)
                if args.save:
                    save(args.save, rows, {"rounds": args.rounds, "copy_gb_s": copy_gb_s, "machine": machine})
    except FacesrError as error:
        sys.exit(f"gpu_stages: {error}")


if __name__ == "__main__":
    main()

"""What the stages around the networks cost on this machine's GPU, and the same stages on its CPU, in one run.

    python -m facesr_edge.benchmarks.gpu_stages --save FILE.json

Every stage's result is compared with the CPU's before it is timed. "GPU" is the time between two CUDA events, put
behind other work so that the GPU never waits for the host; "call" is the host's time until the result is there, as
whoever waits for it has it. Medians, with the 10th and 90th percentile. "of copy" is the share of the bandwidth that a
plain copy within the GPU's memory has in the same run, by the bytes that a stage has to read and write at least.
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
from facesr_edge.sdk.doctor.gpu import smi_says
from facesr_edge.sdk.doctor.machine import this_machine

from .gpu_scene import SCALE, SIDE, Scene, Stage

CPU_SECONDS = 0.5
"""A stage on the CPU is repeated for so long, three times at least."""


@dataclass(frozen=True)
class Row:
    """What a stage costs, in ms: (median, 10th, 90th percentile)."""

    frame: str
    stage: str
    faces: int
    apart: float
    gpu_ms: tuple[float, float, float]
    call_ms: tuple[float, float, float]
    cpu_ms: tuple[float, float, float] | None
    gb_s: float
    of_copy: float | None

    def __str__(self) -> str:
        cpu = "" if self.cpu_ms is None else f"{self.cpu_ms[0]:9.3f} {self.cpu_ms[0] / self.call_ms[0]:7.1f}"
        share = "" if self.of_copy is None else f"{100 * self.of_copy:6.0f} %"
        spread = f"{self.gpu_ms[0]:8.4f} ({self.gpu_ms[1]:.4f} to {self.gpu_ms[2]:.4f})"
        start = f"{self.frame:10} {self.stage:14} {self.faces or '':>5} {spread:30} {self.call_ms[0]:8.3f} "
        return f"{start}{cpu:17} {self.gb_s:8.1f} {share:8} {self.apart:.2g}"


HEADING = (
    f"{'frame':10} {'stage':14} {'faces':>5} {'GPU ms':30} {'call ms':>8} {'CPU ms':>9} {'CPU:call':>7} {'GB/s':>8} "
    f"{'of copy':>8} grey levels apart"
)


def spread(samples: list[float]) -> tuple[float, float, float]:
    """Median, 10th and 90th percentile."""
    median, low, high = np.percentile(samples, [50, 10, 90])
    return float(median), float(low), float(high)


class Timer:
    """Times what is queued on a stream.

    Args:
        gpu: where.
        stream: whose work.
        rounds: how often each stage is timed.
    """

    def __init__(self, gpu: Gpu, stream: Stream, rounds: int) -> None:
        self._gpu, self._stream, self._rounds = gpu, stream, rounds
        self._before, self._after = gpu.event(), gpu.event()
        nbytes = min(2**30, gpu.memory_bytes // 16)
        self._one, self._other = gpu.empty((nbytes,), np.uint8), gpu.empty((nbytes,), np.uint8)

    def fill(self) -> None:
        """Queue a copy that keeps the GPU busy while the host queues what is timed."""
        self._gpu.copy(self._one, self._other, self._stream)

    def gpu_ms(self, queue: Callable[[], None]) -> list[float]:
        """By CUDA events."""
        times = []
        for _ in range(self._rounds + 3):
            self.fill()
            self._before.record(self._stream)
            queue()
            self._after.record(self._stream)
            times.append(self._after.milliseconds_since(self._before))
        return times[3:]

    def call_ms(self, queue: Callable[[], None]) -> list[float]:
        """By the host's clock."""
        times = []
        for _ in range(self._rounds):
            start = time.perf_counter()
            queue()
            self._stream.synchronize()
            times.append(1e3 * (time.perf_counter() - start))
        return times

    def copy_gb_s(self) -> float:
        """Bandwidth of a copy within the GPU's memory, read and written."""
        return 2 * self._one.nbytes / spread(self.gpu_ms(self.fill))[0] / 1e6


def cpu_ms(work: Callable[[], Any]) -> list[float]:
    """By the host's clock."""
    times: list[float] = []
    while len(times) < 4 or (sum(times) < 1e3 * CPU_SECONDS and len(times) < 50):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return times[1:]


def measured(timer: Timer, stream: Stream, stage: Stage, frame: str, copy_gb_s: float) -> Row:
    """Check a stage and time it."""
    stage.gpu()
    stream.synchronize()
    apart = stage.apart()
    if not apart <= stage.most:
        sys.exit(f"{stage.name} of {frame} is {apart:.3g} grey levels off the CPU's, {stage.most:g} at most: not timed")
    gpu_ms, call_ms = spread(timer.gpu_ms(stage.gpu)), spread(timer.call_ms(stage.gpu))
    on_cpu = None if stage.cpu is None else spread(cpu_ms(stage.cpu))
    gb_s = stage.nbytes / max(gpu_ms[0], 1e-6) / 1e6
    share = gb_s / copy_gb_s if stage.cpu is not None else None
    return Row(frame, stage.name, stage.faces, apart, gpu_ms, call_ms, on_cpu, gb_s, share)


def save(path: Path, rows: list[Row], facts: dict[str, Any]) -> None:
    """Write what was measured so far, with the machine."""
    facts = {"date": date.today().isoformat(), **facts, "opencv_threads": cv2.getNumThreads()}
    table = {**facts, "side": SIDE, "scale": SCALE, "rows": [asdict(row) for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(table, indent=1) + "\n", "utf-8")


def size_of(text: str) -> tuple[int, int]:
    """Width and height from words: 1920x1080."""
    width, height = (int(side) // 2 * 2 for side in text.split("x"))
    if min(width, height) <= SIDE:
        raise argparse.ArgumentTypeError(f"expected more than {SIDE} pixels each way, got {text}")
    return width, height


def main() -> None:
    """Measure, print a table, and write what is in it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--save", type=Path, help="JSON file to write")
    parser.add_argument("--device", type=int, default=0, help="number of the GPU")
    parser.add_argument("--frame", type=size_of, nargs="+", default=[(1920, 1080), (3840, 2160)], help="WIDTHxHEIGHT")
    parser.add_argument("--faces", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=50, help="how often each stage is timed on the GPU")
    given = parser.parse_args()
    try:
        with Gpu(given.device) as gpu:
            stream = gpu.stream()
            timer, rows = Timer(gpu, stream, given.rounds), []
            copy_gb_s = timer.copy_gb_s()
            machine = {**this_machine().to_dict(), "gpu": gpu.name, "compute_capability": gpu.compute_capability}
            machine |= {"cuda": gpu.driver, "runtime": gpu.runtime, "nvidia_smi": smi_says()}
            print(f"{gpu.name}, CUDA {gpu.driver}, {gpu.runtime}; copy {copy_gb_s:.0f} GB/s; {this_machine()}")
            print(HEADING)
            for size_wh in given.frame:
                frame = "{}x{}".format(*size_wh)
                with FrameOps(gpu, stream) as stages:
                    scene = Scene(gpu, stages, stream, size_wh)
                    for part in (scene.of_the_frame(), *map(scene.of_faces, given.faces)):
                        for stage in part:
                            rows.append(measured(timer, stream, stage, frame, copy_gb_s))
                            print(rows[-1], flush=True)
                if given.save:
                    save(given.save, rows, {"rounds": given.rounds, "copy_gb_s": copy_gb_s, "machine": machine})
    except FacesrError as error:
        sys.exit(f"gpu_stages: {error}")


if __name__ == "__main__":
    main()

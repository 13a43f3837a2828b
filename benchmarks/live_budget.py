"""Live runs on simulated cameras: age of the results within a budget, and faces per second against pipelines.

python -m facesr_edge.benchmarks.live_budget --faces FOLDER [--cameras 8] [--seconds 30] [--budget-ms 100]
python -m facesr_edge.benchmarks.live_budget --faces FOLDER --against-pipelines
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from facesr_edge import CameraOptions, Detector, Frame, LiveResult, live, load, load_detector
from facesr_edge.sdk.bench.scenes import Portrait, portraits_of
from facesr_edge.sdk.bench.walkers import View, make_view

RATE = 10.0
MAX_FACES = 6
FRAMES = 60
MAX_PORTRAITS = 60
WARM_UP_S = 3.0
UPSCALED = ("network", "small network", "reused")


@dataclass(frozen=True, eq=False)
class Recording:
    """Frames of a simulated camera, drawn in advance: they run forward and backward."""

    frames: tuple[Frame, ...]

    def frame(self, n: int) -> Frame:
        """The n-th frame of an endless stream."""
        turn = n % (2 * len(self.frames) - 2)
        shown = self.frames[turn if turn < len(self.frames) else 2 * len(self.frames) - 2 - turn]
        return Frame(shown.pixels, n, n / RATE)

    def paced(self, phase: float) -> Iterator[Frame]:
        """Frames at `RATE`, `phase` of an interval later than others."""
        start_s, n = time.monotonic() + phase / RATE, 0
        while True:
            if (wait_s := start_s + n / RATE - time.monotonic()) > 0:
                time.sleep(wait_s)
            yield self.frame(n)
            n += 1

    def first(self, count: int) -> Iterator[Frame]:
        """The first frames, as fast as they are read."""
        return map(self.frame, range(count))


def recordings(portraits: Sequence[Portrait], count: int) -> list[Recording]:
    """Cameras of 640x360 with 1 to 6 faces."""
    views: list[View] = [make_view(portraits, 1 + n % MAX_FACES, seed=n, rate=RATE) for n in range(count)]
    return [Recording(tuple(view.frames(FRAMES))) for view in views]


def measure_ages(cameras: Sequence[Recording], budget_ms: float, seconds: float) -> None:
    """Print ages, treatments and reasons of a live run on paced cameras."""
    sources = {f"camera {n}": camera.paced(n / len(cameras)) for n, camera in enumerate(cameras)}
    results: list[LiveResult] = []
    with live(sources, budget_ms=budget_ms, camera=CameraOptions(policy="newest")) as run:
        first = next(run)
        end_s = first.times.done_s + WARM_UP_S + seconds
        for result in run:
            if result.times.done_s > end_s:
                break
            if result.times.done_s > end_s - seconds:
                results.append(result)
        statuses = [camera.status() for camera in run.cameras]
        costs = run.costs_ms
    ages = [result.times.age_ms for result in results]
    faces = [face for result in results for face in result.faces]
    skipped = [face for result in results for face in result.skipped]
    treatments = Counter(face.treatment for face in faces) + Counter(skipped=len(skipped))
    print(f"{len(cameras)} cameras, budget {budget_ms:g} ms, {seconds:g} s")
    print("  age p50 {:.0f}, p90 {:.0f}, p99 {:.0f}, max {:.0f} ms".format(*np.percentile(ages, (50, 90, 99, 100))))
    for name, values in (
        ("queue", [r.times.queue_ms for r in results]),
        ("compute", [r.times.compute_ms for r in results]),
    ):
        print("  {} p50 {:.0f}, p99 {:.0f} ms".format(name, *np.percentile(values, (50, 99))))
    print(f"  {len(results) / seconds:.1f} results/s of {RATE * len(cameras):g}, {len(faces) / seconds:.0f} faces/s")
    print(
        "  " + ", ".join(f"{name} {count / sum(treatments.values()):.1%}" for name, count in treatments.most_common())
    )
    downgraded = [face for face in faces if "over budget" in face.reason] + skipped
    unexplained = sum(not face.reason for face in faces) + sum(not face.reason for face in skipped)
    print(f"  over budget {len(downgraded)} of {len(faces) + len(skipped)} faces, without a reason {unexplained}")
    detections = Counter(result.detection.kind if result.detection else "followed" for result in results)
    print("  detection: " + ", ".join(f"{name} {count / len(results):.0%}" for name, count in detections.items()))
    dropped = sum(sum(status.dropped.values()) for status in statuses)
    print(f"  dropped {dropped} of {sum(status.received for status in statuses)} frames")
    print("  costs, ms: " + ", ".join(f"{name} {ms:g}" for name, ms in costs.items()))


class Clock:
    """Wall and CPU time since its start, seconds."""

    def start(self) -> None:
        """Start."""
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()

    def times_s(self) -> tuple[float, float]:
        """Wall time and CPU time."""
        return time.perf_counter() - self._wall_s, time.process_time() - self._cpu_s


def run_live(cameras: Sequence[Recording], count: int, clock: Clock) -> int:
    """Faces that one live run upscales in the first frames of all cameras."""
    faces = 0
    with live({f"camera {n}": camera.first(count + 1) for n, camera in enumerate(cameras)}) as run:
        for _ in cameras:
            next(run)
        clock.start()
        for result in run:
            faces += sum(face.treatment in UPSCALED for face in result.faces)
    return faces


def run_pipelines(cameras: Sequence[Recording], count: int, clock: Clock) -> int:
    """The same of independent pipelines, one for each camera, all at once."""
    pipelines = [load(composite=False) for _ in cameras]
    for pipeline in pipelines:
        pipeline.warm_up()
    faces = [0] * len(cameras)

    def work(n: int) -> None:
        faces[n] = sum(len(result.faces) for result in pipelines[n].stream(cameras[n].first(count)))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(cameras))]
    clock.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for pipeline in pipelines:
        pipeline.close()
    return sum(faces)


def compare(cameras: Sequence[Recording], count: int, rounds: int) -> None:
    """Print faces per second of one live run and of independent pipelines on the same frames, interleaved."""
    ratios = []
    for _ in range(rounds):
        rates = {}
        for name, function in (("live", run_live), ("pipelines", run_pipelines)):
            clock = Clock()
            faces = function(cameras, count, clock)
            took_s, cpu_s = clock.times_s()
            rates[name] = faces / took_s
            rate = f"{faces} faces in {took_s:.1f} s, {faces / took_s:.0f} faces/s"
            print(f"  {name}: {rate}, {1e3 * cpu_s / faces:.2f} ms of CPU a face")
        ratios.append(rates["live"] / rates["pipelines"])
    print(
        f"{len(cameras)} cameras, {count} frames each: live / pipelines = "
        + ", ".join(f"{ratio:.2f}" for ratio in ratios)
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--budget-ms", type=float, default=100)
    parser.add_argument("--against-pipelines", action="store_true")
    parser.add_argument("--frames", type=int, default=60, help="of each camera, with --against-pipelines")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    paths = sorted(arguments.faces.iterdir())[:MAX_PORTRAITS]
    images = [np.asarray(image, np.uint8) for path in paths if (image := cv2.imread(str(path))) is not None]
    detector: Detector = load_detector()
    cameras = recordings(portraits_of(images, detector), arguments.cameras)
    detector.close()
    if arguments.against_pipelines:
        compare(cameras, arguments.frames, arguments.rounds)
    else:
        measure_ages(cameras, arguments.budget_ms, arguments.seconds)


if __name__ == "__main__":
    main()

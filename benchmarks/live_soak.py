"""A long live run on simulated cameras: memory stays flat, and nothing is lost.

    python -m facesr_edge.benchmarks.live_soak --faces FOLDER [--frames 100000]

Half of the frames come from cameras that wait, as files do, and have to arrive in a JSON-lines file one by one; the
others from endless cameras, of which the newest counts: received = taken + dropped, and one that waits at most.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import psutil
from facesr_edge import Camera, CameraOptions, Frame, live, load_detector
from facesr_edge.sdk.bench.scenes import portraits_of
from facesr_edge.sdk.bench.walkers import View, make_view
from facesr_edge.sdk.live.sinks.jsonl import JsonlSink
from facesr_edge.sdk.live.sinks.queue import SinkQueue

SIZE_WH = (192, 108)
SETTLED = 0.2
"""Share of the run after which memory is compared with its end."""
MAX_GROWTH = 0.01


def repeated(view: View, count: int | None) -> Iterator[Frame]:
    """Frames of a view, forward and backward; endless without a count."""
    frames, n = [frame.pixels for frame in view.frames(40)], 0
    while count is None or n < count:
        turn = n % 78
        yield Frame(frames[turn if turn < 40 else 78 - turn], n, n / 25)
        n += 1


def paced(frames: Iterator[Frame], rate: float) -> Iterator[Frame]:
    """Frames at a rate."""
    start_s = time.monotonic()
    for n, frame in enumerate(frames):
        time.sleep(max(0.0, start_s + n / rate - time.monotonic()))
        yield frame


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True, help="folder of portraits")
    parser.add_argument("--frames", type=int, default=100_000)
    arguments = parser.parse_args()
    images = [np.asarray(cv2.imread(str(path)), np.uint8) for path in sorted(arguments.faces.iterdir())[:20]]
    with load_detector() as detector:
        portraits = portraits_of(images, detector)
    views = [make_view(portraits, 1, seed=n, size_wh=SIZE_WH, rate=25) for n in range(4)]
    each = arguments.frames // 4
    waiting = {f"file {n}": Camera(repeated(view, each), name=f"file {n}") for n, view in enumerate(views[:2])}
    newest = CameraOptions(policy="newest")
    endless = [Camera(paced(repeated(view, None), 200), newest, name=f"camera {n}") for n, view in enumerate(views[2:])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.jsonl"
        queue = SinkQueue(JsonlSink(path, {}), wait=True)
        first, last = run([*waiting.values(), *endless], queue, arguments.frames)
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        lost = {name: each - count for name, count in in_order(lines, waiting).items()}
    growth = last / first - 1
    print(f"memory {first / 1e6:.1f} MB after {SETTLED:.0%}, {last / 1e6:.1f} MB at the end: {growth:+.2%}")
    print(f"lost: {lost}; sink: {queue.statistics()}")
    if growth > MAX_GROWTH or any(lost.values()):
        raise SystemExit("memory grew by more than 1 %, or results were lost")


def run(cameras: list[Camera], queue: SinkQueue, frames: int) -> tuple[int, int]:
    """Run to the given number of results; returns the resident bytes after `SETTLED` of them and at the end."""
    process, start_s, count, first, last = psutil.Process(), time.monotonic(), 0, 0, 0
    with live(cameras, observers=[queue], threads=1, outscale=1) as results:
        for _ in results:
            count += 1
            if count == int(SETTLED * frames):
                first = process.memory_info().rss
            if count % (frames // 20) == 0:
                last = process.memory_info().rss
                rate = count / (time.monotonic() - start_s)
                threads = threading.active_count()
                print(f"{count} results, {rate:.0f}/s, {last / 1e6:.1f} MB, {threads} threads", flush=True)
            if count >= frames and all(camera.status().state == "ended" for camera in cameras[:2]):
                break
        statuses = [camera.status() for camera in results.cameras]
    for status in statuses:
        waits = status.received - status.taken - sum(status.dropped.values())
        print(
            f"{status.name}: received {status.received}, taken {status.taken}, dropped {status.dropped}, waits {waits}"
        )
        if waits not in (0, 1):
            raise SystemExit("frames were lost without being counted")
    return first, last


def in_order(lines: list[dict[str, object]], cameras: dict[str, Camera]) -> dict[str, int]:
    """Number of lines of each camera, if they have all indexes in order."""
    counts = dict.fromkeys(cameras, 0)
    for line in lines:
        name = str(line.get("camera"))
        if line.get("type") == "frame" and name in counts:
            if line["index"] != counts[name]:
                raise SystemExit(f"{name}: expected frame {counts[name]}, got {line['index']}")
            counts[name] += 1
    return counts


if __name__ == "__main__":
    main()

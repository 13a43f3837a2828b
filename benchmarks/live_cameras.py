"""Faults of cameras, with real servers: what `Camera` makes of each, as a table.

    python -m facesr_edge.benchmarks.live_cameras --restarts 20 --reconnects 200 --exits 20

An RTSP server (GStreamer's) sends pictures that carry a counter and the time. It is killed and started again, stopped,
made to repeat a picture, to change the resolution and to lose frames. An MJPEG server disconnects its client again and
again. Processes end while their camera is frozen. Needs gst-rtsp-server, as the tests do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import psutil
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.live.camera import Camera, CameraOptions
from facesr_edge.sdk.media.live.reconnect import Reconnect
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support import servers  # type: ignore[import-not-found]
from support.media import encoded  # type: ignore[import-not-found]

Row = tuple[str, str]
LIMIT_S = 30.0
OPTIONS = CameraOptions(timeout_s=3.0)
SLOW = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=5"
EXIT = """
import sys
from facesr_edge.sdk.live.camera import Camera
camera = Camera(sys.argv[1])
while camera.take() is None:
    pass
print("ready", flush=True)
sys.stdin.readline()
assert camera.status().state == "frozen"
"""


class Consumer:
    """Takes the frames of a camera in a thread, at most 250 times per second."""

    def __init__(self, url: str, options: CameraOptions = OPTIONS) -> None:
        self.camera, self.frames = Camera(url, options), list[Frame]()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait(self, happened: Callable[[], object]) -> float:
        """Time until something happened, in seconds."""
        start_s = time.monotonic()
        while not happened():
            if time.monotonic() - start_s > LIMIT_S:
                raise TimeoutError(str(self.camera.status()))
            time.sleep(0.005)
        return time.monotonic() - start_s

    def wait_for(self, state: str) -> float:
        """Time until the camera is in a state, in seconds."""
        return self.wait(lambda: self.camera.status().state == state)

    def __enter__(self) -> Consumer:
        self.wait(lambda: self.frames)
        return self

    def __exit__(self, *exception: object) -> None:
        self._ends.set()
        self._thread.join()
        self.camera.close()

    def _run(self) -> None:
        while not self._ends.wait(0.004):
            if frame := self.camera.take():
                self.frames.append(frame)


def balance(consumer: Consumer) -> str:
    """Counts of a closed camera, and whether counters, indexes and times only rise."""
    status = consumer.camera.status()
    dropped = sum(status.dropped.values())
    orders = [
        [servers.picture_numbers(frame.pixels)[0] for frame in consumer.frames],
        [frame.index for frame in consumer.frames],
        [frame.time_s for frame in consumer.frames],
    ]
    rise = all(later > earlier for order in orders for earlier, later in pairwise(order))
    exact = status.received == status.taken + dropped and status.taken == len(consumer.frames)
    counts = f"{status.received} received = {status.taken} taken + {dropped} dropped"
    return f"{counts}: {'exact' if exact else 'WRONG'}; order {'kept' if rise else 'BROKEN'}"


def restarts(count: int) -> Iterator[Row]:
    """Kill the server, and start it again."""
    server, back_s = servers.RtspServer(servers.numbered()), []
    with Consumer(server.url) as consumer:
        for index in range(count):
            server.kill()
            consumer.wait_for("offline")
            time.sleep(0.3 * (index % 5))
            server.start()
            back_s.append(consumer.wait_for("live"))
            time.sleep(0.3)
    server.kill()
    yield f"killed and started again {count} times", f"{consumer.camera.status().reconnects} reconnections"
    yield "live after the server's return", f"median {statistics.median(back_s):.2f} s, maximum {max(back_s):.2f} s"
    yield "frames over all restarts", balance(consumer)


def stopped() -> Iterator[Row]:
    """SIGSTOP: the connection is open, and nothing comes."""
    server = servers.RtspServer(servers.numbered())
    with Consumer(server.url) as consumer:
        server.freeze()
        yield f"stopped: frozen (stall_s {OPTIONS.stall_s:g})", f"after {consumer.wait_for('frozen'):.2f} s"
        yield f"… offline (timeout_s {OPTIONS.timeout_s:g})", f"{consumer.wait_for('offline'):.2f} s later"
        time.sleep(4)
        server.thaw()
        yield "… continued: live", f"after {consumer.wait_for('live'):.2f} s"
    server.kill()


def still() -> Iterator[Row]:
    """The same picture, encoded again and again."""
    server = servers.RtspServer(servers.numbered())
    with Consumer(server.url) as consumer:
        server.command("still")
        yield f"same picture: frozen (frozen_s {OPTIONS.frozen_s:g})", f"after {consumer.wait_for('frozen'):.2f} s"
        server.command("moving")
        yield "… moving: live", f"after {consumer.wait_for('live'):.2f} s"
    server.kill()


def resolution() -> Iterator[Row]:
    """Another size while frames come."""
    server = servers.RtspServer(servers.numbered())
    with Consumer(server.url) as consumer:
        server.command("size 640 480")
        after_s = consumer.wait(lambda: consumer.frames[-1].pixels.shape[:2] == (480, 640))
        yield "320x240 to 640x480", f"frames follow after {after_s:.2f} s; size_wh {consumer.camera.status().size_wh}"
    server.kill()


def losses() -> Iterator[Row]:
    """Frames that never arrive, and parts of frames."""
    lossy = servers.numbered(pay="rtph264pay mtu=300 config-interval=1 ! identity drop-probability=0.005")
    for name, pipeline in (("whole frames lost", servers.numbered()), ("0.5 % of packets lost", lossy)):
        server = servers.RtspServer(pipeline)
        with Consumer(server.url, CameraOptions(deliver_damaged=True)) as consumer:
            for _ in range(5):
                if pipeline is not lossy:
                    server.command("lose 2")
                time.sleep(2)
        server.kill()
        wrong = [frame.damaged for frame in consumer.frames if servers.picture_error(frame.pixels) > 4]
        yield name, f"{len(consumer.frames)} frames, {len(wrong)} wrong, {wrong.count(False)} of them unflagged"


def _has_reconnected(consumer: Consumer, times: int) -> bool:
    consumer.frames.clear()
    return consumer.camera.status().reconnects >= times


def reconnections(count: int) -> Iterator[Row]:
    """Threads, descriptors and memory over disconnections."""
    process = psutil.Process()
    server = servers.TcpServer(servers.multipart(encoded(".jpg"), 3), servers.MJPEG_HEAD)
    options = CameraOptions(reconnect=Reconnect(0.01, 0.02))
    usage = []
    with Consumer(f"http://127.0.0.1:{server.port}/", options) as consumer:
        for index in range(count + 20):
            consumer.wait(partial(_has_reconnected, consumer, index))
            if index in (20, count + 19):
                time.sleep(0.3)
                usage.append((process.num_threads(), process.num_fds(), process.memory_info().rss / 2**20))
            server.drop_clients()
    server.stop()
    (threads, files, memory), (threads_end, files_end, memory_end) = usage
    used = f"threads {threads} → {threads_end}, descriptors {files} → {files_end}"
    yield f"{count} reconnections, after the first 20", f"{used}, RSS {memory:.0f} → {memory_end:.0f} MB"


def exits(count: int) -> Iterator[Row]:
    """Processes that end while their camera is frozen."""
    server = servers.RtspServer(servers.numbered())
    codes = []
    for _ in range(count):
        process = subprocess.Popen(
            [sys.executable, "-c", EXIT, server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout
        process.stdout.readline()
        server.freeze()
        time.sleep(2.3)
        process.communicate("\n", timeout=LIMIT_S)
        codes.append(process.returncode)
        server.thaw()
    server.kill()
    yield f"process ends while the camera is frozen, {count} times", f"{codes.count(0)} with exit code 0"


def openings() -> Iterator[Row]:
    """A camera with 5 frames/s, and one that dies."""
    server = servers.RtspServer(servers.numbered(encoder=SLOW), fps=5)
    times_s = []
    for _ in range(5):
        start_s = time.monotonic()
        open_source(server.url).close()
        times_s.append(time.monotonic() - start_s)
    server.kill()
    yield "5 frames/s: open_source", f"median {statistics.median(times_s):.2f} s, maximum {max(times_s):.2f} s"
    server = servers.RtspServer(servers.numbered())
    with open_source(server.url, timeout_s=3) as source:
        frames = iter(source)
        next(frames)
        server.freeze()
        start_s = time.monotonic()
        try:
            while True:
                next(frames)
        except InputError as error:
            yield (
                "open_source, stopped, timeout_s 3",
                f"{type(error).__name__} after {time.monotonic() - start_s:.2f} s",
            )
    server.kill()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--restarts", type=int, default=20)
    parser.add_argument("--reconnects", type=int, default=200)
    parser.add_argument("--exits", type=int, default=20)
    options = parser.parse_args()
    if reason := servers.why_no_rtsp():
        sys.exit(f"no RTSP server: {reason}")
    print(f"| fault ({os.cpu_count()} cores) | measured |\n|---|---|")
    groups = [
        *(restarts(options.restarts), stopped(), still(), resolution(), losses()),
        *(reconnections(options.reconnects), exits(options.exits), openings()),
    ]
    for rows in groups:
        for fault, measured in rows:
            print(f"| {fault} | {measured} |", flush=True)


if __name__ == "__main__":
    main()

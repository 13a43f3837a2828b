"""The face service under load: errors, wrong answers, latency and memory with many clients at once.

    python -m facesr_edge.benchmarks.face_service --pictures FOLDER [--clients 50] [--seconds 60] [-- serve options]
    python -m facesr_edge.benchmarks.face_service --pictures FOLDER --compare

Starts `facesr-edge serve` in a process of its own. Each client sends one picture after another, without a pause, over
one connection; every answer for a picture has to be the same. With --compare: pictures/s without HTTP of one pipeline
on all cores, of the same with the faces of four pictures in one call, and of one pipeline of one thread for each core,
in turns.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
from facesr_edge import Pipeline, load
from facesr_edge.engines.cpu import usable_cores
from facesr_edge.sdk.media.images.image_file import read_image
from facesr_edge.sdk.pipeline.crop import crops_of, windows_for

SETTLED = 0.2
"""Share of the run after which memory is compared with its end."""
TOGETHER = 4
"""Pictures whose faces run in one call."""
ROUNDS = 5


@dataclass
class Load:
    """What clients saw.

    Args:
        statuses: of the responses.
        broken: connections that broke, by error.
        latencies_s: of the responses with faces.
        wrong: answers that differ from the first one for the same picture.
        duration_s: until the last answer.
        memory: seconds since the start, and resident bytes of the server.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    wrong: int = 0
    duration_s: float = 0.0
    memory: list[tuple[float, int]] = field(default_factory=list)

    def growth(self) -> float:
        """Growth of the peak memory from the first part of the run to the rest, as a share."""
        settled_s = SETTLED * self.memory[-1][0]
        before = max(size for at_s, size in self.memory if at_s <= settled_s)
        return max(size for at_s, size in self.memory if at_s > settled_s) / before - 1


def run_clients(url: str, bodies: Sequence[bytes], clients: int, seconds: float, process: int, query: str = "") -> Load:
    """Send pictures until the time is over, at least one by each client, which waits for its last answer.

    Args:
        url: of the service.
        bodies: files of pictures.
        clients: number of connections.
        seconds: duration.
        process: id of the server's process.
        query: options.
    """
    done, lock, first = Load(), threading.Lock(), dict[int, str]()
    start_s = time.perf_counter()
    address = urlsplit(url)

    def client(number: int) -> None:
        connection = HTTPConnection(str(address.hostname), address.port, timeout=120)
        picture, begun = number, False
        while not begun or time.perf_counter() - start_s < seconds:
            picture, begun = (picture + 1) % len(bodies), True
            sent_s, status, key = time.perf_counter(), 0, ""
            try:
                connection.request("POST", f"/faces{query}", bodies[picture])
                response = connection.getresponse()
                content = response.read()
                status = response.status
                key = _key(content) if status == 200 else ""
            except (OSError, HTTPException) as error:
                connection.close()
                with lock:
                    done.broken[repr(error)] += 1
                continue
            latency_s = time.perf_counter() - sent_s
            with lock:
                done.statuses[status] += 1
                if status == 200:
                    done.latencies_s.append(latency_s)
                    done.wrong += first.setdefault(picture, key) != key
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    server = psutil.Process(process)
    while any(thread.is_alive() for thread in threads):
        done.memory.append((time.perf_counter() - start_s, server.memory_info().rss))
        time.sleep(min(0.25, seconds / 20))
    done.duration_s = time.perf_counter() - start_s
    return done


def _key(content: bytes) -> str:
    """Of an answer, what does not change from one time to the next."""
    return hashlib.sha256(json.dumps(json.loads(content)["faces"]).encode()).hexdigest()


@contextmanager
def service(options: Sequence[str]) -> Iterator[tuple[str, int]]:
    """A running `facesr-edge serve`: its URL and process id."""
    command = [sys.executable, "-m", "facesr_edge", "serve", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            print(process.stdout.readline().strip())
            yield process.stdout.readline().strip().removesuffix("/faces"), process.pid
        finally:
            process.terminate()


def report(done: Load, clients: int) -> bool:
    """Print what clients saw; returns whether there was no error, no wrong answer and no growth beyond 5 %."""
    failed = sum(count for status, count in done.statuses.items() if status != 200) + done.broken.total()
    p50, p99 = np.percentile(done.latencies_s, (50, 99))
    growth = done.growth()
    answers = len(done.latencies_s)
    print(f"{clients} clients, {done.duration_s:.0f} s: {answers} answers, {answers / done.duration_s:.1f}/s")
    print(f"errors {failed} {dict(done.statuses)} {dict(done.broken)}, wrong answers {done.wrong}")
    print(f"latency p50 {p50:.2f} s, p99 {p99:.2f} s, max {max(done.latencies_s):.2f} s")
    print(f"memory peak {max(size for _, size in done.memory) / 2**20:.0f} MiB, growth {100 * growth:+.1f} %")
    return failed == 0 and done.wrong == 0 and growth <= 0.05


def compare(paths: Sequence[Path]) -> None:
    """Print pictures/s of one pipeline on all cores, with calls of several pictures, and of one pipeline per core."""
    images = [read_image(path) for path in paths]
    cores = usable_cores()
    shared = load(composite=False)
    own = [load(composite=False, threads=1) for _ in range(cores)]
    for pipeline in (shared, *own):
        pipeline.warm_up()
    ways: dict[str, Callable[[], object]] = {
        "one pipeline on all cores": lambda: [shared(image) for image in images],
        f"the same, {TOGETHER} pictures a call": lambda: _together(shared, images),
        f"{cores} pipelines of one thread": lambda: _in_threads(own, images),
    }
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, run in ways.items():
            start_s, start_cpu_s = time.perf_counter(), time.process_time()
            run()
            cpu_ms = 1e3 * (time.process_time() - start_cpu_s) / len(images)
            rates[name].append((len(images) / (time.perf_counter() - start_s), cpu_ms))
    for name, values in rates.items():
        rate, cpu_ms = np.median(values, axis=0)
        print(f"{name:36} median {rate:5.1f} pictures/s, {cpu_ms:5.1f} ms of CPU time a picture")


def _together(pipeline: Pipeline, images: Sequence[np.ndarray]) -> None:
    """Detect in each picture, and upscale the faces of several in one call."""
    session = pipeline.session
    for at in range(0, len(images), TOGETHER):
        by_side: dict[int, list[np.ndarray]] = {}
        for image in images[at : at + TOGETHER]:
            windows, _ = windows_for(pipeline.detector(image), image.shape, session.io_spec.crop_sizes)
            for crops in crops_of(image, windows):
                by_side.setdefault(crops.pixels.shape[1], []).append(crops.pixels)
        if by_side:
            session.infer_batches([np.concatenate(batches) for batches in by_side.values()])


def _in_threads(pipelines: Sequence[Pipeline], images: Sequence[np.ndarray]) -> None:
    shares = [images[n :: len(pipelines)] for n in range(len(pipelines))]
    with ThreadPoolExecutor(len(pipelines)) as executor:
        list(executor.map(lambda pair: [pair[0](image) for image in pair[1]], zip(pipelines, shares, strict=True)))


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--count", type=int, default=24, help="of these pictures")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--query", default="", help="options of the requests, e.g. ?format=jpeg")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("serve", nargs="*", help="options of facesr-edge serve, after --")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.pictures.iterdir() if path.is_file())[: arguments.count]
    if arguments.compare:
        compare(paths)
        return 0
    with service(arguments.serve) as (url, process):
        bodies = [path.read_bytes() for path in paths]
        done = run_clients(url, bodies, arguments.clients, arguments.seconds, process, arguments.query)
    return 0 if report(done, arguments.clients) else 1


if __name__ == "__main__":
    sys.exit(main())

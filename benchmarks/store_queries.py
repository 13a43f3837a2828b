"""Time of the questions to a store of a million faces, and of storing and deleting in it.

    python -m facesr_edge.benchmarks.store_queries --faces 1000000

The rows are made up: 16 cameras, 90 days, sides of 12 to 200 px, of which large ones are rare. They have no pictures,
as a question does not read them; each question is asked `--repeat` times with other values.
"""

from __future__ import annotations

import argparse
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from sqlalchemy import insert, text

from ..sdk.store.address import parse_address
from ..sdk.store.database import Database
from ..sdk.store.open import open_store
from ..sdk.store.schema import cameras, faces, files, runs, tracks
from ..sdk.store.store import Store
from .store_kills import make_shot

CAMERAS, DAYS = 16, 90
PART = 20_000
END_S = 1_795_000_000.0
"""Unix time of the newest face."""
VERDICTS = ["ok"] * 5 + ["too small"] * 3 + ["too blurred"] * 2 + ["profile", "too dark"]
SIDES = [*range(12, 100)] * 40 + [*range(100, 200)]


def fill(database: Database, count: int) -> None:
    """Insert rows as `Store` would."""
    rng = random.Random(0)
    with database.write() as connection:
        connection.execute(
            insert(runs), [{"id": 1, "token": "0", "state": "ended", "started_s": 0.0, "ended_s": 1.0, "about": "{}"}]
        )
        connection.execute(insert(cameras), [{"id": one, "name": f"camera {one}"} for one in range(1, CAMERAS + 1)])
    for start in range(1, count + 1, PART):
        numbers = range(start, min(start + PART, count + 1))
        with database.write() as connection:
            connection.execute(insert(tracks), [_track(number) for number in numbers])
            connection.execute(insert(faces), [_face(number, count, rng) for number in numbers])
            connection.execute(insert(files), [row for number in numbers for row in _files(number)])
        print(f"{numbers[-1]} of {count} faces", end="\r", file=sys.stderr, flush=True)
    if not database.is_sqlite:  # the rows brought ids of their own
        with database.write() as connection:
            for table in (runs, cameras, tracks, faces):
                last = (
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), (SELECT max(id) FROM {table.name}))"
                )
                connection.execute(text(last))
        database.erase()  # with statistics, as its own service would gather them within a minute


def _track(number: int) -> dict[str, Any]:
    camera_id = 1 + number % CAMERAS
    values = {"number": number, "first_s": 1.0, "last_s": 2.0, "frames": 5, "ended": True}
    return {"id": number, "run_id": 1, "camera_id": camera_id, **values}


def _face(number: int, count: int, rng: random.Random) -> dict[str, Any]:
    time_s = END_S - DAYS * 86_400 * (1 - number / count)
    side = float(rng.choice(SIDES))
    box = {"x0": 10.0, "y0": 20.0, "x1": 10 + side, "y1": 20 + side}
    window = {"window_x0": 0, "window_y0": 0, "window_x1": 64, "window_y1": 64}
    quality = {"verdict": rng.choice(VERDICTS), "side_px": side, "sharpness": 0.6, "brightness": 90.0, "yaw_deg": 3.0}
    return {
        **{"id": number, "run_id": 1, "camera_id": 1 + number % CAMERAS, "track_id": number, "frame_index": number},
        **{"time_s": time_s, "clock": "host", "stored_s": time_s, **box, **window, "score": 0.9, "scale": 4},
        **{"landmarks": "[[1, 2], [1, 2], [1, 2], [1, 2], [1, 2]]", "consistency_db": 48.0, "treatment": "network"},
        **{"reason": "new track", **quality, "quality": 0.5},
    }


def _files(number: int) -> Iterator[dict[str, Any]]:
    for kind in ("original", "enlarged"):
        path = f"camera_1/2026-11-29/20261129T120000.000Z-r0-{number:06d}-{kind}.png"
        yield {"face_id": number, "kind": kind, "path": path, "sha256": "0" * 64, "bytes": 20_000}


def questions(rng: random.Random) -> dict[str, Callable[[Store], Any]]:
    """Name → a question with values of its own."""
    camera, since_s = f"camera {rng.randint(1, CAMERAS)}", END_S - 86_400 * rng.uniform(1, DAYS - 1)
    side = rng.randint(20, 60)
    return {
        "newest 100": lambda store: store.faces(),
        "of a camera": lambda store: store.faces(camera=camera),
        "of an hour": lambda store: store.faces(since=since_s, until=since_s + 3600),
        "of a camera and a day": lambda store: store.faces(camera=camera, since=since_s, until=since_s + 86_400),
        "verdict ok": lambda store: store.faces(verdict="ok", until=since_s),
        "of at least 20 to 60 px": lambda store: store.faces(min_side=side),
        "of at least 190 px": lambda store: store.faces(min_side=190),
        "of at least 198 px, ok, of a camera": lambda store: store.faces(camera=camera, verdict="ok", min_side=198),
        "of at least 150 px, ok, of a camera and a week": lambda store: store.faces(
            camera=camera, verdict="ok", min_side=150, since=since_s, until=since_s + 7 * 86_400
        ),
        "of at least 500 px: none": lambda store: store.faces(min_side=500),
        "too dark, of a camera": lambda store: store.faces(camera=camera, verdict="too dark"),
        "one face": lambda store: store.face(rng.randint(1, 1000)),
    }


def measure(store: Store, repeat: int) -> dict[str, list[tuple[float, float]]]:
    """Name of a question → milliseconds of each repetition, and those of the processor."""
    times: dict[str, list[tuple[float, float]]] = {}
    for seed in range(repeat):
        for name, ask in questions(random.Random(seed)).items():
            start, cpu = time.perf_counter(), time.thread_time()
            ask(store)
            wall_ms, cpu_ms = 1e3 * (time.perf_counter() - start), 1e3 * (time.thread_time() - cpu)
            times.setdefault(name, []).append((wall_ms, cpu_ms))
    return times


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 1 if the median of a question takes 50 ms or more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=1_000_000, metavar="N")
    parser.add_argument("--repeat", type=int, default=15, metavar="N")
    parser.add_argument("--store", metavar="STORE", help="empty store, e.g. postgresql://…, or one that was filled")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        address = options.store or f"{temporary}/faces"
        with open_store(address) as store:
            count = store.count()
        if count < options.faces:
            database = Database(parse_address(address))
            start = time.perf_counter()
            fill(database, options.faces)
            print(f"filled in {time.perf_counter() - start:.0f} s", file=sys.stderr)
            database.close()
        start = time.perf_counter()
        with open_store(address) as store:
            print(f"{platform.machine()}, Python {platform.python_version()}, {store.name}, {store.count():,} faces")
            print(f"opened in {1e3 * (time.perf_counter() - start):.0f} ms")
            times = measure(store, options.repeat)
            print("| question | p50 ms | max ms | p50 of the processor ms |\n|---|---|---|---|")
            for name, values in times.items():
                walls, cpus = zip(*values, strict=True)
                print(f"| {name} | {median(walls):.1f} | {max(walls):.1f} | {median(cpus):.1f} |")
            start = time.perf_counter()
            for number in range(20):
                store.add_shot(make_shot(number))
            print(f"storing a face: {1e3 * (time.perf_counter() - start) / 20:.1f} ms")
            start = time.perf_counter()
            print(f"{store.statistics()}: {1e3 * (time.perf_counter() - start):.0f} ms")
        if not options.store:
            print(f"{sum(path.stat().st_size for path in Path(temporary).rglob('store.db*')) / 1e6:.0f} MB of database")
    return int(any(median(wall for wall, _ in values) >= 50 for values in times.values()))


if __name__ == "__main__":
    sys.exit(main())

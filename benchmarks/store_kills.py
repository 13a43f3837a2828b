"""Kill writers of a store at random moments and inside of steps, and examine the store after each kill.

    python -m facesr_edge.benchmarks.store_kills --kills 100

A process of its own stores faces and deletes the oldest ones, in a loop, until it is killed (SIGKILL): at a random
moment, or in one of `POINTS`. Examined are, before the store is opened again: every row has both pictures, complete.
After it was opened: every picture has a row, every hash is right, the log of deletions is finished, nothing temporary
is left, and what was stored before the kill is there or in the log of deletions. The store lives on over all kills.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select

from ..sdk.live.results import LiveFace
from ..sdk.live.tracks.best_shot import BestShot
from ..sdk.live.tracks.usability import Usability
from ..sdk.store import deletion, pictures, run_writer
from ..sdk.store.address import parse_address
from ..sdk.store.database import Database
from ..sdk.store.new_faces import face_of_shot
from ..sdk.store.open import open_store
from ..sdk.store.pictures import sha256_of
from ..sdk.store.schema import files

TIMEOUT_S = 60.0
MAX_FACES = 12
"""Faces that the writer leaves in the store."""
POINTS: dict[str, tuple[Any, str, bool]] = {
    "before a picture is written": (pictures, "write_atomic", False),
    "after a picture is written": (pictures, "write_atomic", True),
    "before the rows": (run_writer.RunWriter, "_insert", False),
    "before the commit": (run_writer.RunWriter, "_insert", True),
    "after the commit": (deletion.RemovedRows, "finish", False),
    "rows deleted, not committed": (deletion, "_delete", True),
    "before a picture is removed": (pictures.PictureFolder, "remove", False),
    "after pictures are removed": (pictures.PictureFolder, "remove", True),
    "deletion noted, not committed": (deletion, "_note_done", True),
}
"""Name of a moment → object, name of its function, and whether the process dies after the call."""


@dataclass(frozen=True)
class Kill:
    """When a writer dies.

    Args:
        point: key of `POINTS`; "" for a moment.
        count: at the n-th time, from 1.
        after_s: of a moment, from the first stored face, in seconds.
    """

    point: str = ""
    count: int = 1
    after_s: float = 0.0


def make_shot(number: int, camera: str = "door", side: int = 8) -> BestShot:
    """A best shot whose pixels are noise."""
    rng = np.random.default_rng(number)
    face = LiveFace(
        np.array([10, 20, 42, 60], np.float32),
        0.9,
        np.full((5, 2), 30, np.float32),
        (0, 0, side, side),
        rng.integers(0, 256, (side, side, 3), np.uint8),
        rng.integers(0, 256, (4 * side, 4 * side, 3), np.uint8),
        50.0,
        number,
        "network",
        "new track",
        True,
        Usability("ok", 40.0, 0.7, 90.0, 3.0, 0.5),
    )
    return BestShot(camera, face, number, number / 10, None, number / 10, number / 10 + 1, 5, True)


def write_and_kill(address: str, folder: Path, kill: Kill) -> int:
    """Run a writer until it dies.

    Args:
        address: of the store.
        folder: for the file of what is stored, one byte a face.
        kill: when.

    Returns:
        Faces whose storing was acknowledged before the kill.
    """
    log = folder / "stored"
    log.write_bytes(b"")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "facesr_edge.sdk.store.store"])
    process = context.Process(target=_write, args=(address, str(log), kill))
    process.start()
    if not kill.point:
        end_s = time.monotonic() + TIMEOUT_S
        while log.stat().st_size == 0 and time.monotonic() < end_s and process.is_alive():
            time.sleep(0.002)
        process.join(kill.after_s)
        process.kill()
    process.join(TIMEOUT_S)
    if process.exitcode != -signal.SIGKILL:
        process.kill()
        process.join()
        raise RuntimeError(f"the writer ended with {process.exitcode} instead of being killed")
    return log.stat().st_size


def _write(address: str, log: str, kill: Kill) -> None:
    if kill.point:
        _arm(*POINTS[kill.point], kill.count)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    with open_store(address) as store:
        run, first = store.new_run(), time.time_ns() % 1_000_000
        for number in range(first, first + 100_000):
            faces = [
                face_of_shot(make_shot(number, f"camera {number % 3}"), time.time(), "host", run.number())
                for _ in range(1 + number % 3)
            ]
            run.write(faces)
            os.write(descriptor, b"." * len(faces))
            if number % 4 == 0:
                size = store.statistics().bytes
                store.prune(max_gb=max(1.0, MAX_FACES * size / max(1, store.count())) / 1e9)


def _arm(owner: Any, name: str, after: bool, count: int) -> None:
    """Replace a function by one that kills the process at its n-th call."""
    function, calls = getattr(owner, name), Counter[str]()

    def deadly(*arguments: Any, **options: Any) -> Any:
        calls[name] += 1
        if calls[name] == count and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = function(*arguments, **options)
        if calls[name] == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


def problems_before_opening(address: str) -> list[str]:
    """Rows whose picture is missing or not complete, as the kill left them."""
    parsed = parse_address(address)
    if parsed.database is not None and not parsed.database.exists():
        return []
    database = Database(parsed)
    try:
        with database.read() as connection:
            rows = connection.execute(select(files)).all()
    finally:
        database.close()
    paths = [(parsed.pictures / row.path, row.sha256) for row in rows]
    return [
        f"{path} of a row is missing or differs" for path, sha in paths if not path.exists() or sha256_of(path) != sha
    ]


def problems_after_opening(address: str, stored: int) -> list[str]:
    """What is wrong with the store once it is opened again.

    Args:
        address: of the store.
        stored: faces that were acknowledged, of all writers so far.
    """
    with open_store(address) as store:
        found, log = store.check(hashes=True), store.deletions(1_000_000)
        known = store.count() + sum(deletion.faces for deletion in log)
        names = [path for path in store.pictures.rglob("*") if path.is_file() and path.name != ".store"]
    problems = [] if found.faultless else [f"check: {found.to_dict()}"]
    problems += [f"a deletion is not finished: {deletion}" for deletion in log if not deletion.done]
    if len(names) != 2 * found.faces:
        problems.append(f"{len(names)} files for {found.faces} faces: {sorted(map(str, names))}")
    if known < stored:
        problems.append(f"{stored} faces were stored, {known} are there or in the log of deletions")
    return problems


def random_kill(rng: random.Random) -> Kill:
    """A kill at a moment, or in one of `POINTS`."""
    point = rng.choice(["", *POINTS])
    return Kill(point, rng.randint(1, 6), rng.uniform(0, 0.6))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; the exit code is 1 if there was a problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument(
        "--store", metavar="STORE", help="empty store, e.g. postgresql://…  [SQLite in a temporary folder]"
    )
    options = parser.parse_args(arguments)
    rng, stored, problems, points = random.Random(options.seed), 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory() as temporary:
        address = options.store or f"{temporary}/faces"
        for number in range(options.kills):
            kill = random_kill(rng)
            stored += write_and_kill(address, Path(temporary), kill)
            found = [*problems_before_opening(address), *problems_after_opening(address, stored)]
            points[kill.point or "a random moment"] += 1
            problems += len(found)
            print(f"{number + 1} of {options.kills} kills, {problems} problems", end="\r", file=sys.stderr, flush=True)
            for problem in found:
                print(f"after {kill}: {problem}", flush=True)
    for point, count in sorted(points.items()):
        print(f"{count:5} {point}")
    print(f"{options.kills} kills, {stored} faces stored, {problems} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

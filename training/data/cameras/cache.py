"""Cache of training pairs on disk: recorded once in parallel, read by every training with the same data."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ....calibration.data.faces import image_paths, read_faces
from ....engines.errors import OutputError, TrainingError
from ....engines.files import atomic_file, remove_temporaries
from ....engines.json_input import read_json
from .background import Backgrounds
from .pairs import MIN_FACE, draw_pairs
from .shards import ShardFile, damaged, open_shard

Images = NDArray[np.uint8]
VERSION = 5
"""Of the chains: a cache of another version holds other pairs."""
SEQUENCES_PER_SHARD = 8
LARGE_SIDE = 200
"""Shorter side from which on a picture is a large face, in pixels."""
DESCRIPTION = "pairs.json"
KINDS = ("lr", "hr")
"""Arrays of a shard: crops and their truth."""
TEACHER_BATCH = 16
"""Crops per call of a teacher."""
NOT_IN_NAMES = re.compile(r"[^\w.-]")
"""Characters of a teacher's name that file names do not get."""
MAX_WRITE_S = 3600
"""Age in seconds from which on a temporary file was left by a killed process; writing one takes seconds."""
Upscale = Callable[[Images], Images]


@dataclass(frozen=True)
class PairSource:
    """What pairs are recorded from; equal sources give equal pairs.

    Args:
        faces: folders of square faces.
        scenes: folder of backgrounds; None for synthetic ones.
        scale: of the networks.
        side: of the low-resolution crops in pixels.
        seed: shard *i* depends on the seed and on *i* alone.
    """

    faces: tuple[Path, ...]
    scenes: Path | None
    scale: int
    side: int
    seed: int

    def description(self) -> dict[str, object]:
        """For the cache folder: names and sizes of the pictures, not their places or contents."""
        paths = [path for folder in self.faces for path in image_paths(folder)]
        paths += Backgrounds(self.scenes).paths
        files = sorted((path.name, path.stat().st_size) for path in paths)
        digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
        values = {key: value for key, value in asdict(self).items() if key not in ("faces", "scenes")}
        return {"version": VERSION, "pictures": digest, "scenes": self.scenes is not None, **values}


class PairCache:
    """Shards of pairs in a folder.

    Args:
        folder: of the cache; created if missing.
        source: of the pairs.
        shards: number of shards.

    Raises:
        InputError: a folder of the source has no picture.
        TrainingError: the folder holds pairs of another source.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, source: PairSource, shards: int) -> None:
        self.folder, self.source, self.shards = folder, source, shards
        self.kinds: tuple[str, ...] = KINDS
        self._opened: dict[int, tuple[ShardFile, ...]] = {}
        file, description = folder / DESCRIPTION, source.description()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not file.exists():
                with atomic_file(file) as stream:
                    stream.write(json.dumps(description).encode())
        except OSError as error:
            raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder") from None
        if _read_description(file) != description:
            raise TrainingError(f"{folder} holds pairs of other pictures or settings; give another folder or delete it")

    def fill(self, processes: int, report: Callable[[int], None] = lambda done: None) -> None:
        """Record the missing shards in parallel.

        An interruption or an error ends it after the shards in progress; those that are recorded are kept.

        Args:
            processes: at most.
            report: called with the number of existing shards.

        Raises:
            InputError: a picture cannot be read or is too small.
            OutputError: a shard cannot be written.
            TrainingError: a process ended unexpectedly.
        """
        missing = [i for i in range(self.shards) if not all(self._file(i, kind).exists() for kind in KINDS)]
        done = self.shards - len(missing)
        report(done)
        if not missing:
            return
        self._remove_temporaries(KINDS)
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(min(processes, len(missing)), context, _start_worker)
        try:
            for future in as_completed([pool.submit(_record_shard, self.folder, self.source, i) for i in missing]):
                future.result()
                done += 1
                report(done)
        except BrokenProcessPool:
            raise TrainingError(
                "a recording process ended unexpectedly; if memory is short, give fewer --workers, and if a script "
                'calls train_model, let it do so under: if __name__ == "__main__"'
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)

    def teach(self, teacher: str, upscale: Upscale, report: Callable[[int], None] = lambda done: None) -> None:
        """Store a teacher's output for all pairs; `draw` returns it from then on.

        Args:
            teacher: name of the teacher's weights, part of the file names.
            upscale: (N, s, s, 3) -> (N, S, S, 3) uint8 BGR.
            report: called with the number of shards done.

        Raises:
            TrainingError: a shard is missing or damaged.
            OutputError: a file cannot be written.
        """
        self.kinds = (*KINDS, f"sr-{NOT_IN_NAMES.sub('_', teacher)}")
        self._opened.clear()
        self._remove_temporaries(self.kinds[-1:])
        for index in range(self.shards):
            file = self._file(index, self.kinds[-1])
            if not file.exists():
                lr = open_shard(self._file(index, "lr"))
                starts = range(0, len(lr), TEACHER_BATCH)
                parts = [upscale(lr.read(start, min(TEACHER_BATCH, len(lr) - start))) for start in starts]
                _save(file, np.concatenate(parts))
            report(index + 1)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Images, ...]:
        """Random pairs, mirrored with a probability of 50 %.

        Returns:
            (count, s, s, 3) and (count, S, S, 3) uint8 BGR, and the output of the teacher if there is one.

        Raises:
            TrainingError: a shard is missing or damaged.
        """
        samples = []
        for index in rng.integers(self.shards, size=count):
            shard = self._shard(int(index))
            number, step = int(rng.integers(len(shard[0]))), int(rng.choice((-1, 1)))
            samples.append([file.read(number)[0, :, ::step] for file in shard])
        return tuple(np.stack(pictures) for pictures in zip(*samples, strict=True))

    def _shard(self, index: int) -> tuple[ShardFile, ...]:
        """The files of a shard, as many pictures in each."""
        if index not in self._opened:
            files = tuple(open_shard(self._file(index, kind)) for kind in self.kinds)
            side = self.source.side
            shapes = ((side, side, 3), *((self.source.scale * side, self.source.scale * side, 3),) * (len(files) - 1))
            for file, shape in zip(files, shapes, strict=True):
                if file.shape != (len(files[0]), *shape):
                    raise damaged(file.path)
            self._opened[index] = files
        return self._opened[index]

    def _remove_temporaries(self, kinds: Iterable[str]) -> None:
        """Remove what killed recordings left; other trainings may be recording the same shards now."""
        files = [self._file(index, kind) for index in range(self.shards) for kind in kinds]
        remove_temporaries(files, min_age_s=MAX_WRITE_S)

    def _file(self, index: int, kind: str) -> Path:
        return shard_file(self.folder, index, kind)


def _read_description(file: Path) -> object:
    try:
        return read_json(file)
    except (OSError, ValueError) as error:
        raise TrainingError(f"cannot read {file}: {error}; give another folder or delete it") from None


def shard_file(folder: Path, index: int, kind: str) -> Path:
    """File of a shard: of one of `KINDS`, the last of which is written last, or of a teacher."""
    return folder / f"{index:04}-{kind}.npy"


def _start_worker() -> None:
    """Prepare a worker process: it leaves Ctrl-C to its parent, and ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent was killed; it would wait for further shards forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@lru_cache(maxsize=1)
def _faces(source: PairSource) -> tuple[Sequence[Images], Sequence[Images]]:
    """Portraits and large faces, read once in each worker process."""
    pictures = [face for folder in source.faces for face in read_faces(folder, MIN_FACE)]
    large = [face for face in pictures if min(face.shape[:2]) >= LARGE_SIDE]
    return [face for face in pictures if min(face.shape[:2]) < LARGE_SIDE], large


def _record_shard(folder: Path, source: PairSource, index: int) -> None:
    """Record a shard in a worker process."""
    faces, backgrounds = _faces(source), Backgrounds(source.scenes)
    rng = np.random.default_rng((source.seed, index))
    pairs = [draw_pairs(*faces, backgrounds, source.scale, source.side, rng) for _ in range(SEQUENCES_PER_SHARD)]
    for kind, arrays in zip(KINDS, zip(*pairs, strict=True), strict=True):
        _save(shard_file(folder, index, kind), np.concatenate(arrays))


def _save(path: Path, pictures: Images) -> None:
    try:
        with atomic_file(path) as stream:
            np.save(stream, pictures)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; the same command continues once there is space"
        ) from None

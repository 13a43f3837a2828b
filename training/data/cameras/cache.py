"""Cache of training pairs on disk: recorded once in parallel, read by every training with the same data."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ....calibration.data.faces import image_paths, read_faces
from ....engines.errors import OutputError, TrainingError
from ....engines.files import atomic_file
from ....engines.json_input import read_json
from .background import Backgrounds
from .pairs import draw_pairs
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
Upscale = Callable[[Images], Images]


@dataclass(frozen=True)
class PairSource:
    """What pairs are recorded from; equal sources give equal pairs.

    Args:
        faces: folders of faces.
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
        """For the cache folder: names and sizes of the pictures, not their places."""
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
        if read_json(file) != description:
            raise TrainingError(f"{folder} holds pairs of other pictures or settings; give another folder or delete it")

    def fill(self, processes: int, report: Callable[[int], None] = lambda done: None) -> None:
        """Record the missing shards in parallel.

        Args:
            report: called with the number of existing shards.
        """
        missing = [index for index in range(self.shards) if not self._file(index, "hr").exists()]
        done = self.shards - len(missing)
        report(done)
        if not missing:
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, _load, (self.source,)) as pool:
            for future in as_completed([pool.submit(_record_shard, self.folder, self.source, i) for i in missing]):
                future.result()
                done += 1
                report(done)

    def teach(self, teacher: str, upscale: Upscale, report: Callable[[int], None] = lambda done: None) -> None:
        """Store a teacher's output for all pairs; `draw` returns it from then on.

        Args:
            teacher: name of the teacher's weights, part of the file names.
            upscale: (N, s, s, 3) -> (N, S, S, 3) uint8 BGR.
            report: called with the number of shards done.
        """
        self.kinds = (*KINDS, f"sr-{teacher}")
        self._opened.clear()
        for index in range(self.shards):
            file = self._file(index, self.kinds[-1])
            if not file.exists():
                lr = np.load(self._file(index, "lr"))
                parts = [upscale(lr[start : start + TEACHER_BATCH]) for start in range(0, len(lr), TEACHER_BATCH)]
                with atomic_file(file) as stream:
                    np.save(stream, np.concatenate(parts))
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
            samples.append([file.read(number)[:, ::step] for file in shard])
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

    def _file(self, index: int, kind: str) -> Path:
        return shard_file(self.folder, index, kind)


def shard_file(folder: Path, index: int, kind: str) -> Path:
    """File of a shard: of one of `KINDS`, the last of which is written last, or of a teacher."""
    return folder / f"{index:04}-{kind}.npy"


_faces: tuple[Sequence[Images], Sequence[Images]]


def _load(source: PairSource) -> None:
    """Read the faces in a worker process."""
    global _faces
    cv2.setNumThreads(1)
    pictures = [face for folder in source.faces for face in read_faces(folder)]
    large = [face for face in pictures if min(face.shape[:2]) >= LARGE_SIDE]
    _faces = [face for face in pictures if min(face.shape[:2]) < LARGE_SIDE], large


def _record_shard(folder: Path, source: PairSource, index: int) -> None:
    """Record a shard in a worker process."""
    backgrounds = Backgrounds(source.scenes)
    rng = np.random.default_rng((source.seed, index))
    pairs = [draw_pairs(*_faces, backgrounds, source.scale, source.side, rng) for _ in range(SEQUENCES_PER_SHARD)]
    for kind, arrays in zip(KINDS, zip(*pairs, strict=True), strict=True):
        with atomic_file(shard_file(folder, index, kind)) as stream:
            np.save(stream, np.concatenate(arrays))

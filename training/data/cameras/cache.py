"""Cache of training pairs on disk, see `ShardCache`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....calibration.data.faces import image_paths, read_faces
from .background import Backgrounds
from .pairs import MIN_FACE, draw_pairs
from .shard_cache import ShardCache, save
from .shards import Entry, open_shard

Images = NDArray[np.uint8]
VERSION = 5
"""Of the chains: a cache of another version holds other pairs."""
SEQUENCES_PER_SHARD = 8
LARGE_SIDE = 200
"""Shorter side from which on a picture is a large face, in pixels."""
TEACHER_BATCH = 16
"""Crops per call of a teacher."""
NOT_IN_NAMES = re.compile(r"[^\w.-]")
"""Characters of a teacher's name that file names do not get."""
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

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Crops and their truth."""
        truth_side = self.scale * self.side
        return {"lr": Entry((self.side, self.side, 3)), "hr": Entry((truth_side, truth_side, 3))}

    def description(self) -> dict[str, object]:
        """For the cache folder: names and sizes of the pictures, not their places or contents."""
        paths = [path for folder in self.faces for path in image_paths(folder)]
        paths += Backgrounds(self.scenes).paths
        files = sorted((path.name, path.stat().st_size) for path in paths)
        digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
        values = {key: value for key, value in asdict(self).items() if not isinstance(value, (tuple, Path))}
        return {**values, "version": VERSION, "pictures": digest, "scenes": self.scenes is not None}

    def record(self, index: int) -> tuple[NDArray[Any], ...]:
        """Pairs of a few sequences."""
        faces, backgrounds = faces_by_size(self.faces), Backgrounds(self.scenes)
        rng = np.random.default_rng((self.seed, index))
        pairs = [draw_pairs(*faces, backgrounds, self.scale, self.side, rng) for _ in range(SEQUENCES_PER_SHARD)]
        return tuple(map(np.concatenate, zip(*pairs, strict=True)))


class PairCache(ShardCache[PairSource]):
    """Shards of pairs in a folder, see `ShardCache`."""

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
        kind = f"sr-{NOT_IN_NAMES.sub('_', teacher)}"
        self.add_kind(kind, self.source.entries["hr"])
        self.remove_temporaries((kind,))
        for index in range(self.shards):
            file = self.file(index, kind)
            if not file.exists():
                lr = open_shard(self.file(index, "lr"), self.source.entries["lr"])
                starts = range(0, len(lr), TEACHER_BATCH)
                parts = [upscale(lr.read(start, min(TEACHER_BATCH, len(lr) - start))) for start in starts]
                save(file, np.concatenate(parts))
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
            pictures = self.read(int(index), rng).values()
            step = int(rng.choice((-1, 1)))
            samples.append([picture[:, ::step] for picture in pictures])
        return tuple(np.stack(pictures) for pictures in zip(*samples, strict=True))


@lru_cache(maxsize=1)
def faces_by_size(folders: tuple[Path, ...]) -> tuple[Sequence[Images], Sequence[Images]]:
    """Portraits and large faces, read once in each worker process."""
    pictures = [face for folder in folders for face in read_faces(folder, MIN_FACE)]
    large = [face for face in pictures if min(face.shape[:2]) >= LARGE_SIDE]
    return [face for face in pictures if min(face.shape[:2]) < LARGE_SIDE], large

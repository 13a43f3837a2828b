"""Cache of recorded tracks on disk, see `ShardCache`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engines.bundle.bundle import read_card
from .background import Backgrounds
from .cache import SEQUENCES_PER_SHARD, PairSource, faces_by_size
from .landmarks import FaceLandmarks
from .shard_cache import ShardCache
from .shards import Entry
from .tracks import FRAMES, Tracks, draw_tracks

VERSION = 2
"""Of the motions, expressions and registration: a cache of another version holds other tracks."""


@dataclass(frozen=True)
class TrackSource(PairSource):
    """What tracks are recorded from; equal sources give equal tracks.

    Args:
        detector: bundle folder of the detector that finds eyes and mouths; None for faces without expression.
    """

    detector: Path | None = None

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The arrays of `Tracks`."""
        pictures, motions = super().entries, Entry((FRAMES, 2, 3), np.float32)
        lr = Entry((FRAMES, *pictures["lr"].shape))
        entries = lr, pictures["hr"], motions, motions, Entry((FRAMES,), np.float32)
        return dict(zip(Tracks._fields, entries, strict=True))

    def description(self) -> dict[str, object]:
        """For the cache folder, see `PairSource.description`."""
        detector = read_card(self.detector).fingerprint if self.detector else ""
        return {**super().description(), "tracks": VERSION, "detector": detector}

    def record(self, index: int) -> tuple[NDArray[Any], ...]:
        """Tracks of a few sequences."""
        faces, backgrounds = faces_by_size(self.faces), Backgrounds(self.scenes)
        landmarks = _landmarks(self.detector) if self.detector else None
        rng = np.random.default_rng((self.seed, index))
        tracks = [
            draw_tracks(*faces, landmarks, backgrounds, self.scale, self.side, rng) for _ in range(SEQUENCES_PER_SHARD)
        ]
        return tuple(map(np.concatenate, zip(*tracks, strict=True)))


class TrackCache(ShardCache[TrackSource]):
    """Shards of tracks in a folder, see `ShardCache`."""

    def draw(self, rng: np.random.Generator) -> Tracks:
        """One random track, without the first axis of `Tracks`.

        Raises:
            TrainingError: a shard is missing or damaged.
        """
        return Tracks(**self.sample(rng))


@lru_cache(maxsize=1)
def _landmarks(detector: Path) -> FaceLandmarks:
    """The detector, opened once in each worker process."""
    return FaceLandmarks(detector)

"""Tracks recorded by simulated cameras, the data of the multi-frame networks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...calibration.data import tracks as tracks_of_faces
from ...calibration.metrics.evaluate import SEED, Images, upscale_bicubic
from ...calibration.metrics.image import mean_db, psnr_y
from ...engines.inputs import SAMPLES
from ...networks.layers.pixels import to_pixels, to_rgb
from ..device import CPU
from ..losses.losses import Criterion
from ..recipe import Recipe
from .cameras.background import Backgrounds
from .cameras.chain import NAMED, Chain
from .cameras.track_cache import TrackCache
from .cameras.tracks import FRAMES, Tracks, given_tracks
from .faces import EVAL_BATCH, validation_faces
from .track_faults import with_fault

CROPS = {2: 0.08, 3: 0.14, 4: 0.16, 5: 0.32, 6: 0.1, 7: 0.2}
"""Number of crops of a batch, which are spread over the track -> its probability."""
SHORT = 0.3
"""Share of the tracks of which only the last frames are used, as at the start of a track."""
FAULTY = 0.08
"""Share of the tracks with a planted fault."""
VALIDATED_CROPS = 5
"""Crops of a track that are evaluated during training."""
VALIDATED = {
    "clean": Chain(frames=FRAMES),
    **{name: replace(NAMED[name], frames=FRAMES + 4) for name in ("h264-23", "h264-28", "h264-33")},
}
"""Name -> chain that is evaluated during training."""


@dataclass(frozen=True, eq=False)
class TrackBatch:
    """Training batch.

    Args:
        lr, hr: (N, s, s, 3) newest crops and (N, k·s, k·s, 3) truth, uint8 BGR.
        samples: (N, 2·k², s, s) float32 of the earlier crops, see `engines.multiframe.accumulation`.
    """

    lr: Tensor
    hr: Tensor
    samples: Tensor


class RecordedTracks:
    """Tracks of a cache: a `Task`.

    Args:
        recipe: supplies batch, scale and losses.
        cache: of tracks; filled before the first batch.
        val_faces: folder of validation faces, which move in front of synthetic backgrounds; None disables evaluation.
        criterion: loss.
    """

    def __init__(self, recipe: Recipe, cache: TrackCache, val_faces: Path | None, criterion: Criterion) -> None:
        self.recipe, self.cache, self.criterion, self.device = recipe, cache, criterion, CPU
        self.scale = int(recipe.config["scale"])
        self.by_kind: dict[str, tuple[TrackBatch, Images, float]] = {}
        if val_faces is not None:
            faces = list(validation_faces(recipe, val_faces))
            for name, chain in VALIDATED.items():
                rng = np.random.default_rng(SEED)
                tracks = given_tracks(faces, chain, Backgrounds(None), self.scale, cache.source.side, rng)
                bicubic_db = mean_db(psnr_y(upscale_bicubic(tracks.lr[:, -1], self.scale), tracks.hr))
                self.by_kind[name] = track_batch(tracks, VALIDATED_CROPS), tracks.hr, bicubic_db

    def batch(self, rng: np.random.Generator) -> TrackBatch:
        """Random tracks with the same number of crops, half of them mirrored, some with a fault."""
        crops = int(rng.choice(list(CROPS), p=list(CROPS.values())))
        tracks = []
        for _ in range(self.recipe.batch):
            track = self.cache.draw(rng)
            if rng.random() < FAULTY:
                track = with_fault(track, self.cache.draw(rng), rng)
            if rng.random() < SHORT:
                track = _shortened(track, int(rng.integers(crops, FRAMES + 1)))
            tracks.append(mirrored(track) if rng.random() < 0.5 else track)
        return track_batch(Tracks(*map(np.stack, zip(*tracks, strict=True))), crops)

    def loss(self, network: nn.Module, batch: TrackBatch) -> Tensor:
        """Loss against the truth of the newest crops."""
        sr: Tensor = network(to_rgb(batch.lr), batch.samples)
        return self.criterion(sr.float(), to_rgb(batch.hr))

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Gain over bicubic of the newest crop of each kind in `VALIDATED`, in dB of luma PSNR."""
        gains = {}
        for name, (batch, hr, bicubic_db) in self.by_kind.items():
            lr, samples = (torch.split(part.to(self.device), EVAL_BATCH) for part in (batch.lr, batch.samples))
            parts = [to_pixels(network(to_rgb(x), y)).cpu().numpy() for x, y in zip(lr, samples, strict=True)]
            gains[f"gain_db_{name}"] = mean_db(psnr_y(np.concatenate(parts), hr)) - bicubic_db
        return gains

    def to(self, device: torch.device) -> None:
        """Set the device of evaluation and move the networks of the loss there."""
        self.device = device
        self.criterion.to(device)


def track_batch(tracks: Tracks, crops: int) -> TrackBatch:
    """The inputs and the truth of a network.

    Args:
        tracks: n tracks.
        crops: number of crops that are used, the newest included, spread over the track.
    """
    registered = tracks_of_faces.Tracks(tracks.lr, tracks.hr, tracks.registered)
    arrays = registered.newest, np.ascontiguousarray(tracks.hr), registered.inputs(crops)[SAMPLES]
    return TrackBatch(*map(torch.from_numpy, arrays))


def _shortened(track: Tracks, frames: int) -> Tracks:
    """A track of which only the last frames were registered."""
    registered = track.registered.copy()
    registered[:-frames] = np.nan
    return track._replace(registered=registered)


def mirrored(track: Tracks) -> Tracks:
    """The mirror image of a track, its motions included; a track without the first axis of `Tracks`."""
    last = track.lr.shape[2] - 1
    motions, registered = (_mirrored(motions, last) for motions in (track.motions, track.registered))
    return track._replace(lr=track.lr[:, :, ::-1], hr=track.hr[:, ::-1], motions=motions, registered=registered)


def _mirrored(motions: NDArray[np.float32], last: int) -> NDArray[np.float32]:
    """Motions (T, 2, 3) between crops whose column x is mirrored to last - x."""
    mirror = np.array(((-1, 0, last), (0, 1, 0), (0, 0, 1)), np.float32)
    return np.asarray(mirror[:2, :2] @ motions @ mirror + np.array(((0, 0, last), (0, 0, 0)), np.float32))

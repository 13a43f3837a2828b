"""Planted faults: what wrong crops in a track cost, against the single-frame network on the same newest crop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from facesr_edge.calibration.metrics.image import psnr_y
from facesr_edge.engines.multiframe.history import History
from facesr_edge.engines.multiframe.registration import compose, inverse, shift
from facesr_edge.engines.multiframe.session import MultiFrameSession
from facesr_edge.training.data.cameras.tracks import Tracks
from numpy.typing import NDArray

from .quality import from_several, from_single
from .sequences import SCALE, last, registered, with_motions

Pixels = NDArray[np.uint8]
Random = np.random.Generator
PATCH = (0.25, 0.5)
"""Limits of the sides of a patch, relative to the crop's."""
WRONG_PX = (0.5, 1.0, 3.0)
"""Standard deviations of the errors of wrong motions."""


class Track(NamedTuple):
    """One track: crops (T, S, S, 3), the newest last, and the truth of the newest (k·S, k·S, 3)."""

    crops: Pixels
    truth: Pixels


Fault = Callable[[Track, Track, Random], Track]
"""A track and another one -> the first with a fault."""


def cut(crops: int) -> Fault:
    """Only so many of the newest crops show the face; those before show another one, elsewhere."""

    def apply(track: Track, other: Track, rng: Random) -> Track:
        return replace_crops(track, other, range(len(track.crops) - crops))

    return apply


def replace_crops(track: Track, other: Track, times: range) -> Track:
    """A track with crops of another one."""
    crops = track.crops.copy()
    crops[times] = other.crops[times]
    return track._replace(crops=crops)


def wrong_track(track: Track, other: Track, rng: Random) -> Track:
    """The track jumps to another face for one or two frames, and back."""
    length = int(rng.integers(1, 3))
    start = int(rng.integers(1, len(track.crops) - length))
    return replace_crops(track, other, range(start, start + length))


def occluded_newest(track: Track, other: Track, rng: Random) -> Track:
    """Something is in front of the face, in the newest frame only."""
    crops, truth = track.crops.copy(), track.truth.copy()
    rows, columns = _patch(crops.shape[1], rng)
    crops[-1, rows, columns] = other.crops[-1, rows, columns]
    fine = [slice(SCALE * one.start, SCALE * one.stop) for one in (rows, columns)]
    truth[fine[0], fine[1]] = other.truth[fine[0], fine[1]]
    return Track(crops, truth)


def occluded_earlier(track: Track, other: Track, rng: Random) -> Track:
    """Something was in front of the face in all earlier frames."""
    crops = track.crops.copy()
    rows, columns = _patch(crops.shape[1], rng)
    crops[:-1, rows, columns] = other.crops[:-1, rows, columns]
    return track._replace(crops=crops)


def damaged_earlier(track: Track, other: Track, rng: Random) -> Track:
    """A decoder has filled 8 blocks of 8 px of each earlier frame with gray."""
    crops = track.crops.copy()
    for crop in crops[:-1]:
        for x, y in 8 * rng.integers(0, crop.shape[0] // 8, (8, 2)):
            crop[y : y + 8, x : x + 8] = 128
    return track._replace(crops=crops)


def _patch(side: int, rng: Random) -> tuple[slice, slice]:
    sizes = [round(side * rng.uniform(*PATCH)) for _ in range(2)]
    starts = [int(rng.integers(side // 8, side - side // 8 - size + 1)) for size in sizes]
    rows, columns = (slice(start, start + size) for start, size in zip(starts, sizes, strict=True))
    return rows, columns


FAULTS: dict[str, Fault] = {
    "none": lambda track, other, rng: track,
    "cut, 1 crop since": cut(1),
    "cut, 3 crops since": cut(3),
    "cut, 5 crops since": cut(5),
    "another face in 1 or 2 earlier crops": wrong_track,
    "newest crop occluded": occluded_newest,
    "earlier crops occluded": occluded_earlier,
    "earlier crops damaged": damaged_earlier,
}


@dataclass(frozen=True)
class FaultResult:
    """Change of the PSNR by the multi-frame network under a fault.

    Args:
        name: of the fault.
        change_db: mean over the single-frame network, luma.
        worst_db: mean of the worst tenth.
        frames: mean number of crops that the faces were made from.
    """

    name: str
    change_db: float
    worst_db: float
    frames: float


def fault_results(session: MultiFrameSession, tracks: Tracks) -> list[FaultResult]:
    """Measure all faults, and motions with added errors.

    Args:
        session: both networks.
        tracks: of the generator.
    """
    results = [_planted(session, tracks, name, fault) for name, fault in FAULTS.items()]
    histories = [last(registered(crops), session.frames) for crops in tracks.lr]
    for error_px in WRONG_PX:
        rng = np.random.default_rng(7)
        wrong = [_wrong(history, error_px, rng) for history in histories]
        name = f"motions wrong by {error_px:g} px"
        results.append(_result(session, name, np.ascontiguousarray(tracks.lr[:, -1]), tracks.hr, wrong))
    return results


def _planted(session: MultiFrameSession, tracks: Tracks, name: str, fault: Fault) -> FaultResult:
    rng, number = np.random.default_rng(7), len(tracks.lr)
    every = [Track(*one) for one in zip(tracks.lr, tracks.hr, strict=True)]
    faulty = [fault(track, every[(n + number // 2) % number], rng) for n, track in enumerate(every)]
    histories = [last(registered(track.crops), session.frames) for track in faulty]
    crops = np.stack([track.crops[-1] for track in faulty])
    return _result(session, name, crops, np.stack([track.truth for track in faulty]), histories)


def _wrong(history: History, error_px: float, rng: Random) -> History:
    """The motions of the crops, with errors; the newest crop is where it was."""
    to_newest, motions = inverse(history.crops[-1].to_key), []
    for crop in history.crops:
        x, y = rng.normal(0, error_px, 2)
        motions.append(compose(shift(float(x), float(y)), compose(to_newest, crop.to_key)))
    return with_motions(history, motions)


def _result(
    session: MultiFrameSession, name: str, crops: Pixels, truth: Pixels, histories: list[History]
) -> FaultResult:
    single = from_single(session, crops)
    several, frames = from_several(session, crops, histories)
    changes = np.sort(psnr_y(several, truth) - psnr_y(single, truth))
    worst = changes[: -(-len(changes) // 10)]
    return FaultResult(name, float(changes.mean()), float(worst.mean()), float(np.mean(frames)))

"""Samples of the uncertainty head: crops of known faces, what the networks make of them, and the truth."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.data.faces import low_resolution
from ...engines.files import atomic_file
from ...engines.session import Session
from ..data.cameras.chain import NAMED, X264, Chain
from ..data.cameras.codec import Codec
from ..data.cameras.pairs import degrade, degrade_at_random

Images = NDArray[np.uint8]
SIDE = 128
"""Side of the faces, high-resolution pixels."""
GROUP = 64
"""Faces that are degraded at once; a group shares one rate factor."""
CONDITIONS = ("bicubic", "h264-23", "h264-28", "h264-33")
"""Conditions under which the coverage is calibrated and stated: downscaled portraits, and behind H.264."""
TRAINING = (*CONDITIONS, "h264-any", "recorded", "recorded")
"""Conditions of the training: those, other rate factors, and random cameras."""
BATCH = 8


def low(faces: Images, condition: str, rng: np.random.Generator) -> Images:
    """Degrade (N, S, S, 3) faces to a fourth of their side by one of `TRAINING`."""
    if condition == "bicubic":
        return low_resolution(faces, 4)
    if condition == "recorded":
        return degrade_at_random(faces, 4, rng)
    chain = NAMED[condition] if condition in NAMED else _any_rate(rng)
    return degrade(faces, 4, rng, chain)


def _any_rate(rng: np.random.Generator) -> Chain:
    return Chain(frames=8, codecs=(Codec("h264", int(rng.integers(18, 38)), options=X264),))


def windows(faces: Sequence[Images], rng: np.random.Generator) -> Images:
    """A random window of each picture, mirrored with a probability of 50 %: (N, 128, 128, 3)."""
    return np.stack([_window(face, rng) for face in faces])


def _window(face: Images, rng: np.random.Generator) -> Images:
    if min(face.shape[:2]) > 2 * SIDE and rng.random() < 0.5:  # a large face, shown whole
        ratio = rng.uniform(SIDE + 8, 2 * SIDE) / min(face.shape[:2])
        face = np.asarray(cv2.resize(face, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA), np.uint8)
    y, x = (int(rng.integers(length - SIDE + 1)) for length in face.shape[:2])
    window = face[y : y + SIDE, x : x + SIDE]
    return window[:, ::-1] if rng.random() < 0.5 else window


def gray(pixels: Images) -> Images:
    """Luma (N, H, W) uint8 of (N, H, W, 3) BGR, BT.601 at full range."""
    return np.stack([np.asarray(cv2.cvtColor(one, cv2.COLOR_BGR2GRAY), np.uint8) for one in pixels])


@dataclass(frozen=True, eq=False)
class Samples:
    """Arrays in files of a folder, read as they are needed.

    Args:
        low: (M, 32, 32, 3) uint8 BGR crops.
        truth: (M, 128, 128) uint8 luma.
        rows: (K,) index of the crop of each sample.
        upscaled: (K, 128, 128) uint8 luma of a network's output.
    """

    low: Images
    truth: Images
    rows: NDArray[np.int64]
    upscaled: Images


def write_samples(
    folder: Path,
    faces: Sequence[Images],
    networks: Mapping[str, Callable[[], Session]],
    networks_per_crop: int,
    seed: int,
    report: Callable[[str], None] = lambda line: None,
) -> None:
    """Make the samples of a training; a folder that has them is left as it is.

    Args:
        folder: receives ``low.npy``, ``truth.npy``, ``rows.npy``, ``upscaled.npy`` and, last, ``samples.json``.
        faces: square pictures of 128 px or more.
        networks: name -> function that opens its session, of scale 4.
        networks_per_crop: how many of them upscale each crop.
        seed: of windows, degradations and the choice of the networks.
        report: called with a line for each part.
    """
    if (folder / "samples.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "low.npy").exists():
        _write_crops(folder, faces, np.random.default_rng(seed), report)
    crop: Images = np.load(folder / "low.npy")
    rng = np.random.default_rng((seed, 1))
    names = sorted(networks)
    chosen = np.stack([rng.permutation(len(names))[:networks_per_crop] for _ in range(len(crop))])
    rows = [np.flatnonzero((chosen == number).any(1)) for number in range(len(names))]
    _save(folder / "rows.npy", np.concatenate(rows))
    parts = []
    for name, own in zip(names, rows, strict=True):
        session = networks[name]()
        parts += [gray(session.infer(crop[own[start : start + BATCH]])) for start in range(0, len(own), BATCH)]
        session.close()
        report(f"{name}: {len(own)} samples")
    _save(folder / "upscaled.npy", np.concatenate(parts))
    with atomic_file(folder / "samples.json") as stream:
        stream.write(json.dumps({"networks": names, "crops": len(crop), "seed": seed}).encode())


def _write_crops(
    folder: Path, faces: Sequence[Images], rng: np.random.Generator, report: Callable[[str], None]
) -> None:
    """Write ``truth.npy``, then ``low.npy``."""
    crops: list[Images] = []
    truths: list[Images] = []
    for condition in TRAINING:
        order = rng.permutation(len(faces))
        for start in range(0, len(order), GROUP):
            high = windows([faces[i] for i in order[start : start + GROUP]], rng)
            crops.append(low(high, condition, rng))
            truths.append(gray(high))
        report(f"{condition}: {len(faces)} crops")
    _save(folder / "truth.npy", np.concatenate(truths))
    _save(folder / "low.npy", np.concatenate(crops))


def read_samples(folder: Path) -> Samples:
    """Open the samples that `write_samples` made; the large arrays stay in their files."""
    low_, truth, upscaled = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("low", "truth", "upscaled"))
    return Samples(low_, truth, np.load(folder / "rows.npy"), upscaled)


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_file(path) as stream:
        np.save(stream, array)

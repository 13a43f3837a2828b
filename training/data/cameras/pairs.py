"""Training pairs from recordings, and the degradation of given faces by a named chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from ....engines.errors import UsageError
from .background import Backgrounds
from .chain import NAMED, Chain, random_chain
from .motion import Motion
from .sequences import FRAME_WH, MARGIN, Cell, Recording, cells_for, motion_in, record

Images = NDArray[np.uint8]
KEPT_FRAMES = 3
"""Frames of a sequence from which pairs are taken."""
MAX_WINDOWS = 120
"""Pairs of one sequence at most: they share the camera."""
LARGE_PROBABILITY = 0.25
"""Share of the sequences that show large faces, if there are any."""
MIN_FACE, LARGE_FACE, MAX_FACE = 64, 128, 512
"""Sides in high-resolution pixels: of the smallest portrait, of the smallest large face, and of the largest one, of
which eight fit into a frame."""
FACES_PER_CHAIN = 8
"""Faces that share a random chain in an evaluation."""
REFLECTED = 4
"""Pixels by which a face is continued on each side when a given crop is recorded."""
MAX_SIDE = FRAME_WH[1] - 2 * (MARGIN + REFLECTED)
"""Side of the largest crop that fits into a frame with them."""


def draw_pairs(
    portraits: Sequence[Images],
    large: Sequence[Images],
    backgrounds: Backgrounds,
    scale: int,
    side: int,
    rng: np.random.Generator,
) -> tuple[Images, Images]:
    """Pairs of one random sequence.

    Args:
        portraits, large: faces of about 144 px, and of 256 px and more; one of them may be empty.
        side: of the low-resolution crops in pixels.

    Returns:
        (n, side, side, 3) and (n, scale·side, scale·side, 3) uint8 BGR.
    """
    chain = random_chain(rng)
    cells, pictures = random_pictures(portraits, large, scale, rng)
    motions = [motion_in(cell, scale, chain.frames, rng) for cell in cells]
    first = chain.frames // 3
    keep = np.sort(rng.choice(np.arange(first, chain.frames), min(KEPT_FRAMES, chain.frames - first), replace=False))
    recording = record(pictures, cells, motions, chain, backgrounds, scale, keep.tolist(), rng)
    return _windows(recording, side, rng)


def random_pictures(
    portraits: Sequence[Images], large: Sequence[Images], scale: int, rng: np.random.Generator, room: int = 0
) -> tuple[list[Cell], list[Images]]:
    """Random faces of one size, and their cells.

    Args:
        portraits, large, scale: see `draw_pairs`.
        room: pixels by which the cells are larger than usual.
    """
    from_large = len(large) > 0 and (not len(portraits) or rng.random() < LARGE_PROBABILITY)
    pool = large if from_large else portraits
    side = _face_side(pool, scale, from_large, rng)
    pool = [picture for picture in pool if min(picture.shape[:2]) >= side] or pool
    cells = cells_for(side // scale + room, rng)
    return cells, [resized(pool[int(i)], side, rng) for i in rng.integers(len(pool), size=len(cells))]


def _face_side(pool: Sequence[Images], scale: int, from_large: bool, rng: np.random.Generator) -> int:
    """Side of the faces of a sequence in high-resolution pixels, a multiple of the scale."""
    largest = min(max(min(picture.shape[:2]) for picture in pool), MAX_FACE)
    if from_large:
        side = np.exp(rng.uniform(np.log(LARGE_FACE), np.log(largest)))
    else:
        side = largest if rng.random() < 0.6 else rng.uniform(MIN_FACE, largest)
    return int(side) // scale * scale


def resized(picture: Images, side: int, rng: np.random.Generator) -> Images:
    """Resize a face to a side, mirrored with a probability of 50 %."""
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if min(picture.shape[:2]) != side:
        flag = cv2.INTER_AREA if min(picture.shape[:2]) > side else cv2.INTER_CUBIC
        picture = np.asarray(cv2.resize(picture, (side, side), interpolation=flag), np.uint8)
    return np.ascontiguousarray(picture)


def _windows(recording: Recording, side: int, rng: np.random.Generator) -> tuple[Images, Images]:
    """Windows around random faces of random frames, at whole pixels inside the cells."""
    low, high = [], []
    spots = [(number, face) for number in range(len(recording.frames)) for face in range(len(recording.cells))]
    repeats = max(1, MAX_WINDOWS // (2 * len(spots)))
    chosen = rng.permutation(len(spots) * repeats)[:MAX_WINDOWS]
    for spot in chosen:
        number, face = spots[spot % len(spots)]
        x, y = _window_origin(recording, number, face, side, rng)
        low.append(recording.frames[number, y : y + side, x : x + side])
        high.append(recording.truth(number, face, x, y, side))
    return np.stack(low), np.stack(high)


def _window_origin(
    recording: Recording, number: int, face: int, side: int, rng: np.random.Generator
) -> tuple[int, int]:
    cell, time = recording.cells[face], recording.times[number]
    shown = recording.faces[face].at(time)
    matrix = shown.place(time)
    half = np.array(shown.sharp.shape[1::-1]) / 2
    center = (matrix @ np.array((*half, 1))) / recording.scale
    spread = np.maximum(half / recording.scale - side / 2, 0) + 5
    origin = np.rint(center - side / 2 + rng.uniform(-spread, spread)).astype(int)
    room = (max(0, cell.width - side), max(0, cell.height - side))
    x, y = np.clip(origin, (cell.x, cell.y), (cell.x + room[0], cell.y + room[1]))
    return min(int(x), FRAME_WH[0] - side), min(int(y), FRAME_WH[1] - side)


def degrade(
    faces: Images, scale: int, rng: np.random.Generator, chain: Chain, backgrounds: Backgrounds | None = None
) -> Images:
    """Record given faces by a chain: each is shown whole, at whole pixels of the last frame, the truth unchanged.

    Args:
        faces: (N, S, S, 3) uint8 BGR, S a multiple of the scale, at most `MAX_SIDE` pixels of the frame.
        backgrounds: None for synthetic ones.

    Returns:
        (N, S / scale, S / scale, 3) uint8 BGR. With a gain other than 1 the truth is as dark.

    Raises:
        UsageError: the faces are larger.
    """
    backgrounds = backgrounds or Backgrounds(None)
    side = faces.shape[1] // scale
    if side > MAX_SIDE:
        raise UsageError(f"a camera records crops of up to {MAX_SIDE} px, got {side} px; give smaller ones")
    border = REFLECTED * scale
    results: list[Images] = []
    while len(results) < len(faces):
        cells = cells_for(side + 2 * REFLECTED, rng)[: len(faces) - len(results)]
        group = faces[len(results) : len(results) + len(cells)]
        pictures = list(np.pad(group, ((0, 0), (border, border), (border, border), (0, 0)), "reflect"))
        origins = [_origin(cell, rng) for cell in cells]
        motions = [_approach(origin, side, scale, chain.frames, rng) for origin in origins]
        last = chain.frames - 1
        recording = record(pictures, cells, motions, chain, backgrounds, scale, [last], rng)
        results += [recording.frames[0, y : y + side, x : x + side] for x, y in origins]
    return np.stack(results)


def degrade_at_random(
    faces: Images, scale: int, rng: np.random.Generator, backgrounds: Backgrounds | None = None
) -> Images:
    """`degrade` by a random chain for each eight faces, at full light: the truth is not darkened."""
    parts = []
    for start in range(0, len(faces), FACES_PER_CHAIN):
        chain = random_chain(rng)
        chain = replace(chain, drift=0.0, sensor=replace(chain.sensor, gain=1.0))
        parts.append(degrade(faces[start : start + FACES_PER_CHAIN], scale, rng, chain, backgrounds))
    return np.concatenate(parts)


def _origin(cell: Cell, rng: np.random.Generator) -> tuple[int, int]:
    """Corner of a crop in the last frame, at any phase of the block grid."""
    x, y = rng.integers(-MARGIN // 2, MARGIN // 2 + 1, 2) + MARGIN + REFLECTED
    return cell.x + int(x), cell.y + int(y)


def _approach(origin_xy: tuple[int, int], side: int, scale: int, frames: int, rng: np.random.Generator) -> Motion:
    """Motion that ends with the corner of a crop at a position in pixels; a third of the faces stand still."""
    end = scale * (np.array(origin_xy) + side / 2) - 0.5
    limit = scale * min(1.5, MARGIN / 2 / frames)
    velocity = np.rint(rng.uniform(-limit, limit, 2)) if rng.random() < 0.67 else np.zeros(2)
    start = end - (frames - 1) * velocity
    return Motion((start[0], start[1]), (velocity[0], velocity[1]))


DEGRADATIONS = {name: partial(degrade, chain=chain) for name, chain in NAMED.items()}
"""Name -> degradation of given faces, for evaluation by kind."""

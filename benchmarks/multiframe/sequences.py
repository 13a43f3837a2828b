"""Held-out faces, recorded by simulated cameras: tracks with the truth of the newest crop and the true motions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from facesr_edge.engines.multiframe.history import SPAN, Crop, History, extended
from facesr_edge.engines.multiframe.registration import Affine, compose
from facesr_edge.training.data.cameras.background import Backgrounds
from facesr_edge.training.data.cameras.chain import NAMED, Chain
from facesr_edge.training.data.cameras.head_motion import HeadMotion
from facesr_edge.training.data.cameras.sensor import Sensor
from facesr_edge.training.data.cameras.sequences import MARGIN, Cell, cells_for
from facesr_edge.training.data.cameras.tracks import Landmarks, Tracks, living_faces, record_tracks
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
SCALE = 4
FRAMES = SPAN + 2
"""Crops of a track: a full history for the newest one and for the one before."""
CODED_FRAMES = FRAMES + 4
"""Frames that the camera encodes: the first crop is not from a key frame."""


def _camera(crf: int | None, noise: float) -> Chain:
    codecs = () if crf is None else (replace(NAMED["h264-23"].codecs[0], quality=crf),)
    return Chain(frames=CODED_FRAMES, sensor=Sensor(white_noise=noise), codecs=codecs)


CONDITIONS = {"clean": _camera(4, 0), "crf 23": _camera(23, 2), "crf 28": _camera(28, 2), "crf 33": _camera(33, 3)}
"""Name -> camera: constant rate factor of H.264, and standard deviation of the noise in gray levels."""
NOISY = {
    "raw, noise 3": _camera(None, 3),
    "crf 18, noise 4": _camera(18, 4),
    "crf 23, noise 6": _camera(23, 6),
    "crf 28, noise 12": _camera(28, 12),
}
"""Cameras whose noise makes a still face flicker; of less noise, H.264 copies the frame before."""
MOVING = ("shift", "turn", "zoom", "blink")
"""Motions: all faces move evenly and shake; "blink" is half blinking, half speaking."""
STILL = "still"
MAX_SPEED, MAX_SHAKE = min(1.2, 1.5 * MARGIN / CODED_FRAMES), 0.3
"""In pixels of the frame, per frame and as a standard deviation."""
TURN_DEG, STRETCH, ZOOM = 1.0, 0.008, 0.01
"""Per frame."""


def record(
    faces: Sequence[Pixels], backgrounds: Backgrounds, condition: str, kind: str, side: int, landmarks: Landmarks
) -> Tracks:
    """Record a track of each face.

    Args:
        faces: (S, S, 3) uint8 BGR, all of one size, `SCALE` times the size in the frame.
        backgrounds: of the frames.
        condition: of `CONDITIONS` or `NOISY`.
        kind: of `MOVING`, or `STILL`.
        side: of the crops, pixels.
        landmarks: finds the eyes and the mouth.
    """
    rng = np.random.default_rng((5, (*MOVING, STILL).index(kind)))
    chain, parts, done = {**CONDITIONS, **NOISY}[condition], [], 0
    while done < len(faces):
        cells = cells_for(faces[0].shape[0] // SCALE, rng)
        cells = [cells[int(i)] for i in rng.permutation(len(cells))[: len(faces) - done]]
        motions = [_motion(kind, cell, rng) for cell in cells]
        some = faces[done : done + len(cells)]
        living = living_faces(some, motions, chain, SCALE, landmarks, float(kind == "blink"), rng)
        parts.append(record_tracks(living, cells, chain, backgrounds, SCALE, side, rng, FRAMES))
        done += len(cells)
    return Tracks(*map(np.concatenate, zip(*parts, strict=True)))


def _motion(kind: str, cell: Cell, rng: np.random.Generator) -> HeadMotion:
    end = CODED_FRAMES - 1
    x, y = (SCALE * (at + size / 2) - 0.5 for at, size in ((cell.x, cell.width), (cell.y, cell.height)))
    x, y = x + float(rng.integers(-8, 9)), y + float(rng.integers(-8, 9))  # the last place is on whole pixels
    if kind == STILL:
        return HeadMotion(end, (x, y))
    velocity = rng.uniform(-MAX_SPEED * SCALE, MAX_SPEED * SCALE, 2)
    shake = rng.normal(0, SCALE * rng.uniform(0, MAX_SHAKE), (end + 1, 2))
    shake[-1] = 0
    turn, stretch, zoom = rng.uniform(-1, 1, 3)
    return HeadMotion(
        end,
        (x, y),
        (float(velocity[0]), float(velocity[1])),
        turn=float(np.deg2rad(TURN_DEG * turn)) * (kind == "turn"),
        stretch=float(STRETCH * stretch) * (kind == "turn"),
        zoom=float(ZOOM * zoom) * (kind == "zoom"),
        shake_xy=tuple((float(dx), float(dy)) for dx, dy in shake),
    )


def registered(crops: Pixels) -> History:
    """History of the crops of a track, (T, S, S, 3), with the motions that the registration finds.

    It is not told where the windows are; at run time it is, and starts closer.
    """
    history: History | None = None
    for crop in crops:
        history = extended(history, crop, (0, 0), len(crops))
    if history is None:
        raise ValueError("expected at least one crop")
    return history


def with_motions(history: History, motions: Sequence[Affine]) -> History:
    """The same with given motions.

    Args:
        history: of a track.
        motions: of its crops, the newest last: positions in a crop -> in the newest crop.
    """
    to_key = history.crops[-1].to_key
    pairs = zip(history.crops[:-1], motions[-len(history.crops) : -1], strict=True)
    moved = tuple(Crop(crop.gray, compose(to_key, motion)) for crop, motion in pairs)
    return replace(history, crops=(*moved, history.crops[-1]))


def last(history: History, frames: int) -> History:
    """A history of which a face is made from at most so many crops."""
    return replace(history, limit=frames)


def affine(motion: NDArray[np.float32]) -> Affine:
    """A motion of tracks, (2, 3)."""
    a, b, c, d, e, f = motion.ravel().tolist()
    return a, b, c, d, e, f

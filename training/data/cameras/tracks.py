"""Tracks recorded by simulated cameras: the last crops of a face, the truth of the newest, and the motion between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ....calibration.data.tracks import motions_of
from ....engines.multiframe.history import SPAN, extended
from ..optics import random_blur_kernel
from .background import Backgrounds
from .chain import Chain, random_chain
from .expressions import blinking, random_blink, random_speech, speaking
from .head_motion import HeadMotion, random_head_motion
from .pairs import Images, random_pictures
from .render import Face, FilteredFace, LivingFace, filter_face, pixel_kernel
from .sequences import FRAME_WH, MARGIN, Cell, Recording, cells_for, record_faces

FRAMES = SPAN + 1
"""Crops of a track: all that a history keeps."""
STRIDE = 12
"""Pixels by which cells are larger than those of pairs: faces move further in as many frames."""
MAX_EARLIER = 6
"""Frames before the first crop at most: the codec has a past."""
EXPRESSIVE = 0.3
"""Share of the faces that blink or speak."""
TRACK_KINDS = {"clean": 0.2, "raw": 0.05, "jpeg": 0.05, "h264": 0.6, "h265": 0.06, "mjpeg": 0.04}
"""Kinds of chains, with their probabilities: single pictures are rarer than in pairs."""
Floats = NDArray[np.float32]
Windows = list[tuple[int, int]]
Landmarks = Callable[[Images], Floats | None]
"""Five points of the face of a picture, (5, 2) pixels; None where there is none."""


class Tracks(NamedTuple):
    """Crops of tracks; T is `FRAMES`.

    Args:
        lr: (n, T, s, s, 3) uint8 BGR, the newest last.
        hr: (n, k·s, k·s, 3) uint8 BGR, the truth of the newest.
        motions: (n, T, 2, 3) float32, true motions: positions in a crop -> in the newest crop, pixels.
        registered: (n, T, 2, 3) float32, the same as `engines.multiframe.history` finds them; nan for crops before a
            failed registration.
        correlations: (n, T) float32 of each crop with that it was registered to, -1 to 1; nan for the first.
    """

    lr: Images
    hr: Images
    motions: Floats
    registered: Floats
    correlations: Floats


def draw_tracks(
    portraits: Sequence[Images],
    large: Sequence[Images],
    landmarks: Landmarks | None,
    backgrounds: Backgrounds,
    scale: int,
    side: int,
    rng: np.random.Generator,
) -> Tracks:
    """Tracks of one random sequence.

    Args:
        portraits, large, scale, side: see `pairs.draw_pairs`.
        landmarks: finds eyes and mouths; None for faces without expression.
    """
    chain = random_chain(rng, TRACK_KINDS)
    chain = replace(chain, frames=FRAMES + int(rng.integers(MAX_EARLIER + 1)))
    cells, pictures = random_pictures(portraits, large, scale, rng, STRIDE)
    motions = [motion_in(cell, scale, chain.frames, rng) for cell in cells]
    faces = living_faces(pictures, motions, chain, scale, landmarks, EXPRESSIVE, rng)
    return record_tracks(faces, cells, chain, backgrounds, scale, side, rng)


def given_tracks(
    pictures: Sequence[Images], chain: Chain, backgrounds: Backgrounds, scale: int, side: int, rng: np.random.Generator
) -> Tracks:
    """Tracks of given faces with random motions, one of each, for an evaluation.

    Args:
        pictures: (S, S, 3) uint8 BGR, all of one size.
        chain: of `FRAMES` or more frames.
        backgrounds, scale, side: see `pairs.draw_pairs`.
    """
    parts: list[Tracks] = []
    while (done := sum(len(part.lr) for part in parts)) < len(pictures):
        cells = cells_for(pictures[0].shape[0] // scale + STRIDE, rng)[: len(pictures) - done]
        motions = [motion_in(cell, scale, chain.frames, rng) for cell in cells]
        faces = living_faces(pictures[done : done + len(cells)], motions, chain, scale, None, 0.0, rng)
        parts.append(record_tracks(faces, cells, chain, backgrounds, scale, side, rng))
    return Tracks(*map(np.concatenate, zip(*parts, strict=True)))


def motion_in(cell: Cell, scale: int, frames: int, rng: np.random.Generator) -> HeadMotion:
    """A random motion that ends near the center of a cell."""
    center = (scale * (cell.x + cell.width / 2) - 0.5, scale * (cell.y + cell.height / 2) - 0.5)
    shift = rng.uniform(-0.3, 0.3, 2) * MARGIN * scale
    max_speed = scale * min(1.5, 1.5 * MARGIN / frames)
    return random_head_motion((center[0] + shift[0], center[1] + shift[1]), frames - 1, max_speed, scale, rng)


def living_faces(
    pictures: Sequence[Images],
    motions: Sequence[HeadMotion],
    chain: Chain,
    scale: int,
    landmarks: Landmarks | None,
    expressive: float,
    rng: np.random.Generator,
) -> list[Face]:
    """Faces behind the lens of a chain.

    Args:
        pictures, motions: (S, S, 3) uint8 BGR at the size of the truth, and the path of each.
        landmarks: see `draw_tracks`.
        expressive: share of the faces that blink or speak, half of them each.
    """
    taps = pixel_kernel(chain.pixel_filter, scale)
    faces: list[Face] = []
    for picture, motion in zip(pictures, motions, strict=True):
        lens = random_blur_kernel(scale, chain.blur, rng) if chain.blur else None
        stages, at_time = [picture], (0,) * chain.frames
        if landmarks is not None and rng.random() < expressive:
            stages, at_time = _with_expression(picture, landmarks, chain.frames, rng)
        faces.append(LivingFace(tuple(filter_face(stage, motion, taps, lens) for stage in stages), at_time))
    return faces


def record_tracks(
    faces: Sequence[Face],
    cells: Sequence[Cell],
    chain: Chain,
    backgrounds: Backgrounds,
    scale: int,
    side: int,
    rng: np.random.Generator,
    frames: int = FRAMES,
) -> Tracks:
    """Record faces, one in each cell, and cut a track of each.

    Args:
        faces, cells: of the same number.
        chain: of `frames` or more frames.
        backgrounds, scale, side: see `pairs.draw_pairs`.
        frames: crops of a track.
    """
    times = range(chain.frames - frames, chain.frames)
    recording = record_faces(faces, cells, chain, backgrounds, scale, times, rng)
    tracks = [_track(recording, number, side, rng) for number in range(len(faces))]
    return Tracks(*map(np.stack, zip(*tracks, strict=True)))


def _with_expression(
    picture: Images, landmarks: Landmarks, frames: int, rng: np.random.Generator
) -> tuple[list[Images], tuple[int, ...]]:
    """Stages of a blink or of speech, and the stage of each frame; a face without landmarks stays as it is."""
    blinks = bool(rng.random() < 0.5)
    at_time = random_blink(frames, rng) if blinks else random_speech(frames, rng)
    points = landmarks(picture) if any(at_time) else None
    if points is None:
        return [picture], (0,) * frames
    return (blinking if blinks else speaking)(picture, points), at_time


def _track(recording: Recording, number: int, side: int, rng: np.random.Generator) -> Tracks:
    """The track of one face, without the first axis of `Tracks`."""
    face = recording.faces[number].at(recording.times[-1])
    windows = _windows(recording, face, recording.cells[number], side, rng)
    lr = np.stack([frame[y : y + side, x : x + side] for frame, (x, y) in zip(recording.frames, windows, strict=True)])
    hr = recording.truth(len(windows) - 1, number, *windows[-1], side)
    motions = _motions(face, recording.times, windows, recording.scale)
    return Tracks(lr, hr, motions, *_registered(lr, windows))


def _windows(recording: Recording, face: FilteredFace, cell: Cell, side: int, rng: np.random.Generator) -> Windows:
    """Corners of the windows of all frames: they follow the face, or stay where they are."""
    scale = recording.scale
    half = np.array((*(np.array(face.sharp.shape[1::-1]) / 2), 1))
    centers = np.stack([face.place(time) @ half / scale for time in recording.times])
    spread = np.maximum(half[:2] / scale - side / 2, 0) + 2
    offset = rng.uniform(-spread, spread) - side / 2
    follows = rng.random() < 0.5
    corners = np.rint((centers if follows else centers[-1:].repeat(len(centers), 0)) + offset).astype(int)
    low = np.array((cell.x, cell.y))
    high = low + np.maximum(0, np.array((cell.width, cell.height)) - side)
    high = np.minimum(high, np.array(FRAME_WH) - side)
    return [(int(x), int(y)) for x, y in np.clip(corners, low, high)]


def _motions(face: FilteredFace, times: Sequence[int], windows: Windows, scale: int) -> Floats:
    """(T, 2, 3) positions in the crop of each time -> in the last one, pixel centers at whole numbers."""
    to_face = [_crop_to_face(face, time, window, scale) for time, window in zip(times, windows, strict=True)]
    from_face = np.linalg.inv(to_face[-1])
    return np.stack([from_face @ matrix for matrix in to_face])[:, :2].astype(np.float32)


def _crop_to_face(face: FilteredFace, time: int, window: tuple[int, int], scale: int) -> NDArray[np.float64]:
    """(3, 3) positions in a crop -> in the picture of the face."""
    center = (scale - 1) / 2
    to_frame = np.array(((scale, 0, scale * window[0] + center), (0, scale, scale * window[1] + center), (0, 0, 1.0)))
    return np.asarray(np.linalg.inv(np.vstack((face.place(time), (0, 0, 1)))) @ to_frame)


def _registered(crops: Images, windows: Windows) -> tuple[Floats, Floats]:
    """Motions (T, 2, 3) and correlations (T,) as at inference, see `Tracks`."""
    history, correlations = None, []
    for crop, window in zip(crops, windows, strict=True):
        history = extended(history, np.ascontiguousarray(crop), window, len(crops))
        correlations.append(history.correlation)
    return motions_of(history, len(crops)), np.array(correlations, np.float32)

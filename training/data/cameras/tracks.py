"""Tracks recorded by simulated cameras: the last crops of a face, the truth of the newest, and the motion between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .background import Backgrounds
from .chain import KINDS, Chain, random_chain
from .codec import recode
from .head_motion import HeadMotion, expressions, random_head_motion, random_stages
from .pairs import Images, face_side, resized
from .render import FilteredFace, draw_low, draw_truth, filter_face, pixel_kernel
from .sensor import expose, rounded
from .sequences import FRAME_WH, LENS_SIGMA, MARGIN, Cell, cells_for
from ..optics import random_blur_kernel

FRAMES = 7
"""Crops of a track."""
MAX_EARLIER = 6
"""Frames before the first crop at most: the codec has a past."""
EXPRESSIVE = 0.3
"""Share of the faces that blink or speak."""
TRACK_KINDS = {"clean": 0.2, "raw": 0.05, "jpeg": 0.05, "h264": 0.6, "h265": 0.06, "mjpeg": 0.04}
"""Kinds of chains, with their probabilities: single pictures are rarer than in pairs."""
Landmarks = Callable[[Images], NDArray[np.float32] | None]
"""Five points of the face of a picture, (5, 2) pixels; None where there is none."""


class Tracks(NamedTuple):
    """Crops of tracks.

    Args:
        lr: (n, T, s, s, 3) uint8 BGR, the newest last.
        hr: (n, k·s, k·s, 3) uint8 BGR, the truth of the newest.
        motions: (n, T, 2, 3) float32, positions in a crop -> in the newest crop, pixels.
    """

    lr: Images
    hr: Images
    motions: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LivingFace:
    """A face with an expression.

    Args:
        stages: the face at rest, and in further stages of the expression, all with the same motion.
        at_time: the stage of each frame.
    """

    stages: tuple[FilteredFace, ...]
    at_time: tuple[int, ...]

    def at(self, time: int) -> FilteredFace:
        """The face in a frame."""
        return self.stages[self.at_time[time]] if self.at_time else self.stages[0]


def random_track_chain(rng: np.random.Generator) -> Chain:
    """A chain of `FRAMES` frames and a few earlier ones."""
    chain = random_chain(rng, TRACK_KINDS)
    return replace(chain, frames=FRAMES + int(rng.integers(MAX_EARLIER + 1)))


def draw_tracks(
    portraits: Sequence[Images],
    large: Sequence[Images],
    landmarks: Landmarks,
    backgrounds: Backgrounds,
    scale: int,
    side: int,
    rng: np.random.Generator,
) -> Tracks:
    """Tracks of one random sequence; see `pairs.draw_pairs` for the arguments."""
    chain = random_track_chain(rng)
    from_large = len(large) > 0 and (not len(portraits) or rng.random() < 0.25)
    pool = large if from_large else portraits
    side_hr = face_side(pool, scale, from_large, rng)
    pool = [picture for picture in pool if min(picture.shape[:2]) >= side_hr] or list(pool)
    cells = cells_for(side_hr // scale, rng)
    pictures = [resized(pool[int(i)], side_hr, rng) for i in rng.integers(len(pool), size=len(cells))]
    motions = [motion_in(cell, scale, chain.frames, rng) for cell in cells]
    return record_tracks(pictures, landmarks, EXPRESSIVE, cells, motions, chain, backgrounds, scale, side, rng)


def motion_in(cell: Cell, scale: int, frames: int, rng: np.random.Generator) -> HeadMotion:
    """A random motion that ends near the center of a cell."""
    center = (scale * (cell.x + cell.width / 2) - 0.5, scale * (cell.y + cell.height / 2) - 0.5)
    shift = rng.uniform(-0.3, 0.3, 2) * MARGIN * scale
    max_speed = scale * min(1.5, 1.5 * MARGIN / frames)
    return random_head_motion((center[0] + shift[0], center[1] + shift[1]), frames - 1, max_speed, scale, rng)


def record_tracks(
    pictures: Sequence[Images],
    landmarks: Landmarks,
    expressive: float,
    cells: Sequence[Cell],
    motions: Sequence[HeadMotion],
    chain: Chain,
    backgrounds: Backgrounds,
    scale: int,
    side: int,
    rng: np.random.Generator,
) -> Tracks:
    """Record pictures, one in each cell, and crop a track of each."""
    faces = [
        _living(picture, motion, landmarks, expressive, chain, scale, rng)
        for picture, motion in zip(pictures, motions, strict=True)
    ]
    background = backgrounds.draw(*FRAME_WH, scale, LENS_SIGMA * chain.blur, rng)
    coded = np.empty((chain.frames, *background.low.shape), np.uint8)
    previous = None
    for time in range(chain.frames):
        light = background.low.copy()
        for face, cell in zip(faces, cells, strict=True):
            draw_low(light, face.at(time), time, scale, cell.xywh)
        if chain.drift:
            light *= np.float32(1 + chain.drift * time)
        previous = expose(light, chain.sensor, previous, rng)
        coded[time] = rounded(previous)
    last = range(chain.frames - FRAMES, chain.frames)
    for generation, codec in enumerate(chain.codecs, 1):
        coded = recode(coded, codec, last if generation == len(chain.codecs) else range(chain.frames))
    if not chain.codecs:
        coded = coded[-FRAMES:]
    end = chain.frames - 1
    gain = np.float32(chain.sensor.gain * (1 + chain.drift * end))
    lr, hr, maps = [], [], []
    for face, cell in zip(faces, cells, strict=True):
        windows = _windows(face.stages[0], cell, chain.frames, scale, side, rng)
        lr.append(np.stack([frame[y : y + side, x : x + side] for frame, (x, y) in zip(coded, windows, strict=True)]))
        x, y = windows[-1]
        truth = background.window(scale * x, scale * y, scale * side)
        draw_truth(truth, face.at(end), end, (scale * x, scale * y))
        hr.append(rounded(gain * truth))
        maps.append(_motions(face.stages[0], last, windows, scale))
    return Tracks(np.stack(lr), np.stack(hr), np.stack(maps))


def _living(
    picture: Images, motion: HeadMotion, landmarks: Landmarks, expressive: float, chain: Chain, scale: int, rng: np.random.Generator
) -> LivingFace:
    taps = pixel_kernel(chain.pixel_filter, scale)
    lens = random_blur_kernel(scale, chain.blur, rng) if chain.blur else None
    stages, at_time = [picture], ()
    if rng.random() < expressive:
        mouth = bool(rng.random() < 0.5)
        at_time = tuple(random_stages(chain.frames, mouth, rng))
        points = landmarks(picture) if any(at_time) else None
        if points is None:
            at_time = ()
        else:
            stages = expressions(picture, points, mouth)
    return LivingFace(tuple(filter_face(stage, motion, taps, lens) for stage in stages), at_time)  # type: ignore[arg-type]


def _windows(
    face: FilteredFace, cell: Cell, frames: int, scale: int, side: int, rng: np.random.Generator
) -> list[tuple[int, int]]:
    """Corners of the windows of the last frames: they follow the face, or stay where they are."""
    half = np.array((*(np.array(face.sharp.shape[1::-1]) / 2), 1))
    centers = np.stack([face.place(time) @ half / scale for time in range(frames - FRAMES, frames)])
    spread = np.maximum(half[:2] / scale - side / 2, 0) + 2
    offset = rng.uniform(-spread, spread) - side / 2
    follows = rng.random() < 0.5
    corners = np.rint((centers if follows else centers[-1:].repeat(FRAMES, 0)) + offset).astype(int)
    low = np.array((cell.x, cell.y))
    high = low + np.maximum(0, np.array((cell.width, cell.height)) - side)
    high = np.minimum(high, np.array(FRAME_WH) - side)
    return [(int(x), int(y)) for x, y in np.clip(corners, low, high)]


def _motions(face: FilteredFace, times: range, windows: Sequence[tuple[int, int]], scale: int) -> NDArray[np.float32]:
    """(T, 2, 3) positions in the crop of each time -> in the last one, pixel centers at whole numbers."""
    center = (scale - 1) / 2
    newest = _crop_to_face(face, times[-1], windows[-1], scale, center)
    maps = [np.linalg.inv(newest) @ _crop_to_face(face, time, window, scale, center) for time, window in zip(times, windows, strict=True)]
    return np.stack(maps)[:, :2].astype(np.float32)


def _crop_to_face(face: FilteredFace, time: int, window: tuple[int, int], scale: int, center: float) -> NDArray[np.float64]:
    """(3, 3) positions in a crop -> in the picture of the face."""
    to_frame = np.array(((scale, 0, scale * window[0] + center), (0, scale, scale * window[1] + center), (0, 0, 1.0)))
    return np.linalg.inv(np.vstack((face.place(time), (0, 0, 1)))) @ to_frame

"""Ways to find the motion of a face from one crop of a track to the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from facesr_edge.engines.multiframe.history import History, extended
from facesr_edge.engines.multiframe.registration import (
    IDENTITY,
    Affine,
    compose,
    inverse,
    luma,
    register,
    shift,
    template,
)
from numpy.typing import NDArray

from .recording import Track

Step = Callable[[Track, int], Affine | None]
"""Track, number of a crop -> motion to the next crop; None if the method has no answer."""
ECC_STEPS, ECC_EPSILON = 50, 1e-4
LK_GRID, LK_WINDOW, LK_LEVELS = 6, 13, 1
"""Points of Lucas and Kanade per axis, side of their windows in pixels, and halvings."""
RANSAC_PX = 0.5
FACE = 0.35
"""Blocks whose centers are within that distance of the center of the crop, in sides on both axes, are the face's."""


def none(track: Track, number: int) -> Affine | None:
    """The windows follow the face."""
    return IDENTITY


def windows(track: Track, number: int) -> Affine:
    """The face stays where it is in the frame."""
    x, y = (track.corners[number] - track.corners[number + 1]).tolist()
    return shift(x, y)


def ecc(track: Track, number: int) -> Affine | None:
    """OpenCV's maximization of the enhanced correlation coefficient."""
    first, second = (cv2.GaussianBlur(luma(crop), (3, 3), 0.5) for crop in track.crops[number : number + 2])
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ECC_STEPS, ECC_EPSILON)
    start: Any = np.eye(2, 3, dtype=np.float32)
    maximize: Any = cv2.findTransformECC
    try:
        _, matrix = maximize(first, second, start, cv2.MOTION_AFFINE, criteria, None, 1)
    except cv2.error:  # it does not converge
        return None
    return _affine(matrix)


def lucas_kanade(track: Track, number: int) -> Affine | None:
    """OpenCV's optical flow at a grid of points, and an affine motion by RANSAC."""
    first, second = (cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY) for crop in track.crops[number : number + 2])
    line = np.linspace(0.2, 0.8, LK_GRID, dtype=np.float32) * (len(first) - 1)
    points = np.stack(np.meshgrid(line, line), -1).reshape(-1, 1, 2)
    flow: Any = cv2.calcOpticalFlowPyrLK
    moved, good, _ = flow(first, second, points, None, winSize=(LK_WINDOW, LK_WINDOW), maxLevel=LK_LEVELS)
    return _fitted(points[:, 0], moved[:, 0], good.ravel() > 0)


def vectors_mean(track: Track, number: int) -> Affine | None:
    """Mean motion vector of the decoder in the face."""
    source, target, area = _vectors(track, number)
    if not len(area):
        return None
    x, y = np.average(target - source, axis=0, weights=area).tolist()
    return shift(x, y)


def vectors_affine(track: Track, number: int) -> Affine | None:
    """Affine motion of the decoder's motion vectors in the face; the mean one of fewer than four."""
    source, target, area = _vectors(track, number)
    if len(area) < 4:
        return vectors_mean(track, number)
    return _fitted(source.astype(np.float32), target.astype(np.float32), np.ones(len(area), bool))


def landmarks(track: Track, number: int) -> Affine | None:
    """Similarity of the five landmarks, by least squares."""
    first, second = track.landmarks[number], track.landmarks[number + 1]
    if first is None or second is None:
        return None
    x, y, one, zero = first[:, 0], first[:, 1], np.ones(5), np.zeros(5)
    rows = np.concatenate((np.stack((x, -y, one, zero), 1), np.stack((y, x, zero, one), 1)))
    a, b, c, f = np.linalg.lstsq(rows, second.T.ravel(), rcond=None)[0].tolist()
    return a, -b, c, b, a, f


def own_after_vectors(track: Track, number: int) -> Affine | None:
    """The registration of the package, from the mean motion vector."""
    first, second = (template(luma(crop)) for crop in track.crops[number : number + 2])
    found = register(first, second, (vectors_mean(track, number) or IDENTITY,))
    return None if found.failed else found.motion


@dataclass
class Own:
    """The registration of the package, as histories use it."""

    history: History | None = None

    def __call__(self, track: Track, number: int) -> Affine | None:
        """See `Step`; the numbers come in order."""
        if number == 0:
            self.history = extended(None, track.crops[0], _corner(track, 0), 2)
        self.history = extended(self.history, track.crops[number + 1], _corner(track, number + 1), 2)
        if len(self.history.crops) < 2:
            return None
        before, newest = self.history.crops[-2:]
        return compose(inverse(newest.to_key), before.to_key)


METHODS: dict[str, Step] = {
    "none": none,
    "window positions": windows,
    "landmarks": landmarks,
    "motion vectors, mean": vectors_mean,
    "motion vectors, affine": vectors_affine,
    "Lucas-Kanade + RANSAC": lucas_kanade,
    "ECC, affine": ecc,
    "ours from motion vectors": own_after_vectors,
    "ours": Own(),
}


def _corner(track: Track, number: int) -> tuple[int, int]:
    x, y = track.corners[number].tolist()
    return x, y


def _vectors(track: Track, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Centers of the face's blocks, (n, 2) in the first and in the second crop, and their areas, (n,)."""
    vectors = track.vectors[number + 1]
    empty = np.zeros((0, 2))
    if not len(vectors):
        return empty, empty, np.zeros(0)
    vectors = vectors[vectors["source"] < 0]
    target = np.stack((vectors["dst_x"], vectors["dst_y"]), 1) - 0.5 - track.corners[number + 1]
    side = track.crops.shape[1]
    inside = (np.abs(target - (side - 1) / 2) < FACE * side).all(1)
    vectors, target = vectors[inside], target[inside]
    motion = np.stack((vectors["motion_x"], vectors["motion_y"]), 1) / np.maximum(vectors["motion_scale"], 1)[:, None]
    source = target + motion + track.corners[number + 1] - track.corners[number]
    return source, target, vectors["w"].astype(float) * vectors["h"]


def _fitted(source: Any, target: Any, good: NDArray[np.bool_]) -> Affine | None:
    if good.sum() < 3:
        return None
    matrix = cv2.estimateAffine2D(source[good], target[good], ransacReprojThreshold=RANSAC_PX)[0]
    return None if matrix is None else _affine(matrix)


def _affine(matrix: Any) -> Affine | None:
    a, b, c, d, e, f = np.asarray(matrix, float).ravel().tolist()
    return (a, b, c, d, e, f) if abs(a * e - b * d) > 1e-3 else None

"""Mosaics of labelled pictures: pieces at random scales, angles and colours, side by side, and the faces in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engines.errors import InputError, TrainingError

Picture = NDArray[np.uint8]
Draw = np.random.Generator
SIDE_PX = (6.0, 8.0, 100.0, 200.0)
"""Sides of the faces that pieces are cut round: half of them within the inner pair, the rest within the outer one."""
SHARES = {"scene": 0.5, "portrait": 0.44, "sheet": 0.06}
"""How often a piece comes from each kind of picture. With portraits alone, natural scenes were full of false alarms."""
MIRROR = [2, 3, 0, 1, 4, 5, 8, 9, 6, 7]
"""Landmarks (eye, eye, nose, mouth corner, mouth corner) after a flip: left and right change places."""
SEEN, GONE = 0.7, 0.3
"""Share of a face in its piece: from the first on it is a face, up to the second background, between uncertain."""


@dataclass(frozen=True)
class Labelled:
    """Faces of one picture.

    Args:
        boxes_xyxy: (n, 4) float32, pixels.
        landmarks: (n, 10) float32, x, y of five points, pixels.
        certain: (n,) bool; the others are neither face nor background.
    """

    boxes_xyxy: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    certain: NDArray[np.bool_]


class Mosaics:
    """Draws mosaics; decodes each picture once and keeps it.

    Args:
        images: folder of pictures.
        labels: their faces, by name; a name up to its first underscore is its kind, a key of `SHARES`.
        side: of a mosaic in pixels.

    Raises:
        TrainingError: there are no pictures of a known kind.
    """

    def __init__(self, images: Path, labels: dict[str, Labelled], side: int) -> None:
        self.images, self.labels, self.side = images, labels, side
        kinds = {kind: sorted(name for name in labels if name.split("_")[0] == kind) for kind in SHARES}
        self.kinds = {kind: names for kind, names in kinds.items() if names}
        if not self.kinds:
            raise TrainingError(f"no training pictures in {images}; names must start with one of {', '.join(SHARES)}")
        self._decoded: dict[str, list[Picture]] = {}

    def draw(self, rng: Draw) -> tuple[Picture, Labelled]:
        """A picture (side, side, 3) BGR of one to sixteen pieces, and the faces in it."""
        count = int(rng.choice([1, 2, 3, 4], p=[0.3, 0.36, 0.22, 0.12]))
        columns, rows = self._cuts(rng, count), self._cuts(rng, count)
        canvas, parts = np.empty((self.side, self.side, 3), np.uint8), []
        for x0, x1 in pairwise(columns):
            for y0, y1 in pairwise(rows):
                canvas[y0:y1, x0:x1], faces = self._piece(rng, x1 - x0, y1 - y0)
                parts.append(moved(faces, np.eye(2), np.array([x0, y0])))
        return degraded(canvas, rng), joined(parts)

    def _cuts(self, rng: Draw, count: int) -> list[int]:
        """Where a side is cut into ``count`` pieces of roughly equal length."""
        cuts = np.arange(count + 1) * self.side // count
        cuts[1:-1] += rng.integers(-self.side // (4 * count), self.side // (4 * count) + 1, count - 1)
        return [int(cut) for cut in cuts]

    def _piece(self, rng: Draw, width: int, height: int) -> tuple[Picture, Labelled]:
        """A piece of a random picture, turned and scaled round a random face of it, or round a random point."""
        shares = np.array([SHARES[kind] for kind in self.kinds])
        names = list(self.kinds.values())[int(rng.choice(len(shares), p=shares / shares.sum()))]
        name = names[int(rng.integers(len(names)))]
        levels, faces = self._levels(name), self.labels[name]
        if faces.certain.any():
            box = faces.boxes_xyxy[rng.choice(np.flatnonzero(faces.certain))]
            low, high = SIDE_PX[1:3] if rng.random() < 0.5 else SIDE_PX[::3]
            least = min(width, height)
            low = max(low, 0.07 * least)  # small faces in small pieces, or most of the mosaic would be empty
            high = max(low + 1, min(high, 0.9 * least))
            scale = float(np.exp(rng.uniform(np.log(low), np.log(high))) / np.sqrt((box[2:] - box[:2]).prod()))
            anchor = (box[:2] + box[2:]) / 2
        else:
            scale = float(np.exp(rng.uniform(np.log(0.3), np.log(1.5))))
            anchor = rng.uniform((0, 0), levels[0].shape[1::-1])
        scale = min(scale, 2.0)  # beyond, faces too small to have been labelled would come into view
        angle = np.deg2rad(rng.normal(0, 8))
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = rng.uniform(0.2, 0.8, 2) * (width, height) - turn @ anchor
        level = int(np.clip(np.floor(-np.log2(scale)), 0, len(levels) - 1))
        # labels count pixels from the picture's corner, warpAffine from the middle of the first pixel
        onto = np.column_stack((turn * 2**level, shift + turn.sum(1) * 2**level / 2 - 0.5))
        # beyond the picture comes its mirror image, unless that would show faces twice
        edge = cv2.BORDER_CONSTANT if len(faces.certain) else cv2.BORDER_REFLECT_101
        colour = rng.integers(0, 256, 3).tolist()
        piece: Any = cv2.warpAffine(levels[level], onto, (width, height), None, cv2.INTER_LINEAR, edge, colour)
        seen = cropped(moved(faces, turn, shift), width, height)
        if rng.random() < 0.5:
            piece, seen = piece[:, ::-1], flipped(seen, width)
        if not len(faces.certain) and rng.random() < 0.3:
            piece = piece[::-1]  # background has no up
        return recoloured(np.ascontiguousarray(piece), rng), seen

    def _levels(self, name: str) -> list[Picture]:
        """A picture, its half, its quarter; a piece is cut from the level just above its scale, against aliasing."""
        if name not in self._decoded:
            levels = [read_picture(self.images / name)]
            while min(levels[-1].shape[:2]) >= 32:
                height, width = (length // 2 for length in levels[-1].shape[:2])
                even: Any = levels[-1][: 2 * height, : 2 * width]
                levels.append(np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8))
            self._decoded[name] = levels
        return self._decoded[name]


def read_picture(path: Path) -> Picture:
    """(H, W, 3) uint8 BGR."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise InputError(f"{path} is missing or is not a picture")
    return np.asarray(picture, np.uint8)


def joined(parts: Sequence[Labelled]) -> Labelled:
    """The faces of all parts, in order."""
    return Labelled(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Labelled)))


def moved(faces: Labelled, turn: NDArray[Any], shift: NDArray[Any]) -> Labelled:
    """Points p become ``turn @ p + shift``; boxes scale and move with their centre but stay upright."""
    boxes, points = faces.boxes_xyxy.reshape(-1, 2, 2), faces.landmarks.reshape(-1, 5, 2)
    centre = boxes.mean(1) @ turn.T + shift  # (n, 2)
    half = (boxes[:, 1] - boxes[:, 0]) / 2 * np.sqrt(np.linalg.det(turn))
    return Labelled(
        np.concatenate((centre - half, centre + half), 1).astype(np.float32),
        (points @ turn.T + shift).reshape(-1, 10).astype(np.float32),
        faces.certain,
    )


def cropped(faces: Labelled, width: int, height: int) -> Labelled:
    """Faces within (width, height): boxes are cut at the edge; see `SEEN` for what becomes of those mostly outside.

    A face smaller than the least of `SIDE_PX` is uncertain: too little of it is left to ask for it.
    """
    boxes = faces.boxes_xyxy.reshape(-1, 2, 2)
    inside = np.clip(boxes, 0, (width, height))
    share = (inside[:, 1] - inside[:, 0]).prod(1) / (boxes[:, 1] - boxes[:, 0]).prod(1)
    certain = faces.certain & (share >= SEEN) & ((boxes[:, 1] - boxes[:, 0]).min(1) >= SIDE_PX[0])
    keep = share > GONE
    return Labelled(inside.reshape(-1, 4)[keep].astype(np.float32), faces.landmarks[keep], certain[keep])


def flipped(faces: Labelled, width: int) -> Labelled:
    """Faces of the mirrored picture; a left eye becomes a right eye."""
    points = faces.landmarks[:, MIRROR]
    points[:, ::2] = width - points[:, ::2]
    boxes = faces.boxes_xyxy[:, [2, 1, 0, 3]]
    boxes[:, ::2] = width - boxes[:, ::2]
    return Labelled(boxes, points, faces.certain)


def recoloured(piece: Picture, rng: Draw) -> Picture:
    """Brightness, contrast, gamma and white balance changed at random; one piece in ten becomes grey."""
    ramp = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25))  # (256, 1)
    ramp = (ramp - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.1)
    ramp = ramp * np.exp(rng.normal(0, 0.07, 3))  # (256, 3), one column a channel
    table = np.clip(ramp * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        piece = np.repeat(np.asarray(cv2.cvtColor(piece, cv2.COLOR_BGR2GRAY))[..., None], 3, 2)
    return np.asarray(cv2.LUT(piece, table[None]), np.uint8)


def degraded(picture: Picture, rng: Draw) -> Picture:
    """What cameras and codecs do, each now and then: blur, noise, JPEG."""
    result: Any = picture
    if rng.random() < 0.12:
        result = cv2.GaussianBlur(result, (0, 0), float(rng.uniform(0.4, 1.2)))
    if rng.random() < 0.15:
        noise = rng.standard_normal(result.shape, np.float32) * np.float32(rng.uniform(2, 12))
        result = np.clip(result + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = int(rng.integers(30, 91))
        result = cv2.imdecode(cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return np.asarray(result, np.uint8)

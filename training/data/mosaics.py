"""Mosaics of labelled pictures: pieces at random scales, angles and colours, side by side, and the faces in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.data.detection import LabelledFaces, Scene
from ...engines.errors import TrainingError
from .augment import Draw, Picture, color_jitter

SIDE_PX = (6.0, 8.0, 100.0, 300.0)
"""Sides of the faces that pieces are cut round: half of them within the inner pair, the rest within the outer one."""
SHARES = {"portrait": 0.34, "sheet": 0.06, "scene": 0.34, "background": 0.26}
"""How often a piece comes from each kind of picture; a background is a scene in which no face is certain. Drawn as they
come, portraits are seven in ten, and natural scenes are full of false alarms."""
RESCALE = (0.3, 1.5)
"""Scale of a piece that is cut round no face."""
MINED = 0.25
"""How often a piece is cut round one of the `Mosaics.spots`, once there are any."""
SEEN, GONE = 0.7, 0.3
"""Share of a face in its piece: from the first on it is a face, up to the second background, between uncertain."""


@dataclass(frozen=True)
class HardExample:
    """A place where the network is wrong: pieces are cut round it more often than round others.

    Args:
        name: of the picture.
        centre_xy: in its pixels.
    """

    name: str
    centre_xy: tuple[float, float]


class Mosaics:
    """Draws mosaics; decodes each picture once and keeps it.

    Args:
        scenes: of the kinds "portrait", "sheet" and "scene".

    Raises:
        TrainingError: there are no pictures of a known kind.
    """

    def __init__(self, scenes: list[Scene]) -> None:
        self.scenes = {scene.name: scene for scene in scenes}
        kinds = {kind: [scene.name for scene in scenes if share_of(scene) == kind] for kind in SHARES}
        self.kinds = {kind: names for kind, names in kinds.items() if names}
        if not self.kinds:
            raise TrainingError("no training pictures; their names must start with portrait_, scene_ or sheet_")
        self.faceless = [name for name in self.kinds.get("background", ()) if not len(self.scenes[name].faces)]
        self.spots: tuple[HardExample, ...] = ()
        self._decoded: dict[str, list[Picture]] = {}

    def draw(self, rng: Draw, side: int) -> tuple[Picture, LabelledFaces]:
        """A picture (side, side, 3) BGR of one to sixteen pieces, and the faces in it."""
        count = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.35, 0.27, 0.18]))
        columns, rows = cuts(rng, side, count), cuts(rng, side, count)
        canvas, parts = np.empty((side, side, 3), np.uint8), []
        for x0, x1 in pairwise(columns):
            for y0, y1 in pairwise(rows):
                canvas[y0:y1, x0:x1], faces = self._piece(rng, x1 - x0, y1 - y0)
                parts.append(moved(faces, np.eye(2), np.array([x0, y0])))
        return canvas, joined(parts)

    def _piece(self, rng: Draw, width: int, height: int) -> tuple[Picture, LabelledFaces]:
        """A piece of a random picture, turned and scaled round a random face of it, or round a random point."""
        name, anchor = self._subject(rng)
        levels, faces = self._levels(name), self.scenes[name].faces
        crowded = name.startswith("scene") and rng.random() < 0.3  # scenes are also seen away from their faces
        scale = float(np.exp(rng.uniform(*np.log(RESCALE))))
        if anchor is None and faces.certain.any() and not crowded:
            box = faces.boxes_xyxy[rng.choice(np.flatnonzero(faces.certain))]
            low, high = SIDE_PX[1:3] if rng.random() < 0.5 else SIDE_PX[::3]
            least = min(width, height)
            low = max(low, 0.07 * least)  # small faces in small pieces, or most of the mosaic would be empty
            high = max(low + 1, min(high, 0.9 * least))
            scale = float(np.exp(rng.uniform(np.log(low), np.log(high))) / np.sqrt((box[2:] - box[:2]).prod()))
            anchor = (box[:2] + box[2:]) / 2
        elif anchor is None:
            anchor = rng.uniform((0, 0), levels[0].shape[1::-1])
        # beyond, faces too small to have been labelled would come into view
        scale = min(scale, 4.0 if name.startswith("portrait") else 2.0)
        angle = np.deg2rad(rng.normal(0, 8))
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = rng.uniform(0.2, 0.8, 2) * (width, height) - turn @ anchor
        level = int(np.clip(np.floor(-np.log2(scale)), 0, len(levels) - 1))
        # labels count pixels from the picture's corner, warpAffine from the middle of the first pixel
        onto = np.column_stack((turn * 2**level, shift + turn.sum(1) * 2**level / 2 - 0.5))
        # beyond a picture with faces comes a background; beyond another its mirror image
        edge = cv2.BORDER_TRANSPARENT if len(faces.certain) else cv2.BORDER_REFLECT_101
        piece: Any = self._ground(rng, width, height) if len(faces.certain) else None
        piece = cv2.warpAffine(levels[level], onto, (width, height), piece, cv2.INTER_LINEAR, edge)
        seen = cropped(moved(faces, turn, shift), width, height)
        if rng.random() < 0.5:
            piece, seen = piece[:, ::-1], seen.mirrored(width)
        if not len(faces.certain) and rng.random() < 0.3:
            piece = piece[::-1]  # background has no up
        return color_jitter(np.ascontiguousarray(piece), rng), seen

    def _ground(self, rng: Draw, width: int, height: int) -> Picture:
        """A piece of a scene without a face; of one colour where there is no such scene."""
        if not self.faceless:
            return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
        levels = self._levels(self.faceless[int(rng.integers(len(self.faceless)))])
        level = levels[int(rng.integers(min(2, len(levels))))]
        y = int(rng.integers(max(1, level.shape[0] - height)))
        x = int(rng.integers(max(1, level.shape[1] - width)))
        part: Any = level[y : y + height, x : x + width]
        missing = (height - part.shape[0], width - part.shape[1])
        return np.asarray(cv2.copyMakeBorder(part, 0, missing[0], 0, missing[1], cv2.BORDER_REFLECT), np.uint8)

    def _subject(self, rng: Draw) -> tuple[str, NDArray[Any] | None]:
        """A picture to cut a piece of, and the point to cut it round where a spot was drawn."""
        if self.spots and rng.random() < MINED:
            spot = self.spots[int(rng.integers(len(self.spots)))]
            return spot.name, np.array(spot.centre_xy) + rng.normal(0, 8, 2)
        shares = np.array([SHARES[kind] for kind in self.kinds])
        names = list(self.kinds.values())[int(rng.choice(len(shares), p=shares / shares.sum()))]
        return names[int(rng.integers(len(names)))], None

    def whole(self, name: str) -> Picture:
        """A picture at its full size."""
        return self._levels(name)[0]

    def _levels(self, name: str) -> list[Picture]:
        """A picture, its half, its quarter; a piece is cut from the level just above its scale, against aliasing."""
        if name not in self._decoded:
            levels = [self.scenes[name].read()]
            while min(levels[-1].shape[:2]) >= 32:
                height, width = (length // 2 for length in levels[-1].shape[:2])
                even: Any = levels[-1][: 2 * height, : 2 * width]
                levels.append(np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8))
            self._decoded[name] = levels
        return self._decoded[name]


def share_of(scene: Scene) -> str:
    """A key of `SHARES`, or something else."""
    return "background" if scene.kind == "scene" and not scene.faces.certain.any() else scene.kind


def cuts(rng: Draw, side: int, count: int) -> list[int]:
    """Where a side is cut into ``count`` pieces of roughly equal length."""
    at = np.arange(count + 1) * side // count
    at[1:-1] += rng.integers(-side // (4 * count), side // (4 * count) + 1, count - 1)
    return [int(cut) for cut in at]


def joined(parts: Sequence[LabelledFaces]) -> LabelledFaces:
    """The faces of all parts, in order."""
    return LabelledFaces(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(LabelledFaces))
    )


def moved(faces: LabelledFaces, turn: NDArray[Any], shift: NDArray[Any]) -> LabelledFaces:
    """Points p become ``turn @ p + shift``; boxes scale and move with their centre but stay upright."""
    boxes, points = faces.boxes_xyxy.reshape(-1, 2, 2), faces.landmarks.reshape(-1, 5, 2)
    centre = boxes.mean(1) @ turn.T + shift  # (n, 2)
    half = (boxes[:, 1] - boxes[:, 0]) / 2 * np.sqrt(np.linalg.det(turn))
    return LabelledFaces(
        np.concatenate((centre - half, centre + half), 1).astype(np.float32),
        (points @ turn.T + shift).reshape(-1, 10).astype(np.float32),
        faces.certain,
    )


def cropped(faces: LabelledFaces, width: int, height: int) -> LabelledFaces:
    """Faces within (width, height): boxes are cut at the edge; see `SEEN` for what becomes of those mostly outside.

    A face smaller than the least of `SIDE_PX` is uncertain: too little of it is left to ask for it.
    """
    boxes = faces.boxes_xyxy.reshape(-1, 2, 2)
    inside = np.clip(boxes, 0, (width, height))
    share = (inside[:, 1] - inside[:, 0]).prod(1) / (boxes[:, 1] - boxes[:, 0]).prod(1)
    certain = faces.certain & (share >= SEEN) & ((boxes[:, 1] - boxes[:, 0]).min(1) >= SIDE_PX[0])
    keep = share > GONE
    return LabelledFaces(inside.reshape(-1, 4)[keep].astype(np.float32), faces.landmarks[keep], certain[keep])

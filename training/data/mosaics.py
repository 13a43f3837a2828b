"""Mosaic augmentation for the detector: pieces of labeled pictures at random scales, rotations and colors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.data.detection import LabeledFaces, Scene
from ...engines.errors import TrainingError
from .augment import Picture, color_jitter

FACE_SIDES = (6.0, 8.0, 100.0, 300.0)
"""Sides in pixels of faces that pieces are centered on: half of them within the inner pair, others within the outer."""
KIND_PROBABILITIES = {"portrait": 0.16, "sheet": 0.06, "event": 0.34, "scene": 0.22, "background": 0.22}
"""Kinds of pictures that pieces come from; a background is a scene without a certain face. In proportion to the data,
seven of ten would be portraits, and detectors would have many false positives in natural scenes."""
SCALES = (0.3, 1.5)
"""Scales of pieces that are not centered on a face."""
HARD_EXAMPLE_PROBABILITY = 0.25
"""Probability that a piece is centered on one of `Mosaics.hard_examples`, if there are any."""
FACE_VISIBILITY, BACKGROUND_VISIBILITY = 0.7, 0.3
"""Visible fraction of a face from which on it counts as a face, and up to which as background; uncertain between."""


@dataclass(frozen=True)
class HardExample:
    """File name of a training scene and position of a detection error in pixels, for hard example mining."""

    name: str
    center_xy: tuple[float, float]


class Mosaics:
    """Mosaics of pictures of the kinds "portrait", "sheet", "event" and "scene".

    All decoded pictures are kept in memory.

    Raises:
        TrainingError: no picture has a known kind.
    """

    def __init__(self, scenes: list[Scene]) -> None:
        self.scenes = {scene.name: scene for scene in scenes}
        kinds = {kind: [scene.name for scene in scenes if scene_kind(scene) == kind] for kind in KIND_PROBABILITIES}
        self.kinds = {kind: names for kind, names in kinds.items() if names}
        if not self.kinds:
            raise TrainingError("no training pictures; their names must start with portrait_, event_, scene_ or sheet_")
        self.faceless = [name for name in self.kinds.get("background", ()) if not len(self.scenes[name].faces)]
        self.hard_examples: tuple[HardExample, ...] = ()
        self._pyramids: dict[str, list[Picture]] = {}

    def draw(self, rng: np.random.Generator, side: int) -> tuple[Picture, LabeledFaces]:
        """A mosaic (side, side, 3) BGR of 1 to 16 pieces, and its faces."""
        count = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.35, 0.27, 0.18]))
        columns, rows = split_points(rng, side, count), split_points(rng, side, count)
        canvas, parts = np.empty((side, side, 3), np.uint8), []
        for x0, x1 in pairwise(columns):
            for y0, y1 in pairwise(rows):
                canvas[y0:y1, x0:x1], faces = self._piece(rng, x1 - x0, y1 - y0)
                parts.append(transform_faces(faces, np.eye(2), np.array([x0, y0])))
        return canvas, concatenate_faces(parts)

    def _piece(self, rng: np.random.Generator, width: int, height: int) -> tuple[Picture, LabeledFaces]:
        """A piece of a random picture, rotated and scaled about a random face of it, or about a random point."""
        name, anchor = self._choose_picture(rng)
        levels, faces = self._pyramid(name), self.scenes[name].faces
        # scenes and events are also cropped away from their faces
        ignore_faces = name.startswith(("scene", "event")) and rng.random() < 0.3
        scale = float(np.exp(rng.uniform(*np.log(SCALES))))
        if anchor is None and faces.certain.any() and not ignore_faces:
            box = faces.boxes_xyxy[rng.choice(np.flatnonzero(faces.certain))]
            low, high = FACE_SIDES[1:3] if rng.random() < 0.5 else FACE_SIDES[::3]
            piece_side = min(width, height)
            low = max(low, 0.07 * piece_side)  # small faces in small pieces, or most of the mosaic would be empty
            high = max(low + 1, min(high, 0.9 * piece_side))
            scale = float(np.exp(rng.uniform(np.log(low), np.log(high))) / np.sqrt((box[2:] - box[:2]).prod()))
            anchor = (box[:2] + box[2:]) / 2
        elif anchor is None:
            anchor = rng.uniform((0, 0), levels[0].shape[1::-1])
        # at larger scales, faces that were too small to be labeled would become visible
        scale = min(scale, 4.0 if name.startswith("portrait") else 2.0)
        angle = np.deg2rad(rng.normal(0, 8))
        matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = rng.uniform(0.2, 0.8, 2) * (width, height) - matrix @ anchor
        level = int(np.clip(np.floor(-np.log2(scale)), 0, len(levels) - 1))
        # the origin of labels is the corner of the picture, that of warpAffine the center of the first pixel
        affine = np.column_stack((matrix * 2**level, shift + matrix.sum(1) * 2**level / 2 - 0.5))
        # a picture with faces is padded with background, another with its mirror image
        border = cv2.BORDER_TRANSPARENT if len(faces.certain) else cv2.BORDER_REFLECT_101
        piece: Any = self._background(rng, width, height) if len(faces.certain) else None
        piece = cv2.warpAffine(levels[level], affine, (width, height), piece, cv2.INTER_LINEAR, border)
        visible = crop_faces(transform_faces(faces, matrix, shift), width, height)
        if rng.random() < 0.5:
            piece, visible = piece[:, ::-1], visible.mirrored(width)
        if not len(faces.certain) and rng.random() < 0.3:
            piece = piece[::-1]  # backgrounds are also flipped vertically
        return color_jitter(np.ascontiguousarray(piece), rng), visible

    def _background(self, rng: np.random.Generator, width: int, height: int) -> Picture:
        """A piece of a scene without faces; a uniform color if there is no such scene."""
        if not self.faceless:
            return np.full((height, width, 3), rng.integers(0, 256, 3), np.uint8)
        levels = self._pyramid(self.faceless[int(rng.integers(len(self.faceless)))])
        level = levels[int(rng.integers(min(2, len(levels))))]
        y = int(rng.integers(max(1, level.shape[0] - height)))
        x = int(rng.integers(max(1, level.shape[1] - width)))
        part: Any = level[y : y + height, x : x + width]
        padding = (height - part.shape[0], width - part.shape[1])
        return np.asarray(cv2.copyMakeBorder(part, 0, padding[0], 0, padding[1], cv2.BORDER_REFLECT), np.uint8)

    def _choose_picture(self, rng: np.random.Generator) -> tuple[str, NDArray[Any] | None]:
        """A random picture, and the center of the piece if a hard example was drawn."""
        if self.hard_examples and rng.random() < HARD_EXAMPLE_PROBABILITY:
            example = self.hard_examples[int(rng.integers(len(self.hard_examples)))]
            return example.name, np.array(example.center_xy) + rng.normal(0, 8, 2)
        probabilities = np.array([KIND_PROBABILITIES[kind] for kind in self.kinds])
        kind = int(rng.choice(len(probabilities), p=probabilities / probabilities.sum()))
        names = list(self.kinds.values())[kind]
        return names[int(rng.integers(len(names)))], None

    def picture(self, name: str) -> Picture:
        """A picture at full resolution."""
        return self._pyramid(name)[0]

    def _pyramid(self, name: str) -> list[Picture]:
        """A picture at 1, 1/2, 1/4, ...; a piece is taken from the level just above its scale, against aliasing."""
        if name not in self._pyramids:
            levels = [self.scenes[name].read()]
            while min(levels[-1].shape[:2]) >= 32:
                height, width = (length // 2 for length in levels[-1].shape[:2])
                even: Any = levels[-1][: 2 * height, : 2 * width]
                levels.append(np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8))
            self._pyramids[name] = levels
        return self._pyramids[name]


def scene_kind(scene: Scene) -> str:
    """Key of `KIND_PROBABILITIES`, or an unknown kind."""
    return "background" if scene.kind == "scene" and not scene.faces.certain.any() else scene.kind


def split_points(rng: np.random.Generator, side: int, count: int) -> list[int]:
    """Split a side into ``count`` pieces of roughly equal length."""
    points = np.arange(count + 1) * side // count
    points[1:-1] += rng.integers(-side // (4 * count), side // (4 * count) + 1, count - 1)
    return [int(point) for point in points]


def concatenate_faces(parts: Sequence[LabeledFaces]) -> LabeledFaces:
    """All faces, in order."""
    return LabeledFaces(
        *(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(LabeledFaces))
    )


def transform_faces(faces: LabeledFaces, matrix: NDArray[Any], shift: NDArray[Any]) -> LabeledFaces:
    """Map points p to ``matrix @ p + shift``; boxes move with their center, are scaled and stay axis-aligned."""
    boxes, points = faces.boxes_xyxy.reshape(-1, 2, 2), faces.landmarks.reshape(-1, 5, 2)
    center = boxes.mean(1) @ matrix.T + shift  # (n, 2)
    half = (boxes[:, 1] - boxes[:, 0]) / 2 * np.sqrt(np.linalg.det(matrix))
    return LabeledFaces(
        np.concatenate((center - half, center + half), 1).astype(np.float32),
        (points @ matrix.T + shift).reshape(-1, 10).astype(np.float32),
        faces.certain,
    )


def crop_faces(faces: LabeledFaces, width: int, height: int) -> LabeledFaces:
    """Clip faces to (width, height); see `FACE_VISIBILITY` for faces that are partly outside.

    Faces smaller than the minimum of `FACE_SIDES` become uncertain: they are too small to be required.
    """
    boxes = faces.boxes_xyxy.reshape(-1, 2, 2)
    clipped = np.clip(boxes, 0, (width, height))
    visible = (clipped[:, 1] - clipped[:, 0]).prod(1) / (boxes[:, 1] - boxes[:, 0]).prod(1)
    large = (boxes[:, 1] - boxes[:, 0]).min(1) >= FACE_SIDES[0]
    certain = faces.certain & (visible >= FACE_VISIBILITY) & large
    keep = visible > BACKGROUND_VISIBILITY
    return LabeledFaces(clipped.reshape(-1, 4)[keep].astype(np.float32), faces.landmarks[keep], certain[keep])

"""Pictures with labelled faces: what a detector is trained on, and judged by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError

CERTAIN = 0.7
"""A label from this score on is a face; labels without a score are certain."""
ABSENT = 0.3
"""Labels below this score are no faces; those between are neither face nor background."""
MIRROR = [2, 3, 0, 1, 4, 5, 8, 9, 6, 7]
"""Numbers of the landmarks (eye, eye, nose, mouth corner, mouth corner) in a mirror: left and right change places."""


@dataclass(frozen=True, eq=False)
class LabelledFaces:
    """Faces of one picture.

    Args:
        boxes_xyxy: (n, 4) float32, pixels.
        landmarks: (n, 10) float32, x, y of five points, pixels; not a number where they are not known.
        certain: (n,) bool; the others are neither face nor background.
    """

    boxes_xyxy: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    certain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.certain)

    def scaled(self, scale: float) -> LabelledFaces:
        """The faces of the picture made so many times larger."""
        factor = np.float32(scale)
        return LabelledFaces(self.boxes_xyxy * factor, self.landmarks * factor, self.certain)

    def mirrored(self, width: float) -> LabelledFaces:
        """The faces of the picture of that width, mirrored left to right; a left eye becomes a right eye."""
        boxes, points = self.boxes_xyxy[:, [2, 1, 0, 3]], self.landmarks[:, MIRROR]
        boxes[:, ::2] = width - boxes[:, ::2]
        points[:, ::2] = width - points[:, ::2]
        return LabelledFaces(boxes, points, self.certain)


@dataclass(frozen=True, eq=False)
class Scene:
    """A labelled picture.

    Args:
        name: of the file; up to the first underscore, its kind ("portrait", "scene", "sheet").
        path: of the file.
        faces: in it.
    """

    name: str
    path: Path
    faces: LabelledFaces

    @property
    def kind(self) -> str:
        """What the name starts with."""
        return self.name.split("_")[0]

    def read(self) -> NDArray[np.uint8]:
        """The picture, (H, W, 3) uint8 BGR."""
        return read_picture(self.path)


def read_scenes(folder: Path, split: str | None = None, review: Path | None = None) -> list[Scene]:
    """Read the labels of a folder; pictures are read when they are looked at.

    Args:
        folder: ``images/`` and ``labels.json``: picture -> ``{"faces": [{"box": [x, y, w, h], "landmarks": [x, y, five
            times], "score": 0..1}], "split": "train" or "test"}``; landmarks, score and split may be missing.
        split: take these alone, and pictures of no split; none for all.
        review: what a person found wrong with labels that a detector made, a JSON file: picture -> places in its list
            of faces, from 0, that are no faces; they are left out as if they had never been there.

    Raises:
        InputError: the labels cannot be read, or there is no such picture.
    """
    file = folder / "labels.json"
    wrong = read_review(review) if review else {}
    try:
        entries: dict[str, Any] = json.loads(file.read_text("utf-8"))
        scenes = [
            Scene(name, folder / "images" / name, labelled_faces(entry["faces"], wrong.get(name, [])))
            for name, entry in sorted(entries.items())
            if split is None or entry.get("split", split) == split
        ]
    except OSError as error:
        raise InputError(
            f"cannot read {file}: {error.strerror or error}; give a folder with labels.json and images/"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"{file} holds no labels ({type(error).__name__}: {error}); "
            "expected picture -> faces, each with a box x, y, w, h"
        ) from None
    if not scenes:
        which = f' of the split "{split}"' if split else ""
        raise InputError(f"{file} has no pictures{which}; give another folder")
    return scenes


def read_review(file: Path) -> dict[str, list[int]]:
    """Picture -> places in its list of faces that are no faces; see `read_scenes`."""
    try:
        review = json.loads(file.read_text("utf-8"))
        return {str(name): [int(place) for place in places] for name, places in review.items()}
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}; give a JSON file, or leave it out") from None
    except (ValueError, TypeError, AttributeError):
        raise InputError(f"{file} holds no review; expected picture -> a list of places of wrong labels") from None


def labelled_faces(faces: list[dict[str, Any]], wrong: Sequence[int] = ()) -> LabelledFaces:
    """Faces of a picture from their entries in ``labels.json``; those that are none are left out.

    Args:
        faces: as `read_scenes` has them.
        wrong: places in this list that are no faces, whatever their score.
    """
    faces = [face for i, face in enumerate(faces) if i not in wrong and face.get("score", 1.0) >= ABSENT]
    boxes = np.array([face["box"] for face in faces], np.float32).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    points = np.array([face.get("landmarks") or [np.nan] * 10 for face in faces], np.float32).reshape(-1, 10)
    return LabelledFaces(boxes, points, np.array([face.get("score", 1.0) >= CERTAIN for face in faces], bool))


def read_picture(path: Path) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 BGR.

    Raises:
        InputError: it is missing, or is no picture.
    """
    picture = cv2.imread(str(path))
    if picture is None:
        raise InputError(f"{path} is missing or is not a picture")
    return np.asarray(picture, np.uint8)

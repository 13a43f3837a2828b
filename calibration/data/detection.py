"""Images with labelled faces, for detector training and evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError
from ...engines.json_input import read_json

CERTAIN = 0.7
"""Labels with at least this score are faces; labels without a score are certain."""
ABSENT = 0.3
"""Labels below this score are dropped; labels between `ABSENT` and `CERTAIN` are ignored: neither face nor
background."""
MAX_COORDINATE = 1_000_000
"""Of a label, in pixels; more than any image has a side."""
MIRROR = [2, 3, 0, 1, 4, 5, 8, 9, 6, 7]
"""Column order of the landmarks (eye, eye, nose, mouth corner, mouth corner) after mirroring: left and right swap."""


@dataclass(frozen=True, eq=False)
class LabeledFaces:
    """Face labels of one image.

    Args:
        boxes_xyxy: (n, 4) float32, pixels.
        landmarks: (n, 10) float32, x, y of five points, pixels; NaN if unknown.
        certain: (n,) bool; uncertain faces are ignored: neither face nor background.
    """

    boxes_xyxy: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    certain: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.certain)

    def scaled(self, scale: float) -> LabeledFaces:
        """Labels of the image resized by a factor."""
        factor = np.float32(scale)
        return LabeledFaces(self.boxes_xyxy * factor, self.landmarks * factor, self.certain)

    def mirrored(self, width: float) -> LabeledFaces:
        """Labels of the horizontally mirrored image of that width; left and right landmarks are swapped."""
        boxes, points = self.boxes_xyxy[:, [2, 1, 0, 3]], self.landmarks[:, MIRROR]
        boxes[:, ::2] = width - boxes[:, ::2]
        points[:, ::2] = width - points[:, ::2]
        return LabeledFaces(boxes, points, self.certain)


@dataclass(frozen=True, eq=False)
class Scene:
    """A labelled image.

    Args:
        name: file name; its prefix up to the first underscore is the kind ("portrait", "event", "scene", "sheet").
        path, faces: image file and labels.
    """

    name: str
    path: Path
    faces: LabeledFaces

    @property
    def kind(self) -> str:
        """Prefix of the name."""
        return self.name.split("_")[0]

    def read(self) -> NDArray[np.uint8]:
        """Read the image, (H, W, 3) uint8 BGR."""
        return read_scene_image(self.path)


def read_scenes(folder: Path, split: str | None = None, label_fixes: Path | None = None) -> list[Scene]:
    """Read the labels of a folder; images are read on demand.

    Args:
        folder: ``images/`` and ``labels.json``: file name -> ``{"faces": [{"box": [x, y, w, h], "landmarks": [x, y,
            five times], "score": 0..1}], "split": "train" or "test"}``; landmarks, score and split are optional.
        split: read this split and images without a split; none for all.
        label_fixes: JSON file of false labels found by manual review: file name -> indices into its list of faces,
            which are removed.

    Raises:
        InputError: the labels cannot be read, or the split has no images.
    """
    file = folder / "labels.json"
    removed = read_label_fixes(label_fixes) if label_fixes else {}
    try:
        entries: dict[str, Any] = read_json(file)
        scenes = [
            Scene(name, folder / "images" / name, labeled_faces(entry["faces"], removed.get(name, [])))
            for name, entry in sorted(entries.items())
            if split is None or entry.get("split", split) == split
        ]
    except OSError as error:
        raise InputError(
            f"cannot read {file}: {error.strerror or error}; give a folder with labels.json and images/"
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(
            f"{file} has no valid labels ({type(error).__name__}: {error}); "
            "expected file name -> faces, each with a box x, y, w, h"
        ) from None
    if not scenes:
        where = f' in the split "{split}"' if split else ""
        raise InputError(f"{file} has no images{where}; give another folder or split")
    return scenes


def read_label_fixes(file: Path) -> dict[str, list[int]]:
    """Read false labels: file name -> indices into its list of faces; see `read_scenes`."""
    try:
        fixes = read_json(file)
        return {str(name): [int(index) for index in indices] for name, indices in fixes.items()}
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}; give a JSON file, or omit it") from None
    except (ValueError, TypeError, AttributeError, OverflowError):
        raise InputError(f"{file} has no valid label fixes; expected file name -> a list of label indices") from None


def labeled_faces(faces: list[dict[str, Any]], removed: Sequence[int] = ()) -> LabeledFaces:
    """Face labels of an image in ``labels.json``, without those below `ABSENT` and those with an index in `removed`."""
    faces = [face for i, face in enumerate(faces) if i not in removed and face.get("score", 1.0) >= ABSENT]
    boxes = _coordinates([face["box"] for face in faces], 4)
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < 0).any():
        raise ValueError("a box needs finite x, y and width, height of 0 or more")
    boxes[:, 2:] += boxes[:, :2]
    points = _coordinates([face.get("landmarks") or [np.nan] * 10 for face in faces], 10)
    return LabeledFaces(boxes, points, np.array([face.get("score", 1.0) >= CERTAIN for face in faces], bool))


def _coordinates(values: list[Any], count: int) -> NDArray[np.float32]:
    """Rows of coordinates, (n, count) float32; ValueError for other counts, or beyond `MAX_COORDINATE`."""
    rows = np.array(values, np.float64).reshape(len(values), -1 if values else count)
    if rows.shape[1] != count:
        raise ValueError(f"expected {count} coordinates, got {rows.shape[1]}")
    if (np.abs(rows) > MAX_COORDINATE).any():
        raise ValueError(f"a coordinate is beyond {MAX_COORDINATE}")
    return rows.astype(np.float32)


def read_scene_image(path: Path) -> NDArray[np.uint8]:
    """Read an image, (H, W, 3) uint8 BGR.

    Raises:
        InputError: the file is missing or is not an image.
    """
    image = cv2.imread(str(path)) if path.is_file() else None
    if image is None:
        raise InputError(f"{path} is missing or is not an image")
    return np.asarray(image, np.uint8)

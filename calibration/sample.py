"""A few real faces that need no download: of the public-domain portrait that scikit-image ships."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engines.errors import MissingDependencyError
from .crops import read_faces

NAME = "8 views of scikit-image's astronaut (public domain)"
_CENTRE_XY = (224, 116)
_SIDES = (128, 150, 176, 208)


def astronaut() -> NDArray[np.uint8]:
    """Eileen Collins, (512, 512, 3) uint8 BGR; NASA, public domain.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError:
        raise MissingDependencyError("scikit-image", "demo", "the sample picture") from None
    picture: Callable[[], NDArray[np.uint8]] = data.astronaut
    return np.ascontiguousarray(picture()[:, :, ::-1])


def sample_faces() -> list[NDArray[np.uint8]]:
    """Views of one face, at four sizes and mirrored, each (128, 128, 3) uint8 BGR."""
    picture = astronaut()
    faces = []
    for side in _SIDES:
        x, y = (c - side // 2 for c in _CENTRE_XY)
        view = picture[max(y, 0) : max(y, 0) + side, x : x + side]
        face = np.asarray(cv2.resize(view, (128, 128), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        faces += [face, np.ascontiguousarray(face[:, ::-1])]
    return faces


def true_faces(folder: Path | None) -> tuple[list[NDArray[np.uint8]], str]:
    """Faces to judge by, and what a card calls them.

    Args:
        folder: see `read_faces`; none for the sample faces.

    Raises:
        InputError: see `read_faces`.
    """
    if folder is None:
        return sample_faces(), NAME
    faces = read_faces(folder)
    return faces, f"{len(faces)} faces of {folder.resolve().name}"

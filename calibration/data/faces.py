"""Face crops from a folder: what engines are calibrated, compared and measured on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError, MissingDependencyError
from ...networks.layers.bicubic import resize_batch

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


def read_faces(folder: Path, least: int = 1) -> list[NDArray[np.uint8]]:
    """Read every picture of a folder, in the order of their names.

    Args:
        folder: holds JPEG, PNG, WebP, BMP or TIFF pictures.
        least: smallest side to accept, in pixels.

    Returns:
        (H, W, 3) uint8 BGR pictures.

    Raises:
        InputError: there is no such folder, no picture in it, or one that is unreadable or too small.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give one that holds pictures of faces")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise InputError(f"no picture in {folder}; expected {', '.join(sorted(PICTURE_SUFFIXES))}")
    faces = []
    for path in paths:
        face = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if face is None:
            raise InputError(f"{path} is not a readable picture; remove it or replace it")
        if min(face.shape[:2]) < least:
            raise InputError(f"{path} is {face.shape[1]}x{face.shape[0]} px, at least {least}x{least} is needed")
        faces.append(np.asarray(face, dtype=np.uint8))
    return faces


def center_crop(face: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The middle (side, side, 3) of a picture (H, W, 3).

    Raises:
        InputError: it is smaller.
    """
    y, x = ((length - side) // 2 for length in face.shape[:2])
    if min(y, x) < 0:
        raise InputError(f"a face is {face.shape[1]}x{face.shape[0]} px, at least {side}x{side} is needed")
    return face[y : y + side, x : x + side]


def low_resolution(faces: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Shrink faces as the papers do: antialiased bicubic, rounded to 8 bits.

    Args:
        faces: (N, H, W, 3) uint8; H and W are multiples of the scale.
        scale: by how much.

    Returns:
        (N, H / scale, W / scale, 3) uint8.
    """
    _, height, width, _ = faces.shape
    shrunken = resize_batch(faces, height // scale, width // scale)
    return np.clip(np.rint(shrunken), 0, 255).astype(np.uint8)


def padded(pictures: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Pictures (N, H, W, C) whose last row and column are repeated until both sides are a multiple."""
    below, right = (-side % multiple for side in pictures.shape[1:3])
    return np.pad(pictures, ((0, 0), (0, below), (0, right), (0, 0)), mode="edge") if below or right else pictures


def subsample(pictures: Iterable[NDArray[np.uint8]], most: int) -> list[NDArray[np.uint8]]:
    """Some of many pictures, in even steps, without ever holding more than twice as many: a video has thousands.

    Args:
        pictures: as they come, in any number.
        most: how many are taken of them, at least one.

    Returns:
        All where they are that few.
    """
    held: list[NDArray[np.uint8]] = []
    step = 1
    for number, picture in enumerate(pictures):
        if number % step == 0:
            held.append(picture)
        if len(held) == 2 * most:
            held, step = held[::2], 2 * step
    return [held[i] for i in np.linspace(0, len(held) - 1, min(len(held), most)).round().astype(int)]


SAMPLE_NAME = "8 views of scikit-image's astronaut (public domain)"
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
        return sample_faces(), SAMPLE_NAME
    faces = read_faces(folder)
    return faces, f"{len(faces)} faces of {folder.resolve().name}"

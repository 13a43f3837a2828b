"""Face crops: read from a folder, center-cropped, downscaled, subsampled; and the sample faces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError, MissingDependencyError
from ...networks.layers.bicubic import resize_batch

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
SAMPLE_PORTRAIT = "scikit-image's astronaut (public domain)"
SAMPLE_NAME = "8 views of scikit-image's astronaut (public domain)"
_FACE_CENTER_XY = (224, 116)
_SIDES = (128, 150, 176, 208)


def read_faces(folder: Path, min_side: int = 1) -> list[NDArray[np.uint8]]:
    """Read all images of a folder, sorted by file name.

    Args:
        folder: contains JPEG, PNG, WebP, BMP or TIFF images.
        min_side: smallest allowed side, in pixels.

    Returns:
        (H, W, 3) uint8 BGR images.

    Raises:
        InputError: the folder does not exist or has no image, or an image is unreadable or too small.
    """
    faces = []
    for path in image_paths(folder):
        face = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if face is None:
            raise InputError(f"{path} is not a readable image; remove or replace it")
        if min(face.shape[:2]) < min_side:
            raise InputError(f"{path} is {face.shape[1]}x{face.shape[0]} px, at least {min_side}x{min_side} is needed")
        faces.append(np.asarray(face, dtype=np.uint8))
    return faces


def image_paths(folder: Path) -> list[Path]:
    """Image files of a folder, sorted by name.

    Raises:
        InputError: the folder does not exist or has no image.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give a folder of face images")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise InputError(f"no image in {folder}; expected {', '.join(sorted(IMAGE_SUFFIXES))}")
    return paths


def center_crop(face: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Center crop (side, side, 3) of an image (H, W, 3).

    Raises:
        InputError: the image is smaller.
    """
    y, x = ((length - side) // 2 for length in face.shape[:2])
    if min(y, x) < 0:
        raise InputError(f"a face is {face.shape[1]}x{face.shape[0]} px, at least {side}x{side} is needed")
    return face[y : y + side, x : x + side]


def reduced_square(face: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The largest center crop of an image (H, W, 3) that is a square, reduced to (side, side, 3) by area averaging.

    Raises:
        InputError: the image is smaller.
    """
    square = center_crop(face, max(side, min(face.shape[:2])))
    return np.asarray(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def low_resolution(faces: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Antialiased bicubic downscaling, rounded to 8 bits, as in the super-resolution papers.

    (N, H, W, 3) uint8 -> (N, H / scale, W / scale, 3) uint8; H and W are multiples of the scale.
    """
    _, height, width, _ = faces.shape
    return np.clip(np.rint(resize_batch(faces, height // scale, width // scale)), 0, 255).astype(np.uint8)


def padded(images: NDArray[np.uint8], multiple: int) -> NDArray[np.uint8]:
    """Edge-pad images (N, H, W, C) at the bottom and right until both sides are multiples of `multiple`."""
    bottom, right = (-side % multiple for side in images.shape[1:3])
    return np.pad(images, ((0, 0), (0, bottom), (0, right), (0, 0)), mode="edge") if bottom or right else images


def subsample(images: Iterable[NDArray[np.uint8]], max_count: int) -> list[NDArray[np.uint8]]:
    """At most `max_count` evenly spaced images of a stream of any length; up to ``2 * max_count`` are in memory."""
    kept: list[NDArray[np.uint8]] = []
    step = 1
    for number, image in enumerate(images):
        if number % step == 0:
            kept.append(image)
        if len(kept) == 2 * max_count:
            kept, step = kept[::2], 2 * step
    return [kept[i] for i in np.linspace(0, len(kept) - 1, min(len(kept), max_count)).round().astype(int)]


def astronaut() -> NDArray[np.uint8]:
    """The sample image: Eileen Collins, (512, 512, 3) uint8 BGR; NASA, public domain.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError:
        raise MissingDependencyError("scikit-image", "demo", "the sample picture") from None
    image: Callable[[], NDArray[np.uint8]] = data.astronaut
    return np.ascontiguousarray(image()[:, :, ::-1])


def sample_faces() -> list[NDArray[np.uint8]]:
    """The face of the sample image at four sizes, each also mirrored: eight (128, 128, 3) uint8 BGR images."""
    image = astronaut()
    faces = []
    for side in _SIDES:
        x, y = (c - side // 2 for c in _FACE_CENTER_XY)
        view = image[max(y, 0) : max(y, 0) + side, x : x + side]
        face = np.asarray(cv2.resize(view, (128, 128), interpolation=cv2.INTER_AREA), dtype=np.uint8)
        faces += [face, np.ascontiguousarray(face[:, ::-1])]
    return faces


def true_faces(folder: Path | None) -> tuple[list[NDArray[np.uint8]], str]:
    """Ground-truth faces and the dataset name for the card; see `read_faces`, None for the sample faces."""
    if folder is None:
        return sample_faces(), SAMPLE_NAME
    faces = read_faces(folder)
    return faces, f"{len(faces)} faces of {folder.resolve().name}"

"""Identity preservation by dlib's face recognizer: distance of the embeddings of upscaled and ground-truth faces."""

from __future__ import annotations

from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError, MissingDependencyError
from .evaluate import ImageMetric

SAME_PERSON = 0.6
"""Largest distance of two pictures of one person, by which dlib's recognizer reaches 99.4 % on LFW."""
RECOGNIZER = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS = "shape_predictor_5_face_landmarks.dat"


def identity_distance() -> ImageMetric:
    """Metric: Euclidean distance of dlib's embeddings of an upscaled face and its ground truth; lower is better.

    Both faces are aligned by the landmarks of the ground truth: the metric does not depend on whether the upscaled face
    is detected. Where dlib's detector finds no face in the ground truth, the distance is NaN.

    Raises:
        MissingDependencyError: dlib or its networks are not installed.
    """
    recognizer = Recognizer()

    def distance(sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> NDArray[np.float64]:
        distances = np.array([recognizer.distance(*pair) for pair in zip(sr, hr, strict=True)])
        if np.isnan(distances).all():
            raise InputError(f"dlib finds no face in {len(hr)} true faces; give other faces, or omit --identity")
        return distances

    return distance


class Recognizer:
    """dlib's detector, 5-point landmarks and face recognition network (CC0), which maps a face to 128 numbers.

    Raises:
        MissingDependencyError: dlib or its networks are not installed.
    """

    def __init__(self) -> None:
        try:
            import dlib
        except ImportError:
            raise MissingDependencyError("dlib", "identity", "the identity distance") from None
        folder = _models()
        self._detect = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(folder / LANDMARKS))
        self._network = dlib.face_recognition_model_v1(str(folder / RECOGNIZER))
        self._true: dict[bytes, tuple[Any, NDArray[np.float64]] | None] = {}  # they repeat with every model

    def distance(self, sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
        """Distance of an upscaled face to its ground truth, (H, W, 3) uint8 BGR; NaN if no face is found in it."""
        key = sha256(hr.tobytes()).digest()
        if key not in self._true:
            self._true[key] = self._true_face(_rgb(hr))
        true = self._true[key]
        if true is None:
            return float("nan")
        landmarks, embedding = true
        return float(np.linalg.norm(self._embedding(_rgb(sr), landmarks) - embedding))

    def _true_face(self, rgb: NDArray[np.uint8]) -> tuple[Any, NDArray[np.float64]] | None:
        """Landmarks and embedding of the largest face, at twice the size where none is found; None without a face."""
        boxes = self._detect(rgb, 0) or self._detect(rgb, 1)
        if not boxes:
            return None
        landmarks = self._landmarks(rgb, max(boxes, key=lambda box: box.area()))
        return landmarks, self._embedding(rgb, landmarks)

    def _embedding(self, rgb: NDArray[np.uint8], landmarks: Any) -> NDArray[np.float64]:
        return np.array(self._network.compute_face_descriptor(rgb, landmarks))


def _rgb(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(bgr[..., ::-1])


def _models() -> Path:
    """Folder of dlib's networks; the package is not imported, as it needs pkg_resources, which Python may lack."""
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("face-recognition-models", "identity", "the identity distance")
    return Path(spec.submodule_search_locations[0]) / "models"

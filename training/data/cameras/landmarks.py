"""Landmarks of the training faces, found by a detector."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ....engines.bundle.bundle import open_bundle
from ....engines.errors import EngineError
from ....engines.padding import GREY
from ....engines.postprocess import decode
from ....engines.registry import open_session
from .render import Picture

FACE_SIDE, CANVAS_SIDE = 128, 192
"""Side to which a face is resized, and of the gray canvas around it, pixels: detectors expect room around a face."""
MIN_SCORE = 0.5


class FaceLandmarks:
    """Finds the landmarks of faces that fill their pictures.

    Args:
        detector: bundle folder of a face detector.

    Raises:
        BundleError, EngineError: the folder is not a bundle of a detector.
    """

    def __init__(self, detector: Path) -> None:
        self._session = open_session(open_bundle(detector), "onnxruntime", 1, "fp32")
        if self._session.io_spec.task != "face-detection":
            raise EngineError(f"{detector} is a bundle for {self._session.io_spec.task}; give a face detector")

    def __call__(self, picture: Picture) -> NDArray[np.float32] | None:
        """Landmarks of the best face.

        Args:
            picture: (H, W, 3) uint8 BGR.

        Returns:
            (5, 2) float32 eyes, nose and corners of the mouth, pixels of the picture; None without a face.
        """
        border = (CANVAS_SIDE - FACE_SIDE) // 2
        canvas = np.full((CANVAS_SIDE, CANVAS_SIDE, 3), GREY, np.uint8)
        face = cv2.resize(picture, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_AREA)
        canvas[border : border + FACE_SIDE, border : border + FACE_SIDE] = face
        maps = self._session.infer(canvas[None])[0]
        found = decode(np.asarray(maps, np.float32), CANVAS_SIDE, CANVAS_SIDE, MIN_SCORE)
        if not len(found):
            return None
        best = found.landmarks[int(np.argmax(found.scores))]
        ratio_xy = np.array(picture.shape[1::-1], np.float32) / FACE_SIDE
        return np.asarray((best - border + 0.5) * ratio_xy - 0.5, np.float32)

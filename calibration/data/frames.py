"""Frames that a detector is calibrated and compared on: labelled pictures, or views of the sample picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.io_spec import IOSpec
from ...engines.postprocess import padded
from ...engines.session import Session
from ..metrics.detection import detect_with
from .detection import ABSENT, LabelledFaces, read_scenes
from .faces import astronaut

CALIBRATION_FRAMES = 64
"""More change the ranges no further."""
LONGEST_SIDE = 640
"""A larger picture is shrunk before it is calibrated on, in pixels."""
FRAME_HW = (320, 384)
SIDES = (80, 112, 160, 224, 320, 448)
"""Sides of the sample picture in its frames, in pixels; its face is a fifth of that."""
LIGHTS = (0.6, 1.0, 1.3)
SURE = 0.5
"""A detection of the FP32 detector from this score on counts as a face where there are no labels."""


def sample_frames(shift: int = 0) -> list[NDArray[np.uint8]]:
    """The sample picture at many sizes, places and lights, laid out as tiles: each (320, 384, 3) uint8 BGR.

    Args:
        shift: by how many pixels everything is moved; odd ones are mirrored.
    """
    height, width = FRAME_HW
    frames = []
    for n, side in enumerate(SIDES):
        tile = cv2.resize(astronaut()[:, :: -1 if shift % 2 else 1], (side, side), interpolation=cv2.INTER_AREA)
        tile = np.roll(tile, (shift + 13 * n, shift + 29 * n), (0, 1))
        wall = np.tile(tile, (-(-height // side), -(-width // side), 1))[:height, :width]
        frames += [np.clip(wall * np.float32(light), 0, 255).astype(np.uint8) for light in LIGHTS]
    return frames


def calibration_frames(scenes: Path | None, io_spec: IOSpec) -> list[NDArray[np.uint8]]:
    """Pictures that show the ranges of a detector's layers.

    Args:
        scenes: folder of labelled pictures, of which those of the split "train" are taken, evenly; none for views of
            the sample picture.
        contract: of the detector.

    Returns:
        At most `CALIBRATION_FRAMES`, each (1, H, W, 3) uint8 BGR of a size that the contract allows.
    """
    if scenes is None:
        frames = sample_frames(shift=7)
    else:
        found = read_scenes(scenes, "train")
        taken = np.linspace(0, len(found) - 1, min(len(found), CALIBRATION_FRAMES)).round().astype(int)
        frames = [_shrunk(found[i].read()) for i in taken]
    return [padded(frame, io_spec)[None] for frame in frames]


def evaluation_frames(scenes: Path | None, reference: Session) -> list[tuple[NDArray[np.uint8] | Path, LabelledFaces]]:
    """Pictures with faces that a detector is judged by.

    Args:
        scenes: folder of labelled pictures, of which those of the split "test" are taken; none for views of the sample
            picture, in which the reference's own detections are the faces.
        reference: the detector in FP32.

    Returns:
        Each picture, or where it lies, and its faces.
    """
    if scenes is not None:
        return [(scene.path, scene.faces) for scene in read_scenes(scenes, "test")]
    detect = detect_with(reference, ABSENT)
    judged: list[tuple[NDArray[np.uint8] | Path, LabelledFaces]] = []
    for frame in sample_frames():
        found = detect(frame)
        judged.append((frame, LabelledFaces(found.boxes_xyxy, found.landmarks.reshape(-1, 10), found.scores >= SURE)))
    return judged


def _shrunk(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    scale = LONGEST_SIDE / max(height, width)
    if scale >= 1:
        return picture
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)

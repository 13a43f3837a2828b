"""Frames for detector calibration and evaluation: labelled images, or views of the sample image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.io_spec import IOSpec
from ...engines.padding import pad_grey
from ...engines.session import Session
from ..metrics.detection import detect_with
from .detection import ABSENT, LabeledFaces, read_scenes
from .faces import astronaut

CALIBRATION_FRAMES = 64
"""More frames do not change the activation ranges."""
MAX_SIDE = 640
"""Longest side of a calibration frame in pixels; larger images are downscaled."""
FRAME_HW = (320, 384)
TILE_SIDES = (80, 112, 160, 224, 320, 448)
"""Sides of the sample image in its frames, in pixels; the face is a fifth of the side."""
BRIGHTNESS = (0.6, 1.0, 1.3)
REFERENCE_SCORE = 0.5
"""Where there are no labels, a detection of the FP32 detector with at least this score is a face."""


def sample_frames(shift: int = 0) -> list[NDArray[np.uint8]]:
    """The sample image tiled at several sizes, offsets and brightness levels: each (320, 384, 3) uint8 BGR.

    Args:
        shift: translation of the tiles in pixels; odd values also mirror the image.
    """
    height, width = FRAME_HW
    frames = []
    for n, side in enumerate(TILE_SIDES):
        tile = cv2.resize(astronaut()[:, :: -1 if shift % 2 else 1], (side, side), interpolation=cv2.INTER_AREA)
        tile = np.roll(tile, (shift + 13 * n, shift + 29 * n), (0, 1))
        tiled = np.tile(tile, (-(-height // side), -(-width // side), 1))[:height, :width]
        frames += [np.clip(tiled * np.float32(factor), 0, 255).astype(np.uint8) for factor in BRIGHTNESS]
    return frames


def calibration_frames(scenes: Path | None, io_spec: IOSpec) -> list[NDArray[np.uint8]]:
    """Frames that cover the activation ranges of a detector.

    Args:
        scenes: labelled images, whose split "train" is subsampled evenly; None for views of the sample image.
        io_spec: of the detector.

    Returns:
        At most `CALIBRATION_FRAMES`, each (1, H, W, 3) uint8 BGR, padded to a size that the detector accepts.
    """
    if scenes is None:
        frames = sample_frames(shift=7)
    else:
        training = read_scenes(scenes, "train")
        chosen = np.linspace(0, len(training) - 1, min(len(training), CALIBRATION_FRAMES)).round().astype(int)
        frames = [_downscaled(training[i].read()) for i in chosen]
    return [pad_grey(frame, io_spec)[None] for frame in frames]


def evaluation_frames(scenes: Path | None, reference: Session) -> list[tuple[NDArray[np.uint8] | Path, LabeledFaces]]:
    """Frames (images or their paths) and their labelled faces, for detector evaluation.

    Args:
        scenes: labelled images, of which the split "test" is used; None for views of the sample image.
        reference: FP32 detector, which labels the sample image.
    """
    if scenes is not None:
        return [(scene.path, scene.faces) for scene in read_scenes(scenes, "test")]
    detect = detect_with(reference, ABSENT)
    frames: list[tuple[NDArray[np.uint8] | Path, LabeledFaces]] = []
    for frame in sample_frames():
        result = detect(frame)
        certain = result.scores >= REFERENCE_SCORE
        frames.append((frame, LabeledFaces(result.boxes_xyxy, result.landmarks.reshape(-1, 10), certain)))
    return frames


def _downscaled(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = MAX_SIDE / max(height, width)
    if scale >= 1:
        return image
    size_wh = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)

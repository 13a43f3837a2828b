"""Degradations that turn high-resolution faces into low-resolution ones: bicubic, as in the papers, and camera."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.data.faces import low_resolution
from ...calibration.metrics.evaluate import Degrade, Images
from .cameras import pairs
from .codecs import h264, jpeg
from .optics import DOWNSCALE_FILTERS, blur, downscale, random_blur_kernel, sensor_noise

CLEAN_PROBABILITY = 0.1
"""Fraction of faces that `camera` downsamples by bicubic only, so that quality on clean input is kept."""
CODEC_PROBABILITIES = {"h264": 0.5, "jpeg": 0.3, "none": 0.2}
"""Codecs of `camera`."""
MAX_NOISE = 12.0
"""Noise level of the worst sensor, see `sensor_noise`."""
JPEG_QUALITY = (30, 96)
"""Range of the JPEG quality, upper bound excluded."""
H264_CRF = (18, 36)
"""Range of the H.264 rate factor, upper bound excluded."""
_CLIPS_PER_VIDEO = 8
"""Clips encoded as one video: they share a rate factor and the start-up cost of the codec."""
_CLIP_FRAMES = 4
"""Frames of a clip; the face moves through them to its position in the last one, which is used."""


def bicubic(faces: Images, scale: int, rng: np.random.Generator) -> Images:
    """The papers' degradation: antialiased bicubic, rounded to 8 bits; deterministic."""
    return low_resolution(faces, scale)


def camera(faces: Images, scale: int, rng: np.random.Generator) -> Images:
    """Camera and recorder: blur, downsampling by a random filter, sensor noise, then H.264, JPEG or no codec.

    Each face has its own camera: first a severity from nearly clean to bad, which bounds blur and noise, then a codec
    independent of it. The pixel grid is that of bicubic.
    """
    n, height, width, _ = faces.shape
    lr = np.zeros((n, height // scale, width // scale, 3), np.uint8)
    clean = rng.random((n,)) < CLEAN_PROBABILITY
    if clean.any():
        lr[clean] = low_resolution(faces[clean], scale)
    severity = np.sqrt(rng.random((n,)))  # more bad cameras than good ones: a choice, see `random_blur_kernel`
    noise = MAX_NOISE * severity * rng.random((n,))
    codec = rng.choice(list(CODEC_PROBABILITIES), n, p=list(CODEC_PROBABILITIES.values()))
    degraded = np.flatnonzero(~clean)
    light = np.zeros((len(degraded), *lr.shape[1:]), np.float32)
    for picture, i in zip(light, degraded, strict=True):
        kernel = random_blur_kernel(scale, severity[i], rng)
        filter_name = DOWNSCALE_FILTERS[rng.integers(len(DOWNSCALE_FILTERS))]
        picture[:] = downscale(blur(faces[i], kernel), scale, filter_name)
    lr[degraded] = _record(light, noise[degraded], codec[degraded], rng)
    return lr


def _record(light: NDArray[np.float32], noise: NDArray[Any], codec: NDArray[Any], rng: np.random.Generator) -> Images:
    """Add sensor noise and compress (N, H, W, 3) pictures, with a noise level (N,) and a codec (N,) each."""
    lr = np.zeros(light.shape, np.uint8)
    still = np.flatnonzero(codec != "h264")
    if len(still):
        lr[still] = sensor_noise(light[still], noise[still], rng)
    for i in still[codec[still] == "jpeg"]:
        lr[i] = jpeg(lr[i], int(rng.integers(*JPEG_QUALITY)), rng)
    video = np.flatnonzero(codec == "h264")
    for start in range(0, len(video), _CLIPS_PER_VIDEO):
        chosen = video[start : start + _CLIPS_PER_VIDEO]
        clips = np.concatenate([_moving_clip(light[i], rng) for i in chosen])  # (N·T, H, W, 3)
        noisy = sensor_noise(clips, np.repeat(noise[chosen], _CLIP_FRAMES), rng)
        frames = noisy.reshape(len(chosen), _CLIP_FRAMES, *clips.shape[1:])
        lr[chosen] = h264(frames.swapaxes(0, 1), int(rng.integers(*H264_CRF)), rng)
    return lr


def _moving_clip(picture: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(H, W, 3) -> (T, H, W, 3): linear motion of at most 2 pixels per frame that ends at the picture itself."""
    speed, angle = rng.uniform(0, 2), rng.uniform(0, 2 * np.pi)
    height, width = picture.shape[:2]
    clip: list[Any] = []
    for remaining in range(_CLIP_FRAMES - 1, 0, -1):
        shift = np.array(((1, 0, remaining * speed * np.cos(angle)), (0, 1, remaining * speed * np.sin(angle))))
        clip.append(cv2.warpAffine(picture, shift, (width, height), borderMode=cv2.BORDER_REPLICATE))
    return np.stack([*clip, picture])


RECORDED = "recorded"
"""Degradation of networks that are trained on recordings of simulated cameras, see `data.cameras`."""
DEGRADATIONS: dict[str, Degrade] = {
    "bicubic": bicubic,
    "camera": camera,
    RECORDED: pairs.degrade_at_random,
    **pairs.DEGRADATIONS,
}
"""Values of a recipe's `degradation`, and degradations of an evaluation."""

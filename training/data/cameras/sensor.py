"""Sensor and image processing of a camera: light, noise, demosaicing, denoising, sharpening, scaling."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..optics import demosaiced_noise

Light = NDArray[np.float32]
"""(H, W, 3) BGR in gray levels, 0..255, not rounded."""
NOISE_SIDE = 1024
"""Side of the noise fields, from which each frame takes a window: a fresh field costs more than the codec."""
LINEAR_GAMMA = 2.0
"""Approximates the gamma of sRGB."""


@dataclass(frozen=True)
class Sensor:
    """What a camera does to the light of each frame before it is encoded.

    Args:
        gain: factor of the light: 1 for daylight, 0.1 for a tenth of the levels. The truth is as dark.
        white_noise: standard deviation of noise that is independent in each pixel and channel, in gray levels.
        shot_noise: standard deviation of a Bayer sensor's shot noise in gray levels; demosaicing spreads it.
        mosaic: sample and interpolate the picture itself as a Bayer mosaic.
        denoise: strength of the edge-preserving filter in gray levels; 0 for none.
        temporal_denoise: share of the previous frame in each frame, 0..1; leaves trails.
        sharpen: amount of unsharp masking; 0 for none, 1 gives visible halos.
        sharpen_sigma: of the unsharp mask in pixels.
        rescale: the frame is reduced to this fraction of its sides and enlarged again; 1 for none.
    """

    gain: float = 1.0
    white_noise: float = 0.0
    shot_noise: float = 0.0
    mosaic: bool = False
    denoise: float = 0.0
    temporal_denoise: float = 0.0
    sharpen: float = 0.0
    sharpen_sigma: float = 1.0
    rescale: float = 1.0


def expose(light: Light, sensor: Sensor, previous: Light | None, rng: np.random.Generator) -> Light:
    """One frame before rounding: (H, W, 3) light at gain 1 -> (H, W, 3) processed picture.

    Args:
        previous: last result of the same camera, for the temporal filter; None at the start.
    """
    frame: Any = light * np.float32(sensor.gain) if sensor.gain != 1 else light
    if sensor.mosaic:
        frame = demosaiced(frame)
    frame = _with_noise(frame, sensor, rng)
    if sensor.denoise:
        frame = cv2.bilateralFilter(np.asarray(frame, np.float32), 5, 2.5 * sensor.denoise, 1.5)
    if sensor.temporal_denoise and previous is not None:
        frame = cv2.addWeighted(frame, 1 - sensor.temporal_denoise, previous, sensor.temporal_denoise, 0)
    if sensor.rescale != 1:
        frame = rescaled(frame, sensor.rescale)
    if sensor.sharpen:
        soft = cv2.GaussianBlur(frame, (0, 0), sensor.sharpen_sigma)
        frame = cv2.addWeighted(frame, 1 + sensor.sharpen, soft, -sensor.sharpen, 0)
    return np.asarray(frame, np.float32)


def rounded(frame: Light) -> NDArray[np.uint8]:
    """Round to 8 bits."""
    return np.asarray(np.clip(np.rint(frame), 0, 255), np.uint8)


def demosaiced(frame: Light) -> Light:
    """Sample one color per pixel on a Bayer mosaic, and interpolate the others: colored edges, softer chroma."""
    levels = np.clip(256 * frame, 0, 65535).astype(np.uint16)
    raw = levels[..., 1].copy()  # rows RG, GB: OpenCV names patterns by the second row
    raw[::2, ::2], raw[1::2, 1::2] = levels[::2, ::2, 2], levels[1::2, 1::2, 0]
    return np.asarray(cv2.demosaicing(raw, cv2.COLOR_BayerBG2BGR_EA).astype(np.float32) / 256, np.float32)


def rescaled(frame: Light, fraction: float) -> Light:
    """Reduce to a fraction of the sides by area, and enlarge to the original size by linear interpolation."""
    height, width = frame.shape[:2]
    size = round(width * fraction), round(height * fraction)
    small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _with_noise(frame: Light, sensor: Sensor, rng: np.random.Generator) -> Light:
    if sensor.white_noise:
        frame = frame + np.float32(sensor.white_noise) * _window(white_field(), frame.shape, rng)
    if sensor.shot_noise:
        # In linear light the variance is a·x + b²; after gamma, shot noise has one strength in all gray levels.
        shot = (2 * sensor.shot_noise / 255) ** 2
        linear = np.square(np.clip(frame, 0, 255) / np.float32(255))
        deviation = np.sqrt(np.float32(shot) * linear + np.float32(0.02 * shot))
        linear = linear + deviation * _window(bayer_field(), frame.shape, rng)
        frame = 255 * np.sqrt(np.clip(linear, 0, 1))
    return np.asarray(frame, np.float32)


def _window(field: Light, shape: tuple[int, ...], rng: np.random.Generator) -> Light:
    """A random window of a noise field, at an even position, mirrored and with its sign changed at random."""
    height, width = shape[:2]
    y, x = (2 * int(rng.integers((NOISE_SIDE - side) // 2 + 1)) for side in (height, width))
    window = field[y : y + height, x : x + width][:: rng.choice((-1, 1)), :: rng.choice((-1, 1))]
    return np.asarray(window * np.float32(rng.choice((-1, 1))), np.float32)


@lru_cache(maxsize=1)
def white_field() -> Light:
    """(NOISE_SIDE, NOISE_SIDE, 3) normally distributed, independent, standard deviation 1."""
    return np.asarray(np.random.default_rng(1).standard_normal((NOISE_SIDE, NOISE_SIDE, 3), np.float32))


@lru_cache(maxsize=1)
def bayer_field() -> Light:
    """(NOISE_SIDE, NOISE_SIDE, 3) noise of standard deviation 1 on a Bayer mosaic, demosaiced."""
    return np.asarray(demosaiced_noise((1, NOISE_SIDE, NOISE_SIDE), np.random.default_rng(2))[0])

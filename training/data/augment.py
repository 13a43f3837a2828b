"""Augmentation of detector mosaics: color jitter, and camera degradation by low light, blur, noise and JPEG."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""(H, W, 3) BGR."""

LOW_LIGHT = (0.06, 0.6)
"""Range of the fraction of light that is left in dark pictures."""


def color_jitter(picture: Picture, rng: np.random.Generator) -> Picture:
    """Random brightness, contrast, gamma and white balance; grayscale with a probability of 10 %."""
    ramp = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25))  # (256, 1)
    ramp = (ramp - 0.5) * np.exp(rng.normal(0, 0.2)) + 0.5 + rng.normal(0, 0.1)
    ramp = ramp * np.exp(rng.normal(0, 0.07, 3))  # (256, 3), one column per channel
    table = np.clip(ramp * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        picture = np.repeat(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY))[..., None], 3, 2)
    return np.asarray(cv2.LUT(picture, table[None]), np.uint8)


def camera_artifacts(picture: Picture, rng: np.random.Generator) -> Picture:
    """Camera and codec artifacts, each with its own probability: gray, low light, blur, motion blur, noise, JPEG."""
    result: Any = picture
    if rng.random() < 0.12:
        result = np.repeat(np.asarray(cv2.cvtColor(result, cv2.COLOR_BGR2GRAY))[..., None], 3, 2)
    if rng.random() < 0.2:
        light = float(np.exp(rng.uniform(*np.log(LOW_LIGHT))))
        result = (result * np.float32(light)).astype(np.uint8)
    if rng.random() < 0.12:
        result = cv2.GaussianBlur(result, (0, 0), float(rng.uniform(0.4, 1.2)))
    if rng.random() < 0.12:
        result = cv2.filter2D(result, -1, motion_blur_kernel(float(rng.uniform(2, 7)), float(rng.uniform(0, np.pi))))
    if rng.random() < 0.18:
        noise = rng.standard_normal(result.shape, np.float32) * np.float32(rng.uniform(2, 12))
        result = np.clip(result + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        quality = int(rng.integers(30, 91))
        result = cv2.imdecode(cv2.imencode(".jpg", result, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
    return np.asarray(result, np.uint8)


def motion_blur_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """Motion blur: a centered line of ``length`` pixels at ``angle`` radians; the kernel sums to 1."""
    side = 2 * int(np.ceil(length / 2)) + 1
    offset = np.arange(side) - side // 2
    along = offset * np.cos(angle) + offset[:, None] * np.sin(angle)
    across = offset[:, None] * np.cos(angle) - offset * np.sin(angle)
    kernel = np.clip(1 - np.abs(across), 0, 1) * np.clip(length / 2 + 0.5 - np.abs(along), 0, 1)
    return np.asarray(kernel / kernel.sum(), np.float32)

"""Invented detail: the part of what a network adds to the bicubic image that is not in the ground truth."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from .image import luma

Plane = NDArray[np.float32]

BANDS = 8
"""Bands of half an octave, from the finest detail (wavelengths up to 2.4 px) to wavelengths of 27 px; what is coarser,
such as a change of brightness, is no detail."""
BAND_OCTAVES = 0.5
WINDOW = 3.0
"""Side of the window of the local fit, in wavelengths of the band."""
MIN_ADDED = 1.0
"""Least energy per pixel that the share refers to, in squared gray levels; below, rounding would count as detail."""
_EPSILON = 1e-6


def invented_detail(sr: NDArray[np.uint8], hr: NDArray[np.uint8], bicubic: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of the energy that a network adds to the bicubic image without a counterpart in the ground truth.

    On luma, added detail is ``sr - bicubic`` and missing detail ``hr - bicubic``. In each band of frequencies and
    around each pixel, the added detail is projected on the missing detail, with a factor limited to 0..1; the rest is
    invented. So neither detail of the wrong sign nor more contrast than the truth has is excused, nor scratches by
    right detail beside them. The invented energy of all bands and pixels is divided by the added energy.

    The share does not depend on how much is added: a network that halves all it adds has the same share. Read it
    beside the gain in PSNR, which an estimate of least mean square error ties to it: 10^(-gain / 10) would be its
    share if the fit were global, e.g. 0.5 at +3 dB.

    Args:
        sr: (N, H, W, 3) upscaled images, BGR in 0..255.
        hr: ground truth.
        bicubic: bicubic upscaling of the input of `sr`.

    Returns:
        (N,), 0..1; lower is better. 0 for the ground truth, for the bicubic image, and for any part of the missing
        detail; about 1 for noise, for codec blocks that are made visible, and for blur.
    """
    planes = zip(luma(sr), luma(hr), luma(bicubic), strict=True)
    return np.array([_invented_share(x - base, y - base) for x, y, base in planes])


def _invented_share(added: NDArray[np.float64], missing: NDArray[np.float64]) -> float:
    height, width = (length // 2 * 2 for length in added.shape)  # OpenCV's DCT takes even sizes
    added_spectrum, missing_spectrum = (_spectrum(plane[:height, :width]) for plane in (added, missing))
    invented = total = 0.0
    for wavelength, response in _bands(height, width):
        planes = _plane(added_spectrum * response), _plane(missing_spectrum * response)
        energies = _energies(*planes, wavelength)
        invented, total = invented + energies[0], total + energies[1]
    return float(invented / max(total, MIN_ADDED * height * width))


def _spectrum(plane: NDArray[np.float64]) -> Plane:
    return np.asarray(cv2.dct(plane.astype(np.float32)), np.float32)


def _plane(spectrum: Plane) -> Plane:
    return np.asarray(cv2.idct(spectrum), np.float32)


def _energies(added: Plane, missing: Plane, wavelength: float) -> tuple[float, float]:
    """Energy of the invented part of one band, and of all that was added."""
    energy, missing_energy = _local_mean(added * added, wavelength), _local_mean(missing * missing, wavelength)
    product = _local_mean(added * missing, wavelength)
    factor = np.clip(product / (missing_energy + _EPSILON), 0, 1)
    invented = energy - 2 * factor * product + factor**2 * missing_energy
    return float(np.maximum(invented, 0).sum()), float(energy.sum())


def _local_mean(plane: Plane, wavelength: float) -> Plane:
    side = 2 * int(WINDOW * wavelength / 2) + 1
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


@lru_cache(maxsize=8)
def _bands(height: int, width: int) -> tuple[tuple[float, Plane], ...]:
    """Wavelength in pixels and response (H, W) to the frequencies of the DCT of each band.

    The squared responses of neighbors add up to 1, so that the energies of bands can be added.
    """
    frequency = np.hypot(np.arange(height)[:, None] / height, np.arange(width)[None] / width)  # 1: wavelength 2 px
    position = -np.log2(np.maximum(frequency, 1e-6)) / BAND_OCTAVES  # in bands; up to -1 in the corner
    bands = []
    for band in range(BANDS):
        distance = np.abs(np.maximum(position, 0) - band)
        response = np.where(distance < 1, np.cos(np.pi / 2 * distance), 0)
        bands.append((2 * 2 ** (BAND_OCTAVES * band), response.astype(np.float32)))
    return tuple(bands)

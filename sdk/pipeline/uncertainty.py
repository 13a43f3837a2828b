"""The uncertainty of upscaled faces, and its pictures: a heat overlay, its legend, and a sheet of a face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.errors import InputError, UsageError
from ...engines.uncertainty import UncertaintySession
from .results import Face

FULL_SCALE = 48
"""Half width in gray levels that has the last color of the overlay; the same for all faces, so that they compare."""
OPACITY = 0.8
"""Of the color at `FULL_SCALE`; it falls linearly to 0 where the half width is 0."""


class Upscaled(Protocol):
    """A crop and what a network made of it: a `Face`, or the `face` of a `BestShot`."""

    @property
    def original(self) -> NDArray[np.uint8]:
        """(S, S, 3) uint8 BGR."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(kS, kS, 3) uint8 BGR."""


def uncertainty_of(face: Upscaled, session: UncertaintySession) -> NDArray[np.uint8]:
    """The uncertainty of one face.

    Args:
        face: upscaled by the network that the session is calibrated for.
        session: see `load_uncertainty`.

    Returns:
        (kS, kS) uint8, half the width of the 90 % interval of the luma of each pixel, gray levels.

    Raises:
        UsageError: a face of a live run that the network did not upscale, but that was reused, enlarged or upscaled
            by a smaller network.
        EngineError: the face has another scale, or the session is closed.
    """
    treatment = getattr(face, "treatment", "network")
    if treatment != "network":
        raise UsageError(f"the face is {treatment!r}, not upscaled by the network from this crop; take another shot")
    own: NDArray[np.uint8] = session.infer(face.original[None], face.pixels[None])[0]
    return own


def with_uncertainty(faces: Sequence[Face], session: UncertaintySession) -> tuple[Face, ...]:
    """The faces of a frame with their uncertainty, those of one size in one batch; raises as `uncertainty_of`."""
    maps: dict[int, NDArray[np.uint8]] = {}
    for side in sorted({face.original.shape[0] for face in faces}):
        rows = [n for n, face in enumerate(faces) if face.original.shape[0] == side]
        crops, pixels = np.stack([faces[n].original for n in rows]), np.stack([faces[n].pixels for n in rows])
        maps |= dict(zip(rows, session.infer(crops, pixels), strict=True))
    return tuple(replace(face, uncertainty=maps[n]) for n, face in enumerate(faces))


def uncertainty_sheet(face: Face) -> NDArray[np.uint8]:
    """A picture of a face with uncertainty: camera pixels enlarged, network pixels, overlay; below it the legend.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: the face has no uncertainty.
    """
    if face.uncertainty is None:
        raise InputError("expected a face with uncertainty; load the pipeline with uncertainty=True")
    height, width = face.pixels.shape[:2]
    camera = np.asarray(cv2.resize(face.original, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    gap = np.full((height, 4, 3), 255, np.uint8)
    faces = np.hstack([camera, gap, face.pixels, gap, overlay(face.pixels, face.uncertainty)])
    scale = legend(faces.shape[1])
    return np.vstack([faces, np.full((4, faces.shape[1], 3), 255, np.uint8), scale])


def overlay(pixels: NDArray[np.uint8], uncertainty: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A face in gray with its uncertainty as heat: the surer a pixel, the less color.

    Args:
        pixels: (kS, kS, 3) uint8 BGR, see `Face.pixels`.
        uncertainty: (kS, kS) uint8, gray levels, see `Face.uncertainty`.

    Returns:
        (kS, kS, 3) uint8 BGR.

    Raises:
        InputError: another shape or dtype, or the two differ in size.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise InputError(f"expected pixels of (H, W, 3) uint8 BGR, got {pixels.shape} {pixels.dtype}")
    if uncertainty.shape != pixels.shape[:2] or uncertainty.dtype != np.uint8:
        raise InputError(
            f"expected an uncertainty of {pixels.shape[:2]} uint8 for pixels of {pixels.shape}, "
            f"got {uncertainty.shape} {uncertainty.dtype}; take both from the same face"
        )
    gray: Any = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)[..., None].astype(np.float32)
    share = np.asarray(np.minimum(uncertainty, FULL_SCALE) / FULL_SCALE, np.float32)
    opacity = OPACITY * share[..., None]
    return np.asarray(np.rint(gray + opacity * (_colors(share) - gray)), np.uint8)


def legend(width: int) -> NDArray[np.uint8]:
    """The scale of `overlay` over mid-gray, with its ends in gray levels: (28, width, 3) uint8 BGR on white.

    Args:
        width: pixels, 64 or more.

    Raises:
        InputError: a smaller width.
    """
    if width < 64:
        raise InputError(f"expected a legend of at least 64 px, got {width}")
    picture = np.full((28, width, 3), 255, np.uint8)
    ramp = np.rint(np.linspace(0, FULL_SCALE, width)).astype(np.uint8)[None].repeat(12, 0)
    picture[:12] = overlay(np.full((12, width, 3), 128, np.uint8), ramp)
    last = f">={FULL_SCALE}"
    (text_width, _), _ = cv2.getTextSize(last, cv2.FONT_HERSHEY_SIMPLEX, 0.38, 1)
    for text, x in (("0", 1), (last, width - text_width - 1)):
        cv2.putText(picture, text, (x, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def _colors(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colors of shares 0..1 of the full scale, (H, W) -> (H, W, 3): dark blue over red to yellow."""
    return np.asarray(cv2.applyColorMap(np.rint(255 * share).astype(np.uint8), cv2.COLORMAP_PLASMA), np.uint8)

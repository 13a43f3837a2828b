"""What a video file does not hold of an animation: repetitions, metadata, degrees of opacity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...pipeline.frame import Frame
from ..source_sink import Source

_ONCE = 1
_BLOCKS = {"icc": "ICC profile", "exif": "EXIF", "xmp": "XMP", "dpi": "resolution in dpi"}


def animation_losses(source: Source, frame: Frame, suffix: str, pixel_format: str) -> list[str]:
    """One line for each loss.

    Args:
        source: of the frames.
        frame: the first one.
        suffix: of the output, for the notes.
        pixel_format: of the encoder.
    """
    palette = pixel_format == "pal8"
    repetitions = getattr(source, "loop", None)
    losses = []
    if not palette and repetitions not in (None, _ONCE):
        count = f"{repetitions} repetitions" if repetitions else "endless repetition"
        losses.append(f"{count} dropped: {suffix} is played once; use .gif or .webp")
    for name, title in _BLOCKS.items():
        if frame.metadata is not None and getattr(frame.metadata, name):
            losses.append(f"{title} dropped: {suffix} holds none; use .webp or .png")
    if palette and frame.alpha is not None and _partial(frame.alpha):
        losses.append(f"opacity rounded to all or nothing: {suffix} holds no other; use .webp or .png")
    return losses


def _partial(alpha: NDArray[Any]) -> bool:
    return bool(((alpha > 0) & (alpha < np.iinfo(alpha.dtype).max)).any())

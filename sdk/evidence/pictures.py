"""Pictures of a face on an evidence card, as PNG files."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ..media.images.embed import png_with
from ..media.images.opencv import png
from ..pipeline.frame import Frame, ImageMetadata
from ..pipeline.paste import enlarge
from ..pipeline.uncertainty import legend, overlay
from ..provenance.iptc import marked
from .card import EvidenceItem, FrameView

MAX_VIEW_PX = 960
"""Longer side of the view of a picture, pixels."""
MAX_VIDEO_VIEW_PX = 480
"""The same for a frame of a video, of which a card may have many."""


@dataclass(frozen=True)
class Picture:
    """A file of a card.

    Args:
        name: of the file.
        role: what it is: "original", "nearest", "bicubic", "estimate", "uncertainty", "uncertainty-levels" or "frame".
        data: PNG.
        size_wh: width and height, pixels.
        by_network: whether it has pixels of a network.
    """

    name: str
    role: str
    data: bytes
    size_wh: tuple[int, int]
    by_network: bool = False


def view_of(frame: Frame, max_px: int = MAX_VIEW_PX) -> FrameView:
    """Reduce a frame so that its longer side has at most `max_px`; a smaller one is copied.

    It is reduced to twice the size first, by bilinear interpolation, and then by averaging: averaging alone would take
    3 to 11 ms of a 1080p or 2160p frame instead of 1 to 2 ms.
    """
    height, width = frame.pixels.shape[:2]
    ratio = min(1.0, max_px / max(height, width))
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    pixels = frame.pixels if ratio < 1 else frame.pixels.copy()
    if ratio < 0.5:
        pixels = np.asarray(cv2.resize(pixels, (2 * size[0], 2 * size[1]), interpolation=cv2.INTER_LINEAR), np.uint8)
    if ratio < 1:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return FrameView(frame.index, pixels, (width, height))


def view_picture(view: FrameView, number: int, icc: bytes = b"") -> Picture:
    """File of a view.

    Args:
        view: of a frame.
        number: of the view on its card, from 1.
        icc: profile of its pixels; b"" for none.
    """
    return _picture(f"frame-{number}.png", "frame", view.pixels, ImageMetadata(icc=icc))


def face_pictures(item: EvidenceItem, number: int, icc: bytes = b"") -> dict[str, Picture]:
    """Files of a face by their roles: the camera's crop, the same enlarged without and with a network, uncertainty.

    Args:
        item: the face.
        number: of the face on its card, from 1.
        icc: profile of its pixels; b"" for none.
    """
    face = item.face
    k = face.scale
    contents = {
        "original": face.original,
        "nearest": np.repeat(np.repeat(face.original, k, axis=0), k, axis=1),
        "bicubic": enlarge(face.original, k),
        "estimate": face.pixels,
    }
    if face.uncertainty is not None:
        heat = overlay(face.pixels, face.uncertainty)
        contents["uncertainty"] = np.vstack((heat, legend(heat.shape[1])))
        contents["uncertainty-levels"] = face.uncertainty
    plain = ImageMetadata(icc=icc)
    metadata = dict.fromkeys(contents, plain) | {"uncertainty-levels": ImageMetadata()}
    if item.treatment != "bicubic":
        metadata |= {"estimate": marked(plain), "uncertainty": marked()}
    return {
        role: _picture(f"face-{number}-{role}.png", role, pixels, metadata[role]) for role, pixels in contents.items()
    }


def _picture(name: str, role: str, pixels: NDArray[np.uint8], metadata: ImageMetadata) -> Picture:
    """A file; one with pixels of a network has the mark that all such pictures get."""
    size_wh = pixels.shape[1], pixels.shape[0]
    return Picture(name, role, png_with(png(pixels), metadata), size_wh, by_network=bool(metadata.xmp))

"""Pasting faces into a frame: by region, and by warping every face to the whole frame, as restoration tools do."""

from __future__ import annotations

from contextlib import ExitStack

import cv2
import numpy as np
from numpy.typing import NDArray

from ...pipeline.paste import enlarge, paste
from ...pipeline.results import Face
from .task import Call, Peer, Task


def paste_task(frame: NDArray[np.uint8], faces: tuple[Face, ...], outscale: int) -> Task:
    """The task of pasting upscaled faces into an enlarged frame.

    Args:
        frame: (H, W, 3) uint8 BGR.
        faces: of the frame, upscaled.
        outscale: size of the composite relative to the frame.
    """
    background = enlarge(frame, outscale)

    def by_region(stack: ExitStack) -> Call:
        composite = background.copy()
        return lambda: paste(composite, faces, outscale)

    def by_warp(stack: ExitStack) -> Call:
        return lambda: paste_by_warp(background, faces, outscale)

    height, width = background.shape[:2]
    title = f"pasting {len(faces)} faces into a composite of {width}x{height} px: ms per frame"
    peers = (Peer("facesr-edge, by region", by_region), Peer("warp of each face to the whole frame", by_warp))
    return Task("paste", title, "frame", peers, lambda reference, result: {}, slow=True)


def paste_by_warp(background: NDArray[np.uint8], faces: tuple[Face, ...], outscale: int) -> NDArray[np.uint8]:
    """Paste faces with the method of the face restoration library facexlib, which GFPGAN uses.

    Each face and its mask are warped to the size of the whole frame; the mask is eroded and blurred there, and the
    whole frame is blended in floating point. The mask has one channel instead of the library's three.

    Args:
        background: (outscale·H, outscale·W, 3) uint8 BGR.
        faces: of the frame.
        outscale: size of the background relative to the frame.

    Returns:
        The composite, as the background.
    """
    size_wh = background.shape[1], background.shape[0]
    composite = background.astype(np.float32)
    for face in faces:
        side, scale = len(face.pixels), outscale / face.scale
        left, top = (outscale * v + (scale - 1) / 2 for v in face.window_xyxy[:2])  # pixel centers are at integers
        matrix = np.array([[scale, 0, left], [0, scale, top]], np.float32)
        warped = cv2.warpAffine(face.pixels, matrix, size_wh)
        mask = cv2.warpAffine(np.ones((side, side), np.float32), matrix, size_wh)
        mask = cv2.erode(mask, np.ones((2 * outscale, 2 * outscale), np.uint8))
        edge = max(1, round(float(mask.sum()) ** 0.5) // 20)
        center = cv2.erode(mask, np.ones((2 * edge, 2 * edge), np.uint8))
        soft = cv2.GaussianBlur(center, (2 * edge + 1, 2 * edge + 1), 0)[..., None]
        composite = soft * warped + (1 - soft) * composite
    return composite.clip(0, 255).astype(np.uint8)

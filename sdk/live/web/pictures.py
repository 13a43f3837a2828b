"""Pictures for the page: made only when somebody looks, and encoded once for all who look."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ...media.images.embed import marked_jpeg
from ...media.images.opencv import jpeg, png
from ...pipeline.paste import enlarge, paste

if TYPE_CHECKING:
    from ...pipeline.results import Face
    from ..monitoring.monitor import Monitor
    from ..results import LiveFace, LiveResult

WIDTHS = (320, 480, 640, 960)
"""Widths of a view in pixels; few, so that viewers share them."""
INTERVAL_S = 0.2
"""Minimum time between two pictures of a camera: 5 frames/s."""
MAX_SHARE = 0.25
"""Share of one processor core that pictures may take, however many viewers and cameras there are."""
FACE_SIDE = 192
"""Maximum side of the picture of an upscaled face, in pixels."""
FACE_MARGIN = 1.3
"""Side of the pictures of a face, relative to the longer side of its box."""
MAX_FACES = 12
"""Maximum number of faces of a frame with pictures; the others are listed."""


class Shown:
    """A result as viewers see it.

    Args:
        number: of results of the camera up to this one.
        result: to be shown.
        time_s: when it was chosen, on the clock of `time.monotonic`.
    """

    def __init__(self, number: int, result: LiveResult, time_s: float) -> None:
        self.number, self.result, self.time_s = number, result, time_s
        self.cost_s = 0.0
        self._views: dict[int, bytes] = {}
        self._faces: dict[int, tuple[bytes, bytes]] | None = None
        self._lock = Lock()

    def view(self, width: int) -> bytes:
        """The composite as JPEG, at most `width` pixels wide."""
        with self._lock:
            if width not in self._views:
                start = time.thread_time()
                picture = jpeg(composite(self.result, width), 80)
                self._views[width] = marked_jpeg(picture) if _has_network_pixels(self.result) else picture
                self.cost_s += time.thread_time() - start
            return self._views[width]

    def faces(self) -> dict[int, tuple[bytes, bytes]]:
        """Track id -> camera crop as PNG, upscaled face as JPEG; of the first `MAX_FACES` faces."""
        with self._lock:
            if self._faces is None:
                start = time.thread_time()
                self._faces = {face.track_id: _pair(face) for face in self.result.faces[:MAX_FACES]}
                self.cost_s += time.thread_time() - start
            return self._faces


class Pictures:
    """What is shown of each camera.

    Args:
        monitor: knows the newest results.
        clock: seconds, like `time.monotonic`.
    """

    def __init__(self, monitor: Monitor, clock: Callable[[], float] = time.monotonic) -> None:
        self._monitor, self._clock = monitor, clock
        self._shown: dict[str, Shown] = {}
        self._lock = Lock()

    def shown(self, camera: str) -> Shown | None:
        """The same for all viewers: the newest result, or for a short time the one before; None before the first."""
        number, result = self._monitor.newest(camera)
        with self._lock:
            now_s, last = self._clock(), self._shown.get(camera)
            if result is not None and (last is None or (number > last.number and self._is_due(last, now_s))):
                last = self._shown[camera] = Shown(number, result, now_s)
            return last

    def _is_due(self, last: Shown, now_s: float) -> bool:
        watched = (shown.cost_s for shown in self._shown.values() if now_s - shown.time_s < 10 * INTERVAL_S)
        return now_s - last.time_s >= max(INTERVAL_S, sum(watched) / MAX_SHARE)


def composite(result: LiveResult, width: int) -> NDArray[np.uint8]:
    """The frame with the faces pasted in, at most `width` pixels wide and not larger than the run's own composite.

    Args:
        result: of the frame; its own composite is neither made nor needed.
        width: maximum, in pixels.
    """
    pixels = result.source.pixels
    outscale = min(result.outscale, max(1, -(-width // pixels.shape[1])))
    canvas = enlarge(pixels, outscale) if outscale > 1 else pixels.copy()
    paste(canvas, result.faces, outscale)
    if canvas.shape[1] <= width:
        return canvas
    size = (width, max(1, round(canvas.shape[0] * width / canvas.shape[1])))
    return np.asarray(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA), np.uint8)


def close_up(face: Face) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The square around the box of a face.

    Args:
        face: its window contains the square, or as much of it as is shown.

    Returns:
        (s, s, 3) uint8 pixels of the camera, and (k·s, k·s, 3) of the network, of the same part of the frame.
    """
    x0, y0, x1, y1 = (float(value) for value in face.box_xyxy)
    window = len(face.original)
    side = min(window, max(8, math.ceil(FACE_MARGIN * max(x1 - x0, y1 - y0))))
    centers = (x0 + x1) / 2 - face.window_xyxy[0], (y0 + y1) / 2 - face.window_xyxy[1]
    left, top = (min(max(0, round(center - side / 2)), window - side) for center in centers)
    k = face.scale
    part = np.s_[top : top + side, left : left + side]
    return face.original[part], face.pixels[k * top : k * (top + side), k * left : k * (left + side)]


def _pair(face: LiveFace) -> tuple[bytes, bytes]:
    original, estimate = close_up(face)
    if len(estimate) > FACE_SIDE:
        estimate = np.asarray(cv2.resize(estimate, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    enlarged = jpeg(estimate, 90)
    return png(original), marked_jpeg(enlarged) if face.by_network else enlarged


def _has_network_pixels(result: LiveResult) -> bool:
    """Also at the size of the frame, where the faces are downscaled."""
    return any(face.by_network for face in result.faces)

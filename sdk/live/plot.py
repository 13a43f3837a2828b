"""A picture of a result: boxes with track ids and treatments, and the faces before and after, enlarged."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .results import LiveFace, LiveResult

Color = tuple[int, int, int]
Box = tuple[int, int, int, int]

COLORS: dict[str, Color] = {
    "network": (115, 158, 0),
    "small network": (66, 228, 240),
    "reused": (233, 180, 86),
    "bicubic": (0, 159, 230),
    "skipped": (190, 190, 190),
}
"""Treatment -> BGR; colors that colour-blind people tell apart (Okabe and Ito), light enough for black text."""
BACKGROUND, INK = (32, 32, 32), (235, 235, 235)
FONT = cv2.FONT_HERSHEY_SIMPLEX
STRIP = 0.25
"""Height of the enlarged faces, as a share of the picture's."""
MIN_STRIP = 96
"""The same in pixels."""


def plot(result: LiveResult, *, strip: bool = True) -> NDArray[np.uint8]:
    """Draw a result on a copy of its composite. Dashed boxes are predicted, not detected.

    Args:
        result: of one frame.
        strip: add a strip below with each face's original beside its upscaled pixels. Its height depends on the size of
            the frame alone, so that the pictures of a camera make a video.

    Returns:
        (H', W', 3) uint8 BGR.
    """
    picture = result.frame.copy()
    labels = [(one.box_xyxy, "skipped", f"{one.track_id} {one.reason}") for one in result.skipped]
    labels += [(one.box_xyxy, one.treatment, f"{one.track_id} {one.treatment}") for one in result.faces]
    dashed = [not face.detected for face in result.skipped] + [not face.detected for face in result.faces]
    for (box, kind, _), dashes in zip(labels, dashed, strict=True):
        _box(picture, _in_picture(box, picture, result.outscale), COLORS[kind], dashes)
    for box, kind, label in labels:  # above all boxes
        _label(picture, _in_picture(box, picture, result.outscale), COLORS[kind], label)
    return np.concatenate((picture, _strip(result, *picture.shape[:2]))) if strip else picture


def _text_scale(height: int) -> float:
    """Scale of the font: letters of 9 px at 360 rows, 18 px at 1080."""
    return 0.4 + max(0, height - 360) / 1800


def _text_wh(text: str, scale: float) -> tuple[int, int]:
    """Width and height of a line with its border."""
    (width, height), below = cv2.getTextSize(text, FONT, scale, _thickness(scale))
    return width + 6, height + below + 4


def _thickness(scale: float) -> int:
    return max(1, round(1.6 * scale))


def _text(picture: NDArray[np.uint8], x: int, y: int, text: str, ink: Color, scale: float) -> None:
    """One line with its top left corner at x, y; the font has ASCII only."""
    below = cv2.getTextSize(text, FONT, scale, _thickness(scale))[1]
    corner = (x + 3, y + _text_wh(text, scale)[1] - below - 1)
    printable = text.encode("ascii", "replace").decode()
    cv2.putText(picture, printable, corner, FONT, scale, ink, _thickness(scale), cv2.LINE_AA)


def _in_picture(box_xyxy: NDArray[np.float32], picture: NDArray[np.uint8], outscale: int) -> Box:
    """A box of the frame in pixels of the picture, cut at its edges."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = (int(v) for v in np.clip(np.rint(box_xyxy * outscale), 0, (width, height) * 2))
    return x0, y0, x1, y1


def _line(picture: NDArray[np.uint8]) -> int:
    """Width of a line, pixels."""
    return max(1, round(len(picture) / 400))


def _box(picture: NDArray[np.uint8], box: Box, color: Color, dashed: bool) -> None:
    if dashed:
        _dashed(picture, box, color, _line(picture))
    else:
        cv2.rectangle(picture, box[:2], box[2:], color, _line(picture))


def _label(picture: NDArray[np.uint8], box: Box, color: Color, text: str) -> None:
    """A line of text above a box, or below it at the upper edge."""
    height, width = picture.shape[:2]
    scale = _text_scale(height)
    text_width, text_height = _text_wh(text, scale)
    x = min(max(box[0] - _line(picture), 0), max(width - text_width, 0))
    y = box[1] - text_height if box[1] >= text_height else min(box[3], height - text_height)
    cv2.rectangle(picture, (x, y), (x + text_width, y + text_height), color, cv2.FILLED)
    _text(picture, x, y, text, (0, 0, 0), scale)


def _dashed(picture: NDArray[np.uint8], box: Box, color: Color, line: int) -> None:
    """A rectangle of dashes of four line widths."""
    x0, y0, x1, y1 = box
    for start in range(x0, x1, 8 * line):
        for y in (y0, y1):
            cv2.line(picture, (start, y), (min(start + 4 * line, x1), y), color, line)
    for start in range(y0, y1, 8 * line):
        for x in (x0, x1):
            cv2.line(picture, (x, start), (x, min(start + 4 * line, y1)), color, line)


def _strip(result: LiveResult, height: int, width: int) -> NDArray[np.uint8]:
    """A line of text, and below it as many faces as fit, best first."""
    scale = _text_scale(height)
    row, side = _text_wh("0", scale)[1], max(MIN_STRIP, 2 * round(STRIP * height / 2))  # even, as videos must be
    strip = np.full((side + 2 * row, width, 3), BACKGROUND, np.uint8)
    best = sorted(result.faces, key=lambda face: -face.usability.score)
    shown = best[: max(0, width // (2 * side))]
    for index, face in enumerate(shown):
        _pair(strip[row:, 2 * side * index :], face, side, scale)
    count = f"{len(best)} face{'s' * (len(best) != 1)}" + (f", {len(shown)} below" if len(shown) < len(best) else "")
    text = f"{result.camera}  frame {result.source.index}  {result.times.age_ms:.0f} ms old  {count}"
    _text(strip, 0, 0, text, INK, scale)
    return strip


def _pair(strip: NDArray[np.uint8], face: LiveFace, side: int, scale: float) -> None:
    """The original, its pixels as squares, beside the upscaled face; below them the track and its usability."""
    size = (side, side)
    strip[:side, :side] = cv2.resize(face.original, size, interpolation=cv2.INTER_NEAREST)
    smaller = face.pixels.shape[0] > side
    method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    strip[:side, side : 2 * side - 4] = cv2.resize(face.pixels, size, interpolation=method)[:, : side - 4]
    cv2.rectangle(strip, (0, 0), (2 * side - 5, side - 1), COLORS[face.treatment], max(1, side // 100))
    text = f"{face.track_id}  {face.usability.side_px:.0f} px  {face.usability.verdict}"
    _text(strip[:, : 2 * side - 4], 0, side, text, INK, scale)

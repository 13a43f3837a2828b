"""A picture of where a detector is wrong: missed faces and false alarms, the worst first, each with a caption."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.metrics.detection_report import DetectionError, false_negatives, false_positives
from .detectors import DetectorResult

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

COLUMNS = 8
MOST = {"missed": 4 * COLUMNS, "alarm": 3 * COLUMNS}
"""Tiles of each kind at most."""
COLOURS: dict[str, Colour] = {"missed": (58, 48, 214), "alarm": (24, 146, 245)}
"""Kind -> colour of its border, BGR: red and orange."""
TILE, BORDER, GAP, CAPTION = 128, 4, 16, 42
"""Side of a crop, its border, the space between tiles, and the height of the caption below, in pixels."""
WIDTH = COLUMNS * (TILE + GAP) + GAP
PAPER, OUTSIDE, INK, FAINT = (250, 250, 250), (222, 222, 222), (36, 36, 36), (112, 112, 112)
FONT = cv2.FONT_HERSHEY_SIMPLEX
CONTEXT = 2.2
"""The window round a face is so many times as large as its box, so that one sees where the face is."""
LEAST_WINDOW = 28
"""Side of the smallest window, in pixels of the picture: a smaller one would be a blur."""


def error_sheet(judged: DetectorResult, title: str) -> Picture:
    """Draw the worst of a detector, at the score in use.

    Args:
        judged: what it found, and where it should have found something.
        title: the first line.

    Returns:
        (H, 1168, 3) uint8 BGR.
    """
    score = judged.quality.score
    lost, alarms = false_negatives(judged.seen, score), false_positives(judged.seen, score)
    parts = [
        _line(title, 0.62, INK, 52),
        *_section(lost, ("missed face", "missed faces"), f"at a score of {score:g}", "largest first"),
        *_section(alarms, ("false alarm", "false alarms"), f"at a score of {score:g}", "highest score first"),
        _paper(GAP, WIDTH),
    ]
    return np.concatenate(parts, axis=0)


def _section(wrongs: Sequence[DetectionError], named: tuple[str, str], where: str, order: str) -> list[Picture]:
    """A heading, and rows of tiles."""
    if not wrongs:
        return [_line(f"No {named[0]} {where}", 0.5, FAINT, 40)]
    shown = wrongs[: MOST[wrongs[0].kind]]
    rest = f"; the first {len(shown)}" if len(shown) < len(wrongs) else ""
    tiles = [_tile(wrong) for wrong in shown]
    rows = zip_longest(*(tiles[n::COLUMNS] for n in range(COLUMNS)), fillvalue=_paper(*tiles[0].shape[:2]))
    margin = _paper(tiles[0].shape[0], GAP)
    return [
        _line(f"{len(wrongs)} {named[len(wrongs) > 1]} {where}, {order}{rest}", 0.5, FAINT, 40),
        *(np.concatenate([margin, *(part for tile in row for part in (tile, margin))], axis=1) for row in rows),
    ]


def _tile(wrong: DetectionError) -> Picture:
    """A crop with the box in it, a border in the colour of its kind, and two lines of caption."""
    colour = COLOURS[wrong.kind]
    crop = cv2.copyMakeBorder(_crop(wrong), BORDER, BORDER, BORDER, BORDER, cv2.BORDER_CONSTANT, value=colour)
    if wrong.kind == "alarm":
        told = f"{wrong.score:.2f}, {wrong.side:.0f} px"
    else:
        told = f"{wrong.side:.0f} px, " + ("not seen" if wrong.score is None else f"scored {wrong.score:.2f}")
    caption = _paper(CAPTION, TILE)
    _write(caption, told, (1, 15), 0.42, INK)
    _write(caption, _fitting(wrong.scene.path.stem, 0.36), (1, 31), 0.36, FAINT)
    return np.concatenate((np.asarray(crop, np.uint8), caption), axis=0)


def _crop(wrong: DetectionError) -> Picture:
    """The picture round a box, square, grey where the picture ends."""
    inner = TILE - 2 * BORDER
    left, top, right, bottom = (float(v) for v in wrong.box_xyxy)
    side = max(LEAST_WINDOW, round(CONTEXT * max(right - left, bottom - top)))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    picture = wrong.scene.read()
    x, y = (min(max(at, 1 - side), length - 1) for at, length in zip((x, y), picture.shape[1::-1], strict=True))
    view = np.full((side, side, 3), OUTSIDE, np.uint8)
    part = picture[max(y, 0) : y + side, max(x, 0) : x + side]
    view[max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]] = part
    scale = inner / side
    crop = cv2.resize(view, (inner, inner), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    x0, y0, x1, y1 = np.rint((wrong.box_xyxy - (x, y, x, y)) * scale).astype(int).tolist()
    cv2.rectangle(crop, (x0 - 1, y0 - 1), (x1 + 1, y1 + 1), (255, 255, 255), 1)
    cv2.rectangle(crop, (x0, y0), (x1, y1), COLOURS[wrong.kind], 1)
    return np.asarray(crop, np.uint8)


def _line(text: str, size: float, colour: Colour, height: int) -> Picture:
    line = _paper(height, WIDTH)
    _write(line, text, (GAP, height - 14), size, colour)
    return line


def _write(onto: Picture, text: str, at: tuple[int, int], size: float, colour: Colour) -> None:
    plain = text.encode("ascii", "replace").decode()  # the fonts of older versions know no other letters
    cv2.putText(onto, plain, at, FONT, size, colour, 1, cv2.LINE_AA)


def _fitting(text: str, size: float) -> str:
    """The text, its middle left out where it is wider than a tile."""
    short, kept = text, len(text)
    while kept > 6 and cv2.getTextSize(short, FONT, size, 1)[0][0] > TILE - 2:
        kept -= 1
        short = f"{text[: kept - kept // 2]}..{text[len(text) - kept // 2 :]}"
    return short


def _paper(height: int, width: int) -> Picture:
    return np.full((height, width, 3), PAPER, np.uint8)

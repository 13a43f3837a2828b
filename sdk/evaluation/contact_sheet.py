"""The contact sheet, as the papers print it: a row a face; input, bicubic, the models as they get better, the truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...calibration.metrics.image import psnr_y
from ...engines.errors import MissingDependencyError
from .compare import Comparison, ScaleGroup

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

Pictures = NDArray[np.uint8]

ZOOM = 2
"""A pixel of a face is so many pixels of the sheet wide and high, so that each can be seen."""
MARGIN, GUTTER, HEADING, NAMES, CAPTION, GAP = 40, 16, 56, 48, 36, 16
"""Round the sheet, between columns, above a scale, above its columns, below a face, between its rows, in pixels."""
TYPE_HEADING, TYPE_NAME, TYPE_CAPTION, TYPE_LEAST = 34, 28, 24, 14
PAPER, INK, FAINT = (255, 255, 255), (24, 24, 24), (118, 118, 118)


class Column(NamedTuple):
    """One column of a scale.

    Args:
        name: above it.
        tiles: (n, S, S, 3) uint8 BGR, a face a row.
        captions: below each face, "" for none.
        best: for each face, whether its caption is the best of the row.
    """

    name: str
    tiles: Pictures
    captions: list[str]
    best: list[bool]


def contact_sheet(comparison: Comparison) -> NDArray[np.uint8]:
    """Draw the examples of a comparison, one scale below the other.

    Returns:
        (H, W, 3) uint8 BGR; every pixel of a face is `ZOOM` by `ZOOM` pixels.

    Raises:
        MissingDependencyError: Pillow, which has the type, is not installed.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise MissingDependencyError("Pillow", "demo", "a contact sheet") from None
    scales = [columns(group) for group in comparison.groups]
    width = max(2 * MARGIN + _width(each) for each in scales)
    height = 2 * MARGIN + sum(_height(each) for each in scales) + MARGIN * (len(scales) - 1)
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    laid: list[tuple[Pictures, int, int]] = []
    top = MARGIN
    for group, each in zip(comparison.groups, scales, strict=True):
        _write(pen, _heading(group, comparison.degradation), (MARGIN + 1, top), TYPE_HEADING, INK, room=_width(each))
        for left, column in zip(_lefts(each), each, strict=True):
            laid += [(tile, left, y) for tile, y in _column(pen, column, left, top + HEADING)]
        top += _height(each) + MARGIN
    pixels: Pictures = np.array(sheet)[..., ::-1].copy()
    for tile, left, y in laid:
        pixels[y : y + tile.shape[0], left : left + tile.shape[1]] = tile
    return pixels


def columns(group: ScaleGroup) -> list[Column]:
    """The columns of a scale, from the input to the truth."""
    side, small = group.true.shape[1], group.small.shape[1]
    found = np.stack([psnr_y(row.examples, group.true) for row in group.rows])  # (rows, n)
    blank, none = [""] * len(group.true), [False] * len(group.true)
    nearest = group.small.repeat(side // small, axis=1).repeat(side // small, axis=2)
    return [
        Column("input", nearest, blank, none),
        *(
            Column(
                row.label,
                row.examples,
                ["exact" if np.isinf(db) else f"{db:.2f}" for db in own],
                list(own >= found.max(0)),
            )
            for row, own in zip(group.rows, found, strict=True)
        ),
        Column("truth", group.true, blank, none),
    ]


def _heading(group: ScaleGroup, degradation: str) -> str:
    side, small = group.true.shape[1], group.small.shape[1]
    how = "" if degradation == "bicubic" else f" ({degradation})"
    return f"x{group.scale}: {small}x{small}{how} to {side}x{side} pixels, PSNR of Y in dB"


def _column(pen: ImageDraw, column: Column, left: int, top: int) -> Iterator[tuple[Pictures, int]]:
    """Write a column's name and captions; yields its tiles as they lie on the sheet, and where they begin."""
    side = ZOOM * column.tiles.shape[1]
    middle = left + side / 2
    _write(pen, column.name, (middle, top + NAMES / 2), TYPE_NAME, INK, "mm", side)
    for number, tile in enumerate(column.tiles):
        y = top + NAMES + number * (side + CAPTION + GAP)
        colour = INK if column.best[number] else FAINT
        _write(pen, column.captions[number], (middle, y + side + CAPTION / 2 + 2), TYPE_CAPTION, colour, "mm", side)
        yield tile.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1), y


def _write(
    pen: ImageDraw,
    text: str,
    at: tuple[float, float],
    size: int,
    colour: tuple[int, int, int],
    anchor: str = "la",
    room: float = float("inf"),
) -> None:
    """Write a line, smaller where it has no room, and at last with its middle left out."""
    from PIL import ImageFont

    kept, whole = len(text), text
    while pen.textlength(text, ImageFont.load_default(size)) > room:
        if size > TYPE_LEAST:
            size -= 1
        else:
            kept -= 1
            text = f"{whole[: kept - kept // 2]}..{whole[len(whole) - kept // 2 :]}"
    pen.text(at, text, colour, ImageFont.load_default(size), anchor)


def _lefts(each: list[Column]) -> list[int]:
    return [MARGIN + number * (ZOOM * column.tiles.shape[2] + GUTTER) for number, column in enumerate(each)]


def _width(each: list[Column]) -> int:
    return _lefts(each)[-1] + ZOOM * int(each[-1].tiles.shape[2]) - MARGIN


def _height(each: list[Column]) -> int:
    faces, side = map(int, each[0].tiles.shape[:2])
    return HEADING + NAMES + faces * (ZOOM * side + CAPTION + GAP) - GAP

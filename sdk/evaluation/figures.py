"""Evaluation figures, drawn with Pillow: contact sheet of models, error sheet of a detector, sheet of references."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ...calibration.data.faces import low_resolution
from ...calibration.metrics.detection_report import DetectionError, false_negatives, false_positives
from ...calibration.metrics.evaluate import upscale_bicubic
from ...calibration.metrics.image import psnr_y
from ...engines.bundle.bundle import Bundle
from ..media.images.image_file import read_image
from ..pipeline.references import fit_crop, open_with_references
from .compare import Comparison, ScaleGroup, open_with_count
from .detectors import DetectorResult

Images = NDArray[np.uint8]
Color = tuple[int, int, int]

WHITE, BLACK, GRAY = (255, 255, 255), (24, 24, 24), (118, 118, 118)
ZOOM = 2
"""Integer magnification of face pixels, so that each pixel is visible."""
MIN_FONT = 12
"""Smallest font size, in pixels; longer text is shortened."""


class Canvas:
    """RGB image to draw on.

    Args:
        width, height: in pixels.
        background: RGB.
    """

    def __init__(self, width: int, height: int, background: Color = WHITE) -> None:
        self._image = Image.new("RGB", (width, height), background)
        self._draw = ImageDraw.Draw(self._image)

    def paste(self, image: Images, left: int, top: int, zoom: int = 1) -> None:
        """Paste an image, (H, W, 3) uint8 BGR; each pixel becomes `zoom` × `zoom` pixels."""
        rgb = image[..., ::-1].repeat(zoom, axis=0).repeat(zoom, axis=1)
        self._image.paste(Image.fromarray(np.ascontiguousarray(rgb)), (left, top))

    def rectangle(self, box_xyxy: tuple[int, int, int, int], color: Color, width: int = 1) -> None:
        """Draw the outline of a box; its corners are included."""
        self._draw.rectangle(box_xyxy, outline=color, width=width)

    def text(
        self,
        text: str,
        xy: tuple[float, float],
        size: int,
        color: Color = BLACK,
        anchor: str = "la",
        max_width: float = float("inf"),
    ) -> None:
        """Write one line; text wider than `max_width` gets a smaller font, then its middle is replaced by "..".

        Args:
            text: the line.
            xy: position of the anchor, in pixels.
            size: font size, in pixels.
            color: RGB.
            anchor: see Pillow: "la" is left and ascender, "mm" the middle.
            max_width: in pixels.
        """
        kept, full = len(text), text
        while self._draw.textlength(text, ImageFont.load_default(size)) > max_width:
            if size > MIN_FONT:
                size -= 1
            else:
                kept -= 1
                text = f"{full[: kept - kept // 2]}..{full[len(full) - kept // 2 :]}"
        self._draw.text(xy, text, color, ImageFont.load_default(size), anchor)

    def bgr(self) -> Images:
        """The image, (H, W, 3) uint8 BGR."""
        bgr: Images = np.array(self._image)[..., ::-1].copy()
        return bgr


MARGIN, GUTTER, HEADING, COLUMN_NAME, CAPTION, ROW_GAP = 40, 16, 56, 48, 36, 16
"""Contact sheet, in pixels: outer margin, space between columns, height of a scale's heading, of its column names and
of a caption, space between rows."""


class Column(NamedTuple):
    """One column of a contact sheet."""

    name: str  # heading
    tiles: Images  # (n, S, S, 3) uint8 BGR, one face per row
    captions: list[str]  # below each face; may be empty
    best: list[bool]  # for each face, whether its caption is the best of the row


def contact_sheet(*comparisons: Comparison) -> Images:
    """Draw the example faces of comparisons: one row per face, with input, bicubic, models and ground truth.

    Returns:
        (H, W, 3) uint8 BGR; each pixel of a face is `ZOOM` × `ZOOM` pixels.
    """
    groups = [(comparison.degradation, group) for comparison in comparisons for group in comparison.groups]
    scales = [columns(group) for _, group in groups]
    width = max((_width(group_columns) for group_columns in scales), default=0) + 2 * MARGIN
    height = MARGIN + sum(_height(group_columns) + MARGIN for group_columns in scales)
    canvas = Canvas(width, height)
    top = MARGIN
    for (degradation, group), group_columns in zip(groups, scales, strict=True):
        heading = _heading(group, degradation)
        canvas.text(heading, (MARGIN + 1, top), 34, max_width=_width(group_columns))
        for left, column in zip(_lefts(group_columns), group_columns, strict=True):
            _draw_column(canvas, column, left, top + HEADING)
        top += _height(group_columns) + MARGIN
    return canvas.bgr()


def columns(group: ScaleGroup) -> list[Column]:
    """Columns of a scale, from the input to the ground truth; captions are the luma PSNR of each face in dB."""
    zoom = group.true.shape[1] // group.small.shape[1]
    psnrs = np.stack([psnr_y(row.examples, group.true) for row in group.rows])  # (rows, n)
    empty, none = [""] * len(group.true), [False] * len(group.true)
    nearest = group.small.repeat(zoom, axis=1).repeat(zoom, axis=2)
    results = []
    for row, dbs in zip(group.rows, psnrs, strict=True):
        captions = ["exact" if np.isinf(db) else f"{db:.2f}" for db in dbs]
        results.append(Column(row.label, row.examples, captions, list(dbs >= psnrs.max(0))))
    return [Column("input", nearest, empty, none), *results, Column("ground truth", group.true, empty, none)]


def _heading(group: ScaleGroup, degradation: str) -> str:
    hr, lr = group.true.shape[1], group.small.shape[1]
    suffix = "" if degradation == "bicubic" else f" ({degradation})"
    return f"x{group.scale}: {lr}x{lr}{suffix} to {hr}x{hr} pixels, PSNR of Y in dB"


def _draw_column(canvas: Canvas, column: Column, left: int, top: int) -> None:
    side = ZOOM * column.tiles.shape[1]
    center = left + side / 2
    canvas.text(column.name, (center, top + COLUMN_NAME / 2), 28, BLACK, "mm", side)
    for n, tile in enumerate(column.tiles):
        y = top + COLUMN_NAME + n * (side + CAPTION + ROW_GAP)
        color = BLACK if column.best[n] else GRAY
        canvas.text(column.captions[n], (center, y + side + CAPTION / 2 + 2), 24, color, "mm", side)
        canvas.paste(tile, left, y, ZOOM)


def _lefts(group_columns: list[Column]) -> list[int]:
    return [MARGIN + n * (ZOOM * column.tiles.shape[2] + GUTTER) for n, column in enumerate(group_columns)]


def _width(group_columns: list[Column]) -> int:
    return _lefts(group_columns)[-1] + ZOOM * int(group_columns[-1].tiles.shape[2]) - MARGIN


def _height(group_columns: list[Column]) -> int:
    faces, side = map(int, group_columns[0].tiles.shape[:2])
    return HEADING + COLUMN_NAME + faces * (ZOOM * side + CAPTION + ROW_GAP) - ROW_GAP


ERROR_COLORS: dict[str, Color] = {"missed": (214, 48, 58), "false positive": (245, 146, 24)}
"""Kind of error -> RGB of its border: red and orange."""
ERROR_COLUMNS = 8
MAX_TILES = {"missed": 4 * ERROR_COLUMNS, "false positive": 3 * ERROR_COLUMNS}
TILE, BORDER, GAP, TILE_CAPTION = 128, 4, 16, 42
"""Error sheet, in pixels: side of a tile, width of its border, space between tiles, height of its caption."""
TITLE_HEIGHT, SECTION_HEIGHT = 52, 40
ERROR_SHEET_WIDTH = ERROR_COLUMNS * (TILE + GAP) + GAP
ERROR_BACKGROUND, OUTSIDE = (250, 250, 250), 222
CONTEXT = 2.2
"""Side of the crop around a box, in sides of the box, to show the surroundings."""
MIN_CROP = 28
"""Minimum side of the crop, in pixels of the image; smaller crops would be too blurred."""


def error_sheet(result: DetectorResult, title: str) -> Images:
    """Draw the false negatives and false positives of a detector at its score threshold.

    Args:
        result: of the detector, with its predictions.
        title: first line.

    Returns:
        (H, 1168, 3) uint8 BGR.
    """
    score = result.quality.score
    fn, fp = false_negatives(result.predictions, score), false_positives(result.predictions, score)
    sections = [
        (_section_heading(fn, "missed face", f"at score {score:g}", "largest first"), fn[: MAX_TILES["missed"]]),
        (
            _section_heading(fp, "false positive", f"at score {score:g}", "highest score first"),
            fp[: MAX_TILES["false positive"]],
        ),
    ]
    height = TITLE_HEIGHT + sum(_section_height(tiles) for _, tiles in sections) + GAP
    canvas = Canvas(ERROR_SHEET_WIDTH, height, ERROR_BACKGROUND)
    canvas.text(title, (GAP, TITLE_HEIGHT - 14), 20, anchor="ls", max_width=ERROR_SHEET_WIDTH - 2 * GAP)
    top = TITLE_HEIGHT
    for heading, tiles in sections:
        canvas.text(heading, (GAP, top + SECTION_HEIGHT - 14), 16, GRAY, anchor="ls")
        for n, error in enumerate(tiles):
            row, column = divmod(n, ERROR_COLUMNS)
            y = top + SECTION_HEIGHT + row * (TILE + TILE_CAPTION)
            _draw_error(canvas, error, GAP + column * (TILE + GAP), y)
        top += _section_height(tiles)
    return canvas.bgr()


def _section_heading(errors: Sequence[DetectionError], name: str, where: str, order: str) -> str:
    if not errors:
        return f"No {name} {where}"
    limit = MAX_TILES[errors[0].kind]
    suffix = f"; first {limit} shown" if len(errors) > limit else ""
    return f"{len(errors)} {name}{'s' if len(errors) > 1 else ''} {where}, {order}{suffix}"


def _section_height(tiles: Sequence[DetectionError]) -> int:
    return SECTION_HEIGHT + -(-len(tiles) // ERROR_COLUMNS) * (TILE + TILE_CAPTION)


def _draw_error(canvas: Canvas, error: DetectionError, left: int, top: int) -> None:
    """Draw a tile: the crop with its box, a border in the color of the kind, and two caption lines."""
    color = ERROR_COLORS[error.kind]
    crop, box = _crop(error)
    canvas.paste(crop, left + BORDER, top + BORDER)
    canvas.rectangle((left, top, left + TILE - 1, top + TILE - 1), color, BORDER)
    x0, y0, x1, y1 = (offset + BORDER + value for offset, value in zip((left, top, left, top), box, strict=True))
    canvas.rectangle((x0 - 1, y0 - 1, x1 + 1, y1 + 1), WHITE)
    canvas.rectangle((x0, y0, x1, y1), color)
    score = "no detection" if error.score is None else f"score {error.score:.2f}"
    canvas.text(f"{error.side:.0f} px, {score}", (left + 1, top + TILE + 16), 14, anchor="ls", max_width=TILE)
    canvas.text(error.scene.path.stem, (left + 1, top + TILE + 32), 12, GRAY, "ls", TILE)


def _crop(error: DetectionError) -> tuple[Images, tuple[int, int, int, int]]:
    """Square crop around a box, gray outside of the image, resized to the tile; and the box in pixels of the crop."""
    inner = TILE - 2 * BORDER
    left, top, right, bottom = (float(v) for v in error.box_xyxy)
    side = max(MIN_CROP, round(CONTEXT * max(right - left, bottom - top)))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    image = error.scene.read()
    x, y = (min(max(at, 1 - side), length - 1) for at, length in zip((x, y), image.shape[1::-1], strict=True))
    view = np.full((side, side, 3), OUTSIDE, np.uint8)
    part = image[max(y, 0) : y + side, max(x, 0) : x + side]
    view[max(-y, 0) :, max(-x, 0) :][: part.shape[0], : part.shape[1]] = part
    scale = inner / side
    crop = cv2.resize(view, (inner, inner), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    box = np.rint((error.box_xyxy - (x, y, x, y)) * scale).astype(int).clip(1, inner - 2)
    x0, y0, x1, y1 = (int(v) for v in box)
    return np.asarray(crop, np.uint8), (x0, y0, x1, y1)


REFERENCE_GAP = 8
"""Space between images of the reference sheet, before zooming, in pixels."""


def reference_sheet(
    bundle: Bundle, library: Path, image: Images, path: Path, faces: Path, threads: int = 0
) -> tuple[Images, list[str]]:
    """Draw a face, its nearest references, and the network's results with 0, 1, … references.

    Args:
        bundle: of a reference-based network.
        library: folder of a reference library.
        image: ground-truth face, (H, W, 3) uint8 BGR, at least as large as the network's output.
        path: of the ground-truth face, for error messages.
        faces: folder of the images from which the library was built.
        threads: CPU threads per call; 0 for one per core.

    Returns:
        (H, W, 3) uint8 BGR: in the first row bicubic, the ground truth and the references, nearest first; in the second
        the results with 0 references, 1, and so on. And the same as text, with luma PSNR.

    Raises:
        InputError, EngineError, UsageError, MissingDependencyError: see the message.
    """
    io_spec = bundle.card.io_spec
    true = fit_crop(image, path, io_spec)[None]
    lr = low_resolution(true, io_spec.scale)
    with closing(open_with_references(bundle, library, io_spec.references, "onnxruntime", threads)) as session:
        entries = [session.library.manifest.entries[index] for index in session.nearest(lr)[0]]
    references = []
    for entry in entries:
        face = fit_crop(read_image(faces / entry.file), faces / entry.file, io_spec)
        references.append(face[:, ::-1] if entry.mirrored else face)
    results = []
    for count in range(len(entries) + 1):
        with closing(open_with_count(bundle, library, count, "onnxruntime", threads)) as session_with_count:
            results.append(np.asarray(session_with_count.infer(lr)[0], np.uint8))
    bicubic = upscale_bicubic(lr, io_spec.scale)[0]
    lines = [f"bicubic: {psnr_y(bicubic[None], true)[0]:.2f} dB"]
    lines += [f"{count} references: {psnr_y(sr[None], true)[0]:.2f} dB" for count, sr in enumerate(results)]
    lines += [f"reference {n + 1}: {e.file}{', mirrored' if e.mirrored else ''}" for n, e in enumerate(entries)]
    return _grid([[bicubic, true[0], *references], results]), lines


def _grid(rows: list[list[Images]]) -> Images:
    """Rows of images of equal size, zoomed."""
    step = rows[0][0].shape[0] + REFERENCE_GAP
    width, height = (ZOOM * (REFERENCE_GAP + n * step) for n in (max(map(len, rows)), len(rows)))
    canvas = Canvas(width, height)
    for row, images in enumerate(rows):
        for column, image in enumerate(images):
            canvas.paste(image, ZOOM * (REFERENCE_GAP + column * step), ZOOM * (REFERENCE_GAP + row * step), ZOOM)
    return canvas.bgr()

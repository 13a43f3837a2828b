"""What a network makes of a face with no reference, with one, and so on, drawn side by side."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...calibration.data.faces import low_resolution
from ...calibration.metrics.evaluate import enlarged_by_bicubic
from ...calibration.metrics.image import psnr_y
from ...engines.bundle.bundle import Bundle
from ...engines.onnxruntime.session import OrtSession
from ...engines.session import Session
from ..media.images import read_picture
from ..pipeline.references import Pictures, fit_crop, open_with_references

GAP, ZOOM = 8, 2
"""Pixels between pictures, before each becomes so many wide and high."""
PAPER = 255


def reference_sheet(
    bundle: Bundle, library: Path, picture: Pictures, path: Path, faces: Path, threads: int = 0
) -> tuple[Pictures, list[str]]:
    """Draw a face, what it borrows from, and what comes of it.

    Args:
        bundle: of a network that borrows from references.
        library: folder of a library.
        picture: a true face, (H, W, 3) uint8 BGR, at least as large as the network's result.
        path: where it is from, for errors.
        faces: folder of the pictures that the library was made of.
        threads: CPU threads of one call; 0 for one a core.

    Returns:
        (H, W, 3) uint8 BGR: above the face enlarged by bicubic, the truth, and the entries, the nearest first; below
        the results with 0 references, 1, and so on. And the same in words, with PSNR on the luma.

    Raises:
        InputError, EngineError, UsageError: the text says what and what to do.
    """
    io_spec = bundle.card.io_spec
    true = fit_crop(picture, path, io_spec)[None]
    small = low_resolution(true, io_spec.scale)
    with closing(open_with_references(bundle, library, io_spec.references, threads=threads)) as session:
        entries = [session.library.about.entries[at] for at in session.near(small)[0]]
    lenders = []
    for entry in entries:
        face = fit_crop(read_picture(faces / entry.file), faces / entry.file, io_spec)
        lenders.append(face[:, ::-1] if entry.mirrored else face)
    results = []
    for count in range(len(entries) + 1):
        with closing(session_with(bundle, library, count, threads)) as one:
            results.append(np.asarray(one.infer(small)[0], np.uint8))
    bicubic = enlarged_by_bicubic(small, io_spec.scale)[0]
    said = [f"bicubic: {psnr_y(bicubic[None], true)[0]:.2f} dB"]
    said += [f"{count} references: {psnr_y(one[None], true)[0]:.2f} dB" for count, one in enumerate(results)]
    said += [f"reference {n + 1}: {e.file}{', mirrored' if e.mirrored else ''}" for n, e in enumerate(entries)]
    rows = [bicubic, true[0], *lenders], results
    return _laid(rows), said


def session_with(bundle: Bundle, library: Path, count: int, threads: int = 0) -> Session:
    """A session that borrows from so many references; from 0, one that borrows from none."""
    if count == 0:
        return OrtSession(bundle, threads)
    return open_with_references(bundle, library, count, threads=threads)


def _laid(rows: tuple[list[Pictures], list[Pictures]]) -> NDArray[np.uint8]:
    side = rows[0][0].shape[0]
    step = side + GAP
    sheet = np.full((GAP + len(rows) * step, GAP + max(map(len, rows)) * step, 3), PAPER, np.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            y, x = GAP + row * step, GAP + column * step
            sheet[y : y + side, x : x + side] = picture
    return sheet.repeat(ZOOM, 0).repeat(ZOOM, 1)

"""The whole thing on a sample picture: faces of several sizes in one frame, and everything that can be looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..calibration.data.faces import astronaut
from ..engines.errors import OutputError
from .media.images import write_picture
from .media.sources import open_source
from .pipeline.pipeline import Pipeline
from .pipeline.results import Face, FrameResult
from .profiling.json_writer import JsonWriter
from .profiling.profile import WARM_UP, Profile, profile
from .profiling.report import face_side, write_report
from .profiling.trace import write_trace

SIZE_WH = (1280, 720)
PORTRAITS = ((48, 104, 512), (616, 104, 328), (976, 104, 246), (616, 460, 164), (812, 460, 123))
"""Left, top and side of each copy of the portrait. In its 512 px the face is about 100 px high; so here 64, 48, 32 and
24 px, and one that is too large to need help."""
SHEET_SIDE = 256
FRAMES = 8
"""How often the frame is run for the profile, the warm-up included."""


@dataclass(frozen=True, eq=False)
class Demo:
    """What the demo left.

    Args:
        folder: where.
        result: of the frame.
        profile: of the same frame, over and over.
    """

    folder: Path
    result: FrameResult
    profile: Profile


def demo(pipeline: Pipeline, folder: Path, report: Callable[[int], None] = lambda done: None) -> Demo:
    """Run everything on the sample picture, and leave what can be looked at.

    Args:
        pipeline: what is shown.
        folder: gets frame.png, composite.png, faces/, faces.json, profile.html and trace.json.
        report: told how many of the `FRAMES` frames are done.

    Raises:
        MissingDependencyError: scikit-image, which holds the picture, is not installed.
        OutputError: the folder cannot be written.
    """
    frame = sample_frame()
    try:
        (folder / "faces").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder with -o") from None
    write_picture(folder / "frame.png", frame)
    with open_source(folder / "frame.png") as source:
        result = next(iter(pipeline.stream(source)))
        measured = profile(pipeline, source, frames=FRAMES - WARM_UP, warm_up=WARM_UP, report=report)
    if result.frame is not None:
        write_picture(folder / "composite.png", result.frame)
    largest_first = sorted(result.faces, key=face_side, reverse=True)
    for number, face in enumerate(largest_first, start=1):
        name = f"{number:02d}-{face_side(face):.0f}px"
        write_picture(folder / "faces" / f"{name}-camera.png", face.original)
        write_picture(folder / "faces" / f"{name}-network.png", face.pixels)
    if largest_first:
        write_picture(folder / "faces" / "sheet.png", contact_sheet(largest_first))
    with JsonWriter(folder / "faces.json", {"source": "frame.png", "model": pipeline.card.name}) as record:
        record.add(result)
    write_report(measured, folder / "profile.html")
    write_trace(measured, folder / "trace.json")
    return Demo(folder, result, measured)


def sample_frame() -> NDArray[np.uint8]:
    """Portraits of several sizes on a wall.

    Returns:
        (720, 1280, 3) uint8 BGR.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    picture = astronaut()
    width, height = SIZE_WH
    light = np.linspace(0, 1, height)[:, None] * 0.6 + np.linspace(0, 1, width)[None, :] * 0.4
    wall = np.array([196, 192, 188]) - light[:, :, None] * np.array([58, 60, 64])
    frame: NDArray[np.uint8] = np.rint(wall).astype(np.uint8)
    for x, y, side in PORTRAITS:
        _hang(frame, np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8), x, y)
    return frame


def _hang(frame: NDArray[np.uint8], print_: NDArray[np.uint8], x: int, y: int) -> None:
    """Put a print with a white margin on the wall, with the shadow that it throws."""
    side, margin = print_.shape[0], 6
    shadow = np.zeros(frame.shape[:2], np.float32)
    shadow[y - margin + 6 : y + side + margin + 8, x - margin + 3 : x + side + margin + 5] = 0.4
    frame[:] = np.rint(frame * (1 - cv2.GaussianBlur(shadow, (0, 0), 7)[:, :, None]))
    frame[y - margin : y + side + margin, x - margin : x + side + margin] = 244
    frame[y : y + side, x : x + side] = print_


def contact_sheet(faces: list[Face]) -> NDArray[np.uint8]:
    """Faces in rows: the camera's pixels, bicubic, and the network's estimate, all at one size."""
    gap = 12
    rows = []
    for face in faces:
        views = [_shown(face.original, cv2.INTER_NEAREST), _shown(face.original), _shown(face.pixels)]
        padded = [np.pad(view, ((gap, 0), (gap, 0), (0, 0)), constant_values=250) for view in views]
        rows.append(np.concatenate(padded, axis=1))
    sheet = np.concatenate(rows, 0)
    return np.pad(sheet, ((0, gap), (0, gap), (0, 0)), constant_values=250)


def _shown(pixels: NDArray[np.uint8], method: int = cv2.INTER_CUBIC) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(pixels, (SHEET_SIDE, SHEET_SIDE), interpolation=method), dtype=np.uint8)

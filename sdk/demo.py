"""Demo: run and profile the pipeline on a sample frame with faces of several sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..calibration.data.faces import astronaut
from ..engines.errors import OutputError
from .media.images.image_file import write_image
from .media.sources import open_source
from .pipeline.pipeline import Pipeline
from .pipeline.results import Face, FrameResult
from .pipeline.summary import RunSummary
from .profiling.json_writer import JsonWriter
from .profiling.profile import WARM_UP, Profile, profile
from .profiling.report import face_side, write_report
from .profiling.trace import write_trace

SIZE_WH = (1280, 720)
PORTRAITS = ((48, 104, 512), (616, 104, 328), (976, 104, 246), (616, 460, 164), (812, 460, 123))
"""Left, top and side of each copy of the portrait; its faces are 100, 64, 48, 32 and 24 px high. The first one exceeds
the maximum crop size and is not upscaled."""
SHEET_SIDE = 256
FRAMES = 8
"""Number of runs for the profile, including warm-up."""


@dataclass(frozen=True, eq=False)
class Demo:
    """Output folder, result of the frame, and profile of repeated runs on it."""

    folder: Path
    result: FrameResult
    profile: Profile


def demo(pipeline: Pipeline, folder: Path, report: Callable[[int], None] = lambda done: None) -> Demo:
    """Run and profile the pipeline on the sample frame and write the outputs.

    Args:
        pipeline: pipeline to run.
        folder: output folder for frame.png, composite.png, faces/, faces.json, profile.html and trace.json.
        report: called with the number of processed frames, up to `FRAMES`.

    Raises:
        MissingDependencyError: scikit-image, which contains the sample image, is not installed.
        OutputError: the folder is not writable.
    """
    frame = sample_frame()
    try:
        (folder / "faces").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}; choose another folder with -o") from None
    write_image(folder / "frame.png", frame)
    with open_source(folder / "frame.png") as source:
        result = next(iter(pipeline.stream(source)))
        measured = profile(pipeline, source, frames=FRAMES - WARM_UP, warm_up=WARM_UP, report=report)
    if result.frame is not None:
        write_image(folder / "composite.png", result.frame, upscaled=result.source.upscaled)
    largest_first = sorted(result.faces, key=face_side, reverse=True)
    for number, face in enumerate(largest_first, start=1):
        name = f"{number:02d}-{face_side(face):.0f}px"
        write_image(folder / "faces" / f"{name}-camera.png", face.original)
        write_image(folder / "faces" / f"{name}-network.png", face.pixels, upscaled=True)
    if largest_first:
        write_image(folder / "faces" / "sheet.png", face_sheet(largest_first), upscaled=True)
    head, summary = {"source": "frame.png", "model": pipeline.card.name}, RunSummary(complete=True).with_result(result)
    with JsonWriter(folder / "faces.json", head, lambda: summary) as writer:
        writer.add(result)
    write_report(measured, folder / "profile.html")
    write_trace(measured, folder / "trace.json")
    return Demo(folder, result, measured)


def sample_frame() -> NDArray[np.uint8]:
    """Frame with the sample portrait in several sizes on a gray gradient.

    Returns:
        (720, 1280, 3) uint8 BGR.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    portrait = astronaut()
    width, height = SIZE_WH
    ramp = np.linspace(0, 1, height)[:, None] * 0.6 + np.linspace(0, 1, width)[None, :] * 0.4
    gradient = np.array([196, 192, 188]) - ramp[:, :, None] * np.array([58, 60, 64])
    frame: NDArray[np.uint8] = np.rint(gradient).astype(np.uint8)
    for x, y, side in PORTRAITS:
        scaled = np.asarray(cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        _paste_portrait(frame, scaled, x, y)
    return frame


def _paste_portrait(frame: NDArray[np.uint8], portrait: NDArray[np.uint8], x: int, y: int) -> None:
    """Paste a portrait with a white border and a drop shadow."""
    side, margin = portrait.shape[0], 6
    shadow = np.zeros(frame.shape[:2], np.float32)
    shadow[y - margin + 6 : y + side + margin + 8, x - margin + 3 : x + side + margin + 5] = 0.4
    frame[:] = np.rint(frame * (1 - cv2.GaussianBlur(shadow, (0, 0), 7)[:, :, None]))
    frame[y - margin : y + side + margin, x - margin : x + side + margin] = 244
    frame[y : y + side, x : x + side] = portrait


def face_sheet(faces: list[Face]) -> NDArray[np.uint8]:
    """One row per face: input, bicubic and network output, all at one size."""
    gap, rows = 12, []
    for face in faces:
        views = [_resized(face.original, cv2.INTER_NEAREST), _resized(face.original), _resized(face.pixels)]
        padded = [np.pad(view, ((gap, 0), (gap, 0), (0, 0)), constant_values=250) for view in views]
        rows.append(np.concatenate(padded, axis=1))
    sheet = np.concatenate(rows, 0)
    return np.pad(sheet, ((0, gap), (0, gap), (0, 0)), constant_values=250)


def _resized(pixels: NDArray[np.uint8], method: int = cv2.INTER_CUBIC) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(pixels, (SHEET_SIDE, SHEET_SIDE), interpolation=method), dtype=np.uint8)

"""Whether a network in fewer bits is still good enough: its task's own figure, held against that of FP32."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..engines.bundle.io_spec import IOSpec
from ..engines.errors import BuildError, InputError
from ..engines.session import Session
from .data.detection import read_picture
from .data.faces import low_resolution, subsample
from .data.frames import calibration_frames, evaluation_frames, sample_frames
from .metrics.detection import detect_with, match_scenes
from .metrics.evaluate import centres, evaluate
from .metrics.image import psnr_y

MAX_AP_DROP = 0.01
"""By how much a detector's average precision may fall, of 1."""
MAX_PSNR_DROP = 0.1
"""By how much PSNR on the luma may fall, in dB."""
CALIBRATION_FACES = 32
SAMPLE = "views of the sample picture, with what FP32 finds there for labels"
ROUNDS = 15
"""How often a call is timed."""


@dataclass(frozen=True, eq=False)
class AccuracyCheck:
    """What a network is calibrated on and judged by.

    Args:
        figure: name of the figure on the card; the larger, the better.
        words: the same with its unit, for people.
        most_drop: by how much it may fall.
        option: of the command line that sets it.
        whose: what it is measured on.
        expected: the figure of FP32.
        measure: session -> its figure.
        batches: (N, H, W, 3) uint8 inputs, of any sizes, that show the layers' ranges.
        timed: the input of the call that is timed.
    """

    figure: str
    words: str
    most_drop: float
    option: str
    whose: str
    expected: float
    measure: Callable[[Session], float]
    batches: list[NDArray[np.uint8]]
    timed: NDArray[np.uint8]


def average_precision_check(reference: Session, scenes: Path | None, most_drop: float = MAX_AP_DROP) -> AccuracyCheck:
    """Average precision on labelled pictures, or on the sample picture with the FP32 detector's own boxes for labels.

    Args:
        reference: the detector in FP32.
        scenes: folder of labelled pictures, see `read_scenes`.
        most_drop: by how much it may fall, of 1.

    Raises:
        InputError: the labels or a picture cannot be read.
        BuildError: the detector in FP32 finds nothing, so that there is nothing to lose.
    """
    frames = evaluation_frames(scenes, reference)

    def measure(session: Session) -> float:
        detect = detect_with(session)
        pictures = ((read_picture(f) if isinstance(f, Path) else f, faces) for f, faces in frames)
        return match_scenes((detect(picture), faces) for picture, faces in pictures).average_precision()

    expected = measure(reference)
    whose = f"{len(frames)} pictures of {scenes.resolve().name}" if scenes else f"{len(frames)} {SAMPLE}"
    if not expected > 0:
        raise BuildError(
            f"in FP32 the detector finds no face in {whose}, so there is nothing to compare; train it longer, or give "
            f"{'other' if scenes else 'labelled'} pictures with --scenes DIR"
        )
    return AccuracyCheck(
        figure="average_precision",
        words="average precision",
        most_drop=most_drop,
        option="--max-ap-drop",
        whose=whose,
        expected=expected,
        measure=measure,
        batches=calibration_frames(scenes, reference.io_spec),
        timed=np.tile(sample_frames()[-2], (2, 2, 1))[None, :384, :640],
    )


def psnr_check(
    reference: Session,
    faces: list[NDArray[np.uint8]],
    whose: str,
    most_drop: float = MAX_PSNR_DROP,
    crops: Iterable[NDArray[np.uint8]] | None = None,
) -> AccuracyCheck:
    """PSNR on the luma of true faces.

    Args:
        reference: the super-resolution network in FP32.
        faces: true faces, 128×128 or larger, (H, W, 3) uint8 BGR, to judge by.
        whose: they are, for the card.
        most_drop: by how much it may fall, in dB.
        crops: what to calibrate on, as the network takes them: crops of a camera's or a video's frames, (S, S, 3)
            uint8 BGR, S a window of the contract; none for the true faces, shrunk.

    Raises:
        InputError: a face is too small, or there is no crop.
        EngineError: a crop is none of the contract's.
    """
    io_spec = reference.io_spec
    small = _window(low_resolution(centres(subsample(faces, CALIBRATION_FACES), io_spec.scale), io_spec.scale), io_spec)

    def measure(session: Session) -> float:
        return evaluate(session, faces, measures={"psnr_y_db": psnr_y}).psnr_y_db

    batches = [crop[None] for crop in (small if crops is None else subsample(crops, CALIBRATION_FACES))]
    if not batches:
        raise InputError("there is no face to calibrate on; give a folder or a video with faces")
    for batch in batches if crops is not None else ():
        io_spec.check(batch)
    return AccuracyCheck(
        figure="psnr_y_db",
        words="PSNR in dB",
        most_drop=most_drop,
        option="--max-psnr-drop",
        whose=whose,
        expected=measure(reference),
        measure=measure,
        batches=batches,
        timed=small[:1],
    )


@dataclass(frozen=True)
class PrecisionChoice:
    """What a device keeps of a network in INT8 and the same in FP16.

    Args:
        precision: of the one that is kept.
        note: why, for the card.
    """

    precision: Literal["int8", "fp16"]
    note: str


def faster_precision(int8_ms: float, fp16_ms: float, where: str) -> PrecisionChoice:
    """INT8 if it is faster, or else FP16, which loses less.

    Args:
        int8_ms, fp16_ms: of the same call on the device, taken in turn, see `median_ms`.
        where: the call and the device, e.g. "32x32 px, Orin NX".
    """
    times = f"{int8_ms:.2f} ms, FP16 {fp16_ms:.2f} ms at {where}"
    if int8_ms < fp16_ms:
        return PrecisionChoice("int8", f"{CHOICE_NOTE} INT8 is kept: {times}")
    return PrecisionChoice("fp16", f"{CHOICE_NOTE} INT8 is no faster, so FP16 is kept: INT8 {times}")


CHOICE_NOTE = "on this device,"
"""How every such note begins."""


def median_ms(sessions: tuple[Session, ...], batch: NDArray[np.uint8]) -> list[float]:
    """Median time of a call to each session, in ms, taken in turn so that a busy machine is fair to all."""
    taken: list[list[float]] = [[] for _ in sessions]
    for session in sessions:
        session.infer(batch)
    for _ in range(ROUNDS):
        for session, times in zip(sessions, taken, strict=True):
            start = perf_counter()
            session.infer(batch)
            times.append(1e3 * (perf_counter() - start))
    return [median(times) for times in taken]


def _window(crops: NDArray[np.uint8], io_spec: IOSpec) -> NDArray[np.uint8]:
    side = min(window for window in io_spec.windows if window >= crops.shape[1])
    pad = side - crops.shape[1]
    return np.pad(crops, ((0, 0), (0, pad), (0, pad), (0, 0)), mode="edge")

"""Accuracy checks for quantized networks: the metric of the task, compared with FP32."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engines.bundle.card import Evaluation, Precision, evaluation_from_title
from ..engines.errors import BuildError, InputError
from ..engines.inputs import Inputs
from ..engines.session import MultiInputSession, Session
from .data.detection import read_scene_image
from .data.faces import low_resolution, subsample
from .data.frames import calibration_frames, evaluation_frames, sample_frames
from .data.tracks import Tracks, selected
from .metrics.detection import detect_with, match_scenes
from .metrics.evaluate import center_crops, evaluate, padded_to_crop_size
from .metrics.image import psnr_y
from .metrics.tracks import evaluate_tracks

MAX_AP_DROP = 0.01
"""Default limit of a detector's loss of average precision, 0..1."""
MAX_PSNR_DROP = 0.1
"""Default limit of the loss of luma PSNR, in dB."""
CALIBRATION_FACES = 32
MIN_CALIBRATION_INPUTS, MIN_SPREAD, SPREAD_PERCENTILES = 8, 60, (5, 95)
"""Calibration below this number of inputs, or with a smaller difference of these percentiles of their values, gets a
warning."""
SAMPLE = "views of the sample picture, labelled by the FP32 detector"
TRACKS = "tracks"
"""Degradation of the evaluations of multi-frame networks by precision: that of all cameras together."""
CHOICE_NOTE = "on this device,"
"""Prefix of the note of `faster_precision`."""


@dataclass(frozen=True, eq=False)
class AccuracyCheck:
    """Calibration data and accuracy limit of a quantized network.

    Args:
        metric, label: name on the card, and name and unit in messages; larger is better.
        max_drop, option: largest accepted difference to FP32, and the command-line option that sets it.
        dataset_name: evaluation data, for the card.
        fp32_value, measure: metric of the FP32 network, and the function that measures a session.
        batches: calibration inputs, (N, H, W, 3) uint8 of any sizes.
        timing_input: input of the call that is timed.
        inputs: for each calibration input the other inputs of the network; empty for zeros.
        degradation: of the evaluation data, for the card; "" for the one that the dataset's name states.
    """

    metric: str
    label: str
    max_drop: float
    option: str
    dataset_name: str
    fp32_value: float
    measure: Callable[[MultiInputSession], float]
    batches: list[NDArray[np.uint8]]
    timing_input: NDArray[np.uint8]
    inputs: list[Inputs] = field(default_factory=list)
    degradation: str = ""

    def evaluation(self, precision: str, metrics: dict[str, Any]) -> Evaluation:
        """Metrics of a precision, for the card."""
        evaluation = evaluation_from_title(self.dataset_name, precision, metrics)
        return replace(evaluation, degradation=self.degradation or evaluation.degradation)


def average_precision_check(reference: Session, scenes: Path | None, max_drop: float = MAX_AP_DROP) -> AccuracyCheck:
    """Average precision on labelled images, or on the sample image labelled by the FP32 detector.

    Args:
        reference: the FP32 detector.
        scenes: folder of labelled images, see `read_scenes`.
        max_drop: largest accepted loss, 0..1.

    Raises:
        InputError: the labels or an image cannot be read.
        BuildError: the FP32 detector finds no face, so a loss cannot be measured.
    """
    frames = evaluation_frames(scenes, reference)

    def measure(session: Session) -> float:
        detect = detect_with(session)
        images = ((read_scene_image(f) if isinstance(f, Path) else f, faces) for f, faces in frames)
        return match_scenes((detect(image), faces) for image, faces in images).average_precision()

    fp32_value = measure(reference)
    dataset_name = f"{len(frames)} pictures of {scenes.resolve().name}" if scenes else f"{len(frames)} {SAMPLE}"
    if not fp32_value > 0:
        raise BuildError(
            f"the FP32 detector finds no face in {dataset_name}, so INT8 cannot be compared with it; "
            f"train it longer, or give {'other' if scenes else 'labelled'} images with --detection-data DIR"
        )
    return AccuracyCheck(
        metric="average_precision",
        label="average precision",
        max_drop=max_drop,
        option="--max-ap-drop",
        dataset_name=dataset_name,
        fp32_value=fp32_value,
        measure=measure,
        batches=calibration_frames(scenes, reference.io_spec),
        timing_input=np.tile(sample_frames()[-2], (2, 2, 1))[None, :384, :640],
    )


def psnr_check(
    reference: Session,
    faces: list[NDArray[np.uint8]],
    dataset_name: str,
    max_drop: float = MAX_PSNR_DROP,
    crops: Iterable[NDArray[np.uint8]] | None = None,
) -> AccuracyCheck:
    """Luma PSNR on ground-truth faces.

    Args:
        reference: the FP32 super-resolution network.
        faces, dataset_name: ground-truth faces, at least 128×128, (H, W, 3) uint8 BGR, and their name on the card.
        max_drop: largest accepted loss, in dB.
        crops: calibration inputs, such as crops of camera frames: (S, S, 3) uint8 BGR, S one of the network's crop
            sizes; none for the downscaled ground-truth faces.

    Raises:
        InputError: a face is too small, or there is no crop.
        EngineError: a crop does not match the network's input specification.
    """
    io_spec = reference.io_spec
    hr = center_crops(subsample(faces, CALIBRATION_FACES), io_spec.scale, io_spec.crop_sizes)
    lr = low_resolution(hr, io_spec.scale)
    lr = padded_to_crop_size(io_spec, lr)

    def measure(session: Session) -> float:
        return evaluate(session, faces, metrics={"psnr_y_db": psnr_y}).psnr_y_db

    batches = [crop[None] for crop in (lr if crops is None else subsample(crops, CALIBRATION_FACES))]
    if not batches:
        raise InputError("there is no face to calibrate on; give a folder or a video with faces")
    for batch in batches if crops is not None else ():
        io_spec.check(batch)
    return AccuracyCheck(
        metric="psnr_y_db",
        label="PSNR in dB",
        max_drop=max_drop,
        option="--max-psnr-drop",
        dataset_name=dataset_name,
        fp32_value=measure(reference),
        measure=measure,
        batches=batches,
        timing_input=lr[:1],
    )


def track_psnr_check(
    reference: MultiInputSession, tracks: Tracks, dataset_name: str, max_drop: float = MAX_PSNR_DROP
) -> AccuracyCheck:
    """Luma PSNR of a multi-frame network on tracks.

    Args:
        reference: the FP32 network.
        tracks, dataset_name: tracks of ground-truth faces, and their name on the card.
        max_drop: largest accepted loss, in dB.

    Raises:
        EngineError: the tracks do not suit the network.
    """
    frames = min(reference.io_spec.frames, tracks.crops.shape[1])
    indices = np.linspace(0, len(tracks.crops) - 1, min(len(tracks.crops), CALIBRATION_FACES)).round().astype(np.int64)
    calibration = [selected(tracks, indices[number : number + 1]) for number in range(len(indices))]

    def measure(session: MultiInputSession) -> float:
        return evaluate_tracks(session, tracks, frames, metrics={"psnr_y_db": psnr_y}).evaluation.psnr_y_db

    return AccuracyCheck(
        metric="psnr_y_db",
        label="PSNR in dB",
        max_drop=max_drop,
        option="--max-psnr-drop",
        dataset_name=dataset_name,
        fp32_value=measure(reference),
        measure=measure,
        batches=[one.newest for one in calibration],
        timing_input=calibration[0].newest,
        inputs=[one.inputs(frames) for one in calibration],
        degradation=TRACKS,
    )


def calibration_warning(batches: Sequence[NDArray[np.uint8]]) -> str:
    """A warning if calibration inputs are too few or too alike for ranges that hold for other faces; "" otherwise.

    Args:
        batches: calibration inputs, (N, H, W, 3) uint8 BGR.
    """
    count = len({batch.tobytes() for batch in batches})
    low, high = np.percentile(np.concatenate([batch.reshape(-1) for batch in batches]), SPREAD_PERCENTILES)
    if count >= MIN_CALIBRATION_INPUTS and high - low >= MIN_SPREAD:
        return ""
    return (
        f"calibrated on few or flat inputs: {count} different ({MIN_CALIBRATION_INPUTS} or more are usual), values "
        f"spread over {high - low:.0f} of 255 ({MIN_SPREAD} or more are usual); INT8 may lose more on other faces"
    )


def faster_precision(int8_ms: float, fp16_ms: float, where: str) -> tuple[Precision, str]:
    """INT8 if it is faster, otherwise FP16, which is more accurate; and the reason, for the card.

    Args:
        int8_ms, fp16_ms: latencies of the same input on the device, interleaved, see `median_ms`.
        where: input and device, e.g. "32x32 px, Orin NX".
    """
    times = f"{int8_ms:.2f} ms, FP16 {fp16_ms:.2f} ms at {where}"
    if int8_ms < fp16_ms:
        return "int8", f"{CHOICE_NOTE} INT8 is kept: {times}"
    return "fp16", f"{CHOICE_NOTE} INT8 is no faster, so FP16 is kept: INT8 {times}"

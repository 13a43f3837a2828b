"""PSNR and flicker by the number of frames, with registered and with true motion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from facesr_edge.calibration.metrics.flicker import flicker
from facesr_edge.calibration.metrics.image import psnr_y
from facesr_edge.engines.inputs import SAMPLES
from facesr_edge.engines.multiframe.history import SPAN, History, extended
from facesr_edge.engines.multiframe.registration import Affine
from facesr_edge.engines.multiframe.session import MultiFrameSession
from facesr_edge.engines.multiframe.steady import steadied
from facesr_edge.training.data.cameras.tracks import Tracks
from numpy.typing import NDArray

from .sequences import SCALE, affine, last, registered, with_motions

Pixels = NDArray[np.uint8]
BATCH = 32


def from_several(session: MultiFrameSession, crops: Pixels, histories: Sequence[History]) -> tuple[Pixels, list[int]]:
    """Faces as at run time: those with too few crops are upscaled by the single-frame network.

    Args:
        session: both networks.
        crops: (N, S, S, 3).
        histories: of each.

    Returns:
        (N, k·S, k·S, 3), and the number of crops that each face is made from.
    """
    starts = range(0, len(crops), BATCH)
    parts = [session.infer_batches([crops[i : i + BATCH]], [histories[i : i + BATCH]])[0] for i in starts]
    return np.concatenate([part.output.tensor for part in parts]), [n for part in parts for n in part.frames]


def network_alone(session: MultiFrameSession, crops: Pixels, histories: Sequence[History]) -> Pixels:
    """Faces of the multi-frame network, however few their crops are."""
    samples = np.stack([history.samples(SCALE) for history in histories])
    starts = range(0, len(crops), BATCH)
    inputs = [{SAMPLES: samples[i : i + BATCH]} for i in starts]
    outputs = session.session.infer_batches([crops[i : i + BATCH] for i in starts], inputs)
    return np.concatenate([output.tensor for output in outputs])


def from_single(session: MultiFrameSession, crops: Pixels) -> Pixels:
    """Faces of the single-frame network."""
    outputs = session.single.infer_batches([crops[i : i + BATCH] for i in range(0, len(crops), BATCH)])
    return np.concatenate([output.tensor for output in outputs])


def psnr_rows(session: MultiFrameSession, tracks: Tracks, frames: Sequence[int]) -> dict[str, Any]:
    """PSNR of the newest crops of tracks, luma, in dB, means over the tracks.

    Args:
        session: both networks.
        tracks: of the generator.
        frames: numbers of crops.

    Returns:
        "single" in dB; "registered", "true motion" and "network alone" (registered motion, without the single-frame
        network), each number of crops -> dB over "single"; "failed", share of the tracks with a failed registration.
    """
    newest = np.ascontiguousarray(tracks.lr[:, -1])
    found = [registered(crops) for crops in tracks.lr]
    pairs = zip(found, tracks.motions, strict=True)
    true = [with_motions(history, [affine(one) for one in motions]) for history, motions in pairs]
    single = psnr_y(from_single(session, newest), tracks.hr)
    rows: dict[str, Any] = {"single": float(single.mean()), "registered": {}, "true motion": {}, "network alone": {}}
    for k in frames:
        some, same = ([last(history, k) for history in histories] for histories in (found, true))
        faces = {
            "registered": from_several(session, newest, some)[0],
            "true motion": from_several(session, newest, same)[0],
            "network alone": network_alone(session, newest, some),
        }
        for name, pixels in faces.items():
            rows[name][k] = float((psnr_y(pixels, tracks.hr) - single).mean())
    rows["failed"] = float(np.mean([len(history.crops) < min(tracks.lr.shape[1], SPAN + 1) for history in found]))
    return rows


def flicker_rows(session: MultiFrameSession, tracks: Tracks, frames: Sequence[int]) -> dict[str, Any]:
    """Flicker between the faces that a stream shows in the last two frames of tracks, along their true motion.

    Args:
        session: both networks.
        tracks: of the generator.
        frames: numbers of crops.

    Returns:
        "bicubic" and "single" in gray levels, and "several", number of crops -> gray levels; root mean square over
        all faces. "gain_db", number of crops -> PSNR over the single-frame network, luma.
    """
    before, after = (np.ascontiguousarray(tracks.lr[:, n]) for n in (-2, -1))
    pairs = {k: shown(session, tracks.lr, k) for k in frames}
    single = [from_single(session, crops) for crops in (before, after)]
    motions = [affine(motion) for motion in tracks.motions[:, -2]]
    one_db = psnr_y(single[1], tracks.hr)
    return {
        "bicubic": _flicker(_bicubic(before), _bicubic(after), motions),
        "single": _flicker(single[0], single[1], motions),
        "several": {k: _flicker(pair[0], pair[1], motions) for k, pair in pairs.items()},
        "gain_db": {k: float((psnr_y(pair[1], tracks.hr) - one_db).mean()) for k, pair in pairs.items()},
    }


def shown(session: MultiFrameSession, tracks: Pixels, frames: int) -> list[Pixels]:
    """Faces of the last two frames of tracks (N, T, S, S, 3) as a stream shows them, (N, k·S, k·S, 3) each.

    They hold a share of the faces before, see `steadied`.
    """
    histories: list[History | None] = [None] * len(tracks)
    faces: list[Pixels] = []
    for number in range(tracks.shape[1]):
        crops = np.ascontiguousarray(tracks[:, number])
        known = [extended(one, crop, (0, 0), frames) for one, crop in zip(histories, crops, strict=True)]
        made, histories = from_several(session, crops, known)[0], [*known]
        if faces:
            rows = zip(made, known, faces[-1], strict=True)
            made = np.stack([steadied(*row) if len(row[1].crops) > 1 else row[0] for row in rows])
        faces = [*faces[-1:], made]
    return faces


def _flicker(before: Pixels, after: Pixels, motions: Sequence[Affine]) -> float:
    pairs = zip(before, after, motions, strict=True)
    return float(np.sqrt(np.mean([flicker(old, new, SCALE, motion) ** 2 for old, new, motion in pairs])))


def _bicubic(crops: Pixels) -> Pixels:
    size = SCALE * crops.shape[1]
    return np.stack([cv2.resize(crop, (size, size), interpolation=cv2.INTER_CUBIC) for crop in crops]).astype(np.uint8)

"""An engine just compiled, run once: does it say what its graph says, and how long does it take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..calibration.accuracy import median_ms
from ..calibration.data.faces import astronaut, sample_faces
from ..engines.bundle.bundle import Bundle
from ..engines.bundle.io_spec import IOSpec
from ..engines.errors import MissingDependencyError
from ..engines.onnxruntime.session import OrtSession
from ..engines.session import Session
from .parity import engine_parity


@dataclass(frozen=True)
class EngineCheck:
    """What a trial showed.

    Args:
        parity: agreement with ONNX Runtime on the same graph.
        shape: (N, H, W, 3) of the call that was timed.
        ms: median time of it.
    """

    parity: dict[str, float]
    shape: tuple[int, ...]
    ms: float

    def __str__(self) -> str:
        agreement = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in self.parity.items())
        count, height, width, _ = self.shape
        return f"{agreement}; {self.ms:.2f} ms for {count} of {width}x{height} px"

    def to_dict(self) -> dict[str, Any]:
        """Ready for a card."""
        return {**self.parity, "timed_nhwc": list(self.shape), "time_ms": round(self.ms, 3)}


def check_engine(bundle: Bundle, session: Session) -> EngineCheck:
    """Run an engine beside its own graph in ONNX Runtime, in every size that it was compiled for.

    Args:
        bundle: whose graph it was compiled from.
        session: the engine.

    Raises:
        ParityError: it says something else: a broken kernel, an overflow, not a number.
    """
    batches = check_inputs(session.io_spec)
    reference = OrtSession(bundle)
    found = [engine_parity(bundle.card.precision, reference.infer(pixels), session.infer(pixels)) for pixels in batches]
    reference.close()
    worst = {name: min(one[name] for one in found) for name in found[0]}
    if session.io_spec.task == "face-detection":  # an error, not an agreement
        worst = {name: max(one[name] for one in found) for name in found[0]}
    return EngineCheck(worst, batches[0].shape, median_ms((session,), batches[0])[0])


def check_inputs(io_spec: IOSpec) -> list[NDArray[np.uint8]]:
    """What an engine is tried on, (N, H, W, 3) for each of its sizes: faces of the sample picture, or the picture
    itself for a detector; smooth noise where scikit-image is not installed, as on a device that only runs.

    Args:
        contract: of the session; a detector of any size is tried at 640x384.
    """
    try:
        picture, faces = astronaut(), sample_faces()
    except MissingDependencyError:
        coarse = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        picture = np.asarray(cv2.resize(coarse, (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8)
        faces = [picture[:128, 48 * i : 48 * i + 128] for i in range(8)]
    if io_spec.task == "super-resolution":
        sizes = [(side, side, max(io_spec.batches_of(side, side))) for side in io_spec.windows]
        return [np.stack([_resized(face, h, w) for face in faces[:count]]) for h, w, count in sizes]
    return [_resized(picture, height, width)[None] for height, width in io_spec.sizes_hw or ((384, 640),)]


def _resized(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

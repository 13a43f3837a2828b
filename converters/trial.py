"""An engine just compiled, run once: does it say what its graph says, and how long does it take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..calibration.crops import low_resolution
from ..calibration.gate import milliseconds
from ..calibration.sample import astronaut, sample_faces
from ..engines.bundle import Bundle
from ..engines.contract import Contract
from ..engines.errors import MissingDependencyError
from ..engines.ort import OrtSession
from ..engines.session import Session
from .parity import engine_parity


@dataclass(frozen=True)
class Trial:
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


def trial(bundle: Bundle, session: Session) -> Trial:
    """Run an engine beside its own graph in ONNX Runtime.

    Args:
        bundle: whose graph it was compiled from.
        session: the engine.

    Raises:
        ParityError: it says something else: a broken kernel, an overflow, not a number.
    """
    contract = bundle.card.contract
    pixels = pictures(contract)
    reference = OrtSession(bundle)
    expected, got = reference.infer(pixels), session.infer(pixels)
    reference.close()
    parity = engine_parity(bundle.card.precision, expected, got)
    return Trial(parity, pixels.shape, milliseconds((session,), pixels)[0])


def pictures(contract: Contract) -> NDArray[np.uint8]:
    """What an engine is tried on: faces shrunk to the smallest window that holds them, or the sample picture; smooth
    noise where scikit-image is not installed, as on a device that only runs."""
    scale = contract.scale
    try:
        if contract.task == "super-resolution":
            return _fitted(low_resolution(np.stack(sample_faces()), scale), contract)
        picture = astronaut()
    except MissingDependencyError:
        coarse = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
        picture = np.asarray(cv2.resize(coarse, (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8)
        if contract.task == "super-resolution":
            return _fitted(np.stack([picture[:128, 48 * i : 48 * i + 128] for i in range(8)]), contract)
    height, width = contract.largest_hw or (384, 640)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)[None]


def _fitted(crops: NDArray[np.uint8], contract: Contract) -> NDArray[np.uint8]:
    """As many crops as one call takes, of the window nearest to their size."""
    side = min(contract.windows, key=lambda window: abs(window - crops.shape[1]))
    count = max(contract.batches_of(side, side))
    return np.stack([cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA) for crop in crops[:count]])

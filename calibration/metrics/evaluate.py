"""Quality on held-out faces, beside bicubic: the protocol of the papers.

The centre 128×128 of each face is made small (by antialiased bicubic, rounded to 8 bits, unless another degradation is
given), enlarged again, and compared on the luma (BT.601, 16..235) and on RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.io_spec import IOSpec
from ...engines.errors import EngineError
from ...engines.session import Session
from ..data.faces import center_crop, low_resolution
from .image import mean_db, psnr, psnr_y, ssim, ssim_y, vif_y

Pictures = NDArray[np.uint8]
Degrade = Callable[[Pictures, int, np.random.Generator], Pictures]
"""(N, H, W, 3) faces, scale, what chance draws from -> (N, H / scale, W / scale, 3)."""
Measure = Callable[[Pictures, Pictures], NDArray[np.float64]]
"""Faces as they came back and the true ones, (N, S, S, 3) uint8 BGR -> a figure of each, (N,)."""

SIDE = 128
"""Side of the true face; with a scale that does not divide it, the largest multiple below."""
BICUBIC = "bicubic"
"""How the papers' faces become small, and what every network is held against."""
SEED = 0
"""Where chance begins in every evaluation, so that all models see the same pixels, today and tomorrow."""
MEASURES: Mapping[str, Measure] = MappingProxyType(
    {"psnr_y_db": psnr_y, "psnr_rgb_db": psnr, "ssim_y": ssim_y, "ssim_rgb": ssim, "vif": vif_y}
)
"""What is always measured. Others that have a meaning here, given by whoever can: "lpips" and "recognition"."""


@dataclass(frozen=True)
class Evaluation:
    """Means over the faces, by the names of `compute_metrics`.

    Args:
        faces: how many.
        model: of the network.
        bicubic: of OpenCV's enlargement of the same pixels.
    """

    faces: int
    model: dict[str, float]
    bicubic: dict[str, float]

    @property
    def psnr_y_db(self) -> float:
        """The figure that says most in one number."""
        return self.model["psnr_y_db"]

    @property
    def gain_db(self) -> float:
        """What the network adds to bicubic's PSNR on the luma."""
        return self.psnr_y_db - self.bicubic["psnr_y_db"]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, rounded to what the digits are worth; bicubic's names begin with its own."""
        bicubic = {f"bicubic_{name}": value for name, value in self.bicubic.items()}
        return {"faces": self.faces, **rounded({**self.model, **bicubic, "gain_db": self.gain_db})}


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Figures to what their digits are worth."""
    return {name: round(value, 4) for name, value in values.items()}


def evaluate(
    session: Session,
    faces: list[Pictures],
    degrade: Degrade | None = None,
    measures: Mapping[str, Measure] = MEASURES,
) -> Evaluation:
    """Measure an engine.

    Args:
        session: a super-resolution engine.
        faces: true faces, each at least 128×128, (H, W, 3) uint8 BGR.
        degrade: how they become small; none for bicubic. Chance begins at `SEED`.
        measures: name -> what is measured, "psnr_y_db" among them.

    Raises:
        EngineError: the engine is no super-resolution network.
        InputError: a face is too small.
    """
    if session.io_spec.task != "super-resolution":
        raise EngineError("only super-resolution networks are evaluated on faces; give another model")
    small, true = lr_hr_pairs(faces, session.io_spec.scale, degrade)
    return Evaluation(
        faces=len(true),
        model=compute_metrics(enlarged(session, small), true, measures),
        bicubic=compute_metrics(enlarged_by_bicubic(small, session.io_spec.scale), true, measures),
    )


def lr_hr_pairs(faces: list[Pictures], scale: int, degrade: Degrade | None = None) -> tuple[Pictures, Pictures]:
    """What a network is given and what it should give back, (N, S / scale, S / scale, 3) and (N, S, S, 3).

    Args:
        faces: as for `evaluate`.
        scale: of the network.
        degrade: how they become small; none for bicubic.

    Raises:
        InputError: a face is too small.
    """
    true = centres(faces, scale)
    if degrade is None:
        return low_resolution(true, scale), true
    return degrade(true, scale, np.random.default_rng(SEED)), true


def enlarged(session: Session, small: Pictures) -> Pictures:
    """What a network makes of small faces (N, s, s, 3), see `fitted`: (N, S, S, 3)."""
    large = small.shape[1] * session.io_spec.scale
    return np.asarray(session.infer(fitted(session.io_spec, small))[:, :large, :large], np.uint8)


def fitted(io_spec: IOSpec, small: Pictures) -> Pictures:
    """Small faces (N, s, s, 3), padded at right and bottom to the next of a network's windows.

    Raises:
        EngineError: they are larger than any.
    """
    side = small.shape[1]
    fitting = [window for window in io_spec.windows if window >= side]
    if not fitting:
        raise EngineError(f"the engine takes crops up to {max(io_spec.windows)} px, these have {side}")
    pad = min(fitting) - side
    return np.pad(small, ((0, 0), (0, pad), (0, pad), (0, 0)), mode="edge")


def enlarged_by_bicubic(small: Pictures, scale: int) -> Pictures:
    """What OpenCV makes of small faces (N, s, s, 3)."""
    side = small.shape[1] * scale
    pictures = [cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC) for face in small]
    return np.stack(pictures).astype(np.uint8)


def compute_metrics(pictures: Pictures, true: Pictures, measures: Mapping[str, Measure] = MEASURES) -> dict[str, float]:
    """Means over faces that came back, (N, S, S, 3), beside the true ones: name -> value.

    Names that end in "_db" are in dB. With "lpips" and "ssim_y" there is "mps" as well, the mean perceptual score
    0.5 · (SSIM + 1 - LPIPS), the larger the better.

    Source: T. Lu et al., "Face hallucination via split-attention in split-attention network", 2021, equation 11.
    """
    found: dict[str, float] = {}
    for name, measure in measures.items():
        values = measure(pictures, true)
        found[name] = mean_db(values) if name.endswith("_db") else float(values.mean())
        if name == "lpips" and "ssim_y" in found:
            found["mps"] = 0.5 * (found["ssim_y"] + 1 - found["lpips"])
    return found


def centres(faces: list[NDArray[np.uint8]], scale: int) -> NDArray[np.uint8]:
    """The centre of each face, (N, S, S, 3), S = 128 or the largest multiple of the scale below.

    Raises:
        InputError: a face is smaller.
    """
    return np.stack([center_crop(face, SIDE // scale * scale) for face in faces])

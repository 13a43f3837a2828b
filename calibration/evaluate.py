"""Quality on held-out faces, beside bicubic: the protocol of the papers.

The centre 128×128 of each face is shrunk by antialiased bicubic, rounded to 8 bits, enlarged again, and compared on the
luma (BT.601, 16..235) and on RGB.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..engines.errors import EngineError, InputError
from ..engines.session import Session
from .crops import low_resolution
from .quality import mean_db, psnr, psnr_y, ssim_y

SIDE = 128
"""Side of the true face; with a scale that does not divide it, the largest multiple below."""


@dataclass(frozen=True)
class Evaluation:
    """Means over the faces: PSNR in dB, SSIM in 0..1. `bicubic_…` is OpenCV's enlargement of the same pixels."""

    faces: int
    psnr_y_db: float
    psnr_rgb_db: float
    ssim_y: float
    bicubic_psnr_y_db: float
    bicubic_psnr_rgb_db: float
    bicubic_ssim_y: float

    @property
    def gain_db(self) -> float:
        """What the network adds to bicubic's PSNR on the luma."""
        return self.psnr_y_db - self.bicubic_psnr_y_db

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, rounded to what the digits are worth."""
        return {name: round(value, 4) for name, value in {**asdict(self), "gain_db": self.gain_db}.items()}


def centres(faces: list[NDArray[np.uint8]], scale: int) -> NDArray[np.uint8]:
    """The centre of each face, (N, S, S, 3), S = 128 or the largest multiple of the scale below.

    Raises:
        InputError: a face is smaller.
    """
    side = SIDE // scale * scale
    cut = []
    for face in faces:
        y, x = ((length - side) // 2 for length in face.shape[:2])
        if min(x, y) < 0:
            raise InputError(f"a face is {face.shape[1]}x{face.shape[0]} px, at least {side}x{side} is needed")
        cut.append(face[y : y + side, x : x + side])
    return np.stack(cut)


def evaluate(session: Session, faces: list[NDArray[np.uint8]]) -> Evaluation:
    """Measure an engine.

    Args:
        session: a super-resolution engine.
        faces: true faces, each at least 128×128, (H, W, 3) uint8 BGR.

    Raises:
        EngineError: the engine is no super-resolution network.
        InputError: a face is too small.
        MissingDependencyError: scikit-image, for SSIM, is not installed.
    """
    if session.contract.task != "super-resolution":
        raise EngineError("only super-resolution networks are evaluated on faces; give another model")
    scale = session.contract.scale
    hr = centres(faces, scale)
    lr = low_resolution(hr, scale)
    side = hr.shape[1]
    window = min(w for w in session.contract.windows if w >= lr.shape[1])
    pad = window - lr.shape[1]
    padded = np.pad(lr, ((0, 0), (0, pad), (0, pad), (0, 0)), mode="edge")
    sr = session.infer(padded)[:, :side, :side]
    bicubic = np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC) for face in lr]).astype(np.uint8)
    return Evaluation(
        faces=len(hr),
        psnr_y_db=mean_db(psnr_y(sr, hr)),
        psnr_rgb_db=mean_db(psnr(sr, hr)),
        ssim_y=float(ssim_y(sr, hr).mean()),
        bicubic_psnr_y_db=mean_db(psnr_y(bicubic, hr)),
        bicubic_psnr_rgb_db=mean_db(psnr(bicubic, hr)),
        bicubic_ssim_y=float(ssim_y(bicubic, hr).mean()),
    )

"""Super-resolution accuracy on ground-truth faces, with bicubic as the baseline: the protocol of the papers.

The central 128×128 px of each face, 144×144 at ×3, are downscaled (antialiased bicubic, rounded to 8 bits, unless
another degradation is given), upscaled, and compared with the original on luma (BT.601, 16..235) and RGB. With a given
crop size, the whole picture is reduced until its downscaled face has that size.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ...engines.bundle.io_spec import IOSpec, super_resolution
from ...engines.errors import EngineError, InputError, UsageError
from ...engines.session import Session
from ..data.faces import center_crop, low_resolution, reduced_square
from .detail import invented_detail
from .image import mean_db, psnr, psnr_y, ssim, ssim_y, vif_y

Images = NDArray[np.uint8]
Degrade = Callable[[Images, int, np.random.Generator], Images]
"""(N, H, W, 3) faces, scale, random generator -> (N, H / scale, W / scale, 3)."""
ImageMetric = Callable[[Images, Images], NDArray[np.float64]]
"""Upscaled and ground-truth faces, (N, S, S, 3) uint8 BGR -> value of each, (N,); NaN where it cannot be measured."""


@dataclass(frozen=True)
class BaselineMetric:
    """A metric that needs the bicubic faces too: upscaled, ground-truth and bicubic faces -> value of each, (N,)."""

    measure: Callable[[Images, Images, Images], NDArray[np.float64]]


Metric = ImageMetric | BaselineMetric

MIN_SIDE = 41
"""Smallest side of the ground truth, for the coarsest scale of VIF."""
SIDE = 128
"""Side of the ground-truth face, unless another one makes a crop size of the network, see `truth_side`."""
BICUBIC = "bicubic"
"""Default degradation, and the baseline of every network."""
FACES_SUFFIX = "_faces"
"""A metric's name with this suffix is the number of faces on which it was measured, if those are not all."""
SEED = 0
"""Random seed of every evaluation: all models get the same pixels."""
METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        **{"psnr_y_db": psnr_y, "psnr_rgb_db": psnr, "ssim_y": ssim_y, "ssim_rgb": ssim, "vif": vif_y},
        "invented_detail": BaselineMetric(invented_detail),
    }
)
"""Default metrics. Optional ones, which need another network: "lpips", "identity" and "identity_distance"."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics averaged over a number of faces: of the network, and of OpenCV's bicubic upscaling of the same pixels."""

    faces: int
    model: dict[str, float]
    bicubic: dict[str, float]

    @property
    def psnr_y_db(self) -> float:
        """Luma PSNR of the network, the main metric."""
        return self.model["psnr_y_db"]

    @property
    def gain_db(self) -> float:
        """Luma PSNR of the network minus that of bicubic."""
        return self.psnr_y_db - self.bicubic["psnr_y_db"]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, rounded to 4 decimals; the metrics of bicubic have the prefix "bicubic_"."""
        bicubic = {f"bicubic_{name}": value for name, value in self.bicubic.items()}
        return {"faces": self.faces, **rounded({**self.model, **bicubic, "gain_db": self.gain_db})}


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics rounded to 4 decimals."""
    return {name: round(value, 4) for name, value in values.items()}


def evaluate(
    session: Session,
    faces: list[Images],
    degrade: Degrade | None = None,
    metrics: Mapping[str, Metric] = METRICS,
) -> Evaluation:
    """Evaluate a super-resolution engine.

    Args:
        faces: ground-truth faces, at least 128×128, (H, W, 3) uint8 BGR.
        degrade: degradation, seeded with `SEED`; None for bicubic.
        metrics: name -> metric, "psnr_y_db" among them.

    Raises:
        EngineError: the engine is not a super-resolution network.
        InputError: a face is too small.
    """
    if session.io_spec.task != "super-resolution":
        raise EngineError("only super-resolution networks are evaluated on faces; give another model")
    lr, hr = lr_hr_pairs(faces, session.io_spec.scale, degrade, crop_sizes=session.io_spec.crop_sizes)
    bicubic = upscale_bicubic(lr, session.io_spec.scale)
    model, baseline = (compute_metrics(sr, hr, bicubic, metrics) for sr in (enlarged(session, lr), bicubic))
    return Evaluation(len(hr), model, baseline)


def lr_hr_pairs(
    faces: list[Images],
    scale: int,
    degrade: Degrade | None = None,
    crop: int | None = None,
    crop_sizes: Collection[int] = (),
) -> tuple[Images, Images]:
    """Low-resolution and ground-truth faces, (N, S / scale, S / scale, 3) and (N, S, S, 3), as in `evaluate`.

    Args:
        faces: (H, W, 3) uint8 BGR.
        crop: S / scale; faces of a shorter side than S are left out, larger ones reduced. None for the center crops
            of `truth_side`.
        crop_sizes: of the network, see `truth_side`.

    Raises:
        InputError: a face is too small; with `crop`, all are.
        UsageError: `crop` is too small.
    """
    hr = center_crops(faces, scale, crop_sizes) if crop is None else reduced_squares(faces, scale, crop)
    if degrade is None:
        return low_resolution(hr, scale), hr
    return degrade(hr, scale, np.random.default_rng(SEED)), hr


def enlarged(session: Session, lr: Images) -> Images:
    """Upscale faces (N, s, s, 3) of any size with a network, see `padded_to_crop_size`: (N, S, S, 3)."""
    side = lr.shape[1] * session.io_spec.scale
    return np.asarray(session.infer(padded_to_crop_size(session.io_spec, lr))[:, :side, :side], np.uint8)


def padded_to_crop_size(io_spec: IOSpec, lr: Images) -> Images:
    """Edge-pad faces (N, s, s, 3) at the bottom and right to the smallest crop size of a network that fits.

    Raises:
        EngineError: the faces are larger than every crop size.
    """
    side = lr.shape[1]
    sizes = [size for size in io_spec.crop_sizes if size >= side]
    if not sizes:
        raise EngineError(f"the engine takes crops up to {max(io_spec.crop_sizes)} px, got {side} px")
    pad = min(sizes) - side
    return np.pad(lr, ((0, 0), (0, pad), (0, pad), (0, 0)), mode="edge")


def upscale_bicubic(lr: Images, scale: int) -> Images:
    """Upscale faces (N, s, s, 3) with OpenCV's bicubic interpolation."""
    side = lr.shape[1] * scale
    faces = [cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC) for face in lr]
    return np.stack(faces).astype(np.uint8)


def compute_metrics(
    sr: Images, hr: Images, bicubic: Images, metrics: Mapping[str, Metric] = METRICS
) -> dict[str, float]:
    """Metrics averaged over upscaled, ground-truth and bicubic faces (N, S, S, 3): name -> value.

    Names that end in "_db" are in dB. With "lpips" and "ssim_y" the result also has "mps", the mean perceptual score
    0.5 · (SSIM + 1 - LPIPS); higher is better. Where a metric could not be measured on all faces, the mean is that of
    the others, and "NAME_faces" is their number.

    Source: T. Lu et al., "Face hallucination via split-attention in split-attention network", 2021, equation 11.
    """
    means: dict[str, float] = {}
    for name, metric in metrics.items():
        values = metric.measure(sr, hr, bicubic) if isinstance(metric, BaselineMetric) else metric(sr, hr)
        measured = values[~np.isnan(values)]
        means[name] = mean_db(measured) if name.endswith("_db") else float(measured.mean())
        if len(measured) < len(values):
            means[f"{name}{FACES_SUFFIX}"] = len(measured)
        if name == "lpips" and "ssim_y" in means:
            means["mps"] = 0.5 * (means["ssim_y"] + 1 - means["lpips"])
    return means


def truth_side(faces: list[NDArray[np.uint8]], scale: int, crop_sizes: Collection[int] = ()) -> int:
    """Side S of the ground truth: the one nearest to 128 px that makes a crop size of the network.

    Padding would understate a network: at ×3, 126 px make crops of 42 px, on which `edge-tiny-x3` gains 3.61 dB over
    bicubic, but only 3.35 dB where they are padded to 48 px.

    Args:
        faces: (H, W, 3); S is at most their shortest side.
        scale: of the network.
        crop_sizes: of the network, or those common to several ones; empty for the default of the scale.

    Returns:
        S; if no crop size fits into the faces, 128 or the largest multiple of the scale below, which is padded.
    """
    usual = SIDE // scale * scale
    shortest = min(min(face.shape[:2]) for face in faces)
    sides = [scale * size for size in crop_sizes or super_resolution(scale).crop_sizes]
    fitting = [side for side in sides if MIN_SIDE <= side <= shortest]
    if shortest < usual or not fitting:
        return usual
    return min(fitting, key=lambda side: (abs(side - SIDE), -side))


def common_crop_sizes(io_specs: Iterable[IOSpec]) -> set[int]:
    """Crop sizes that all networks of a comparison take; empty if there are none."""
    return set.intersection(*(set(io_spec.crop_sizes) for io_spec in io_specs))


def center_crops(faces: list[NDArray[np.uint8]], scale: int, crop_sizes: Collection[int] = ()) -> NDArray[np.uint8]:
    """Center crops (N, S, S, 3) of the faces, S and the arguments as in `truth_side`.

    Raises:
        InputError: a face is smaller than 128×128.
    """
    side = truth_side(faces, scale, crop_sizes)
    return np.stack([center_crop(face, side) for face in faces])


def reduced_squares(faces: list[NDArray[np.uint8]], scale: int, crop: int) -> NDArray[np.uint8]:
    """Squares (N, S, S, 3) of the faces, see `reduced_square`, S = scale · crop; `large_faces` raises."""
    return np.stack([reduced_square(face, scale * crop) for face in large_faces(faces, scale, crop)])


def large_faces(faces: list[NDArray[np.uint8]], scale: int, crop: int) -> list[NDArray[np.uint8]]:
    """The faces whose shorter side is at least S = scale · crop.

    Raises:
        UsageError: S is smaller than `MIN_SIDE`.
        InputError: no face is large enough.
    """
    side = scale * crop
    if side < MIN_SIDE:
        raise UsageError(f"crops of {crop} px are {side} px at x{scale}, at least {MIN_SIDE} px are needed; give more")
    large = [face for face in faces if min(face.shape[:2]) >= side]
    if not large:
        raise InputError(f"crops of {crop} px at x{scale} need faces of {side}x{side} px; all {len(faces)} are smaller")
    return large

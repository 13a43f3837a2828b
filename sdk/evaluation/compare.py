"""Comparison of super-resolution models on the same faces, by scale, with bicubic as the baseline of each scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.metrics.evaluate import (
    BICUBIC,
    METRICS,
    SEED,
    Evaluation,
    Metric,
    common_crop_sizes,
    compute_metrics,
    enlarged,
    lr_hr_pairs,
    rounded,
    upscale_bicubic,
)
from ...engines.bundle.bundle import Bundle, read_card
from ...engines.errors import EngineError, UnknownNameError
from ...engines.references.library import open_library
from ...engines.references.session import MAX_REFERENCES
from ...engines.registry import open_session
from ...engines.session import Session
from ...engines.tensorrt.api import PRODUCTS
from ...training.data.degrade import DEGRADATIONS
from ...zoo import catalogue
from ..pipeline.references import check_leakage, open_with_references
from .detectors import model_names

if TYPE_CHECKING:
    from ...converters.macs import Complexity

Images = NDArray[np.uint8]

EXAMPLES = 6
"""Number of faces kept as example images, evenly sampled."""


@dataclass(frozen=True, eq=False)
class ModelRow:
    """Result of one model, or of bicubic."""

    name: str  # of the model, or "bicubic"
    precision: str  # "" for bicubic
    runtime: str  # name and version
    metrics: dict[str, float]  # see `compute_metrics`
    gain_db: float  # luma PSNR minus that of bicubic
    complexity: Complexity | None  # None if it cannot be counted
    examples: Images  # (n, S, S, 3) uint8 BGR, upscaled examples of the group

    @property
    def label(self) -> str:
        """Name, with the precision unless it is FP32 or part of the name."""
        implied = self.precision in ("", "fp32") or self.precision in self.name
        return self.name if implied else f"{self.name} {self.precision}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without images."""
        model = {"model": self.name, "precision": self.precision, "engine": self.runtime}
        counts = {"parameters": c.parameters, "multiply_adds": c.macs} if (c := self.complexity) else {}
        return {**model, **rounded({**self.metrics, "gain_db": self.gain_db}), **counts}


@dataclass(frozen=True, eq=False)
class ScaleGroup:
    """Results at one scale."""

    scale: int
    rows: tuple[ModelRow, ...]  # bicubic first, then the models in ascending order of luma PSNR
    small: Images  # (n, s, s, 3) uint8 BGR, low-resolution examples
    true: Images  # (n, S, S, 3), their ground truth
    faces: int  # number of faces

    def row(self, name: str) -> ModelRow:
        """The row of a model, or of "bicubic"."""
        return next(row for row in self.rows if row.name == name)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Results of models on the same faces, made small in the same way."""

    faces: int  # number of given faces; each group has the number of those that are large enough for the crop size
    degradation: str  # name; its random seed is `SEED`
    groups: tuple[ScaleGroup, ...]  # by scale, ascending
    crop: int | None = None  # side of the low-resolution faces in pixels; None for the protocol of the papers

    def to_dict(self) -> dict[str, Any]:
        """For JSON: flat for one model, as `Evaluation.to_dict`; grouped by scale for several."""
        condition: dict[str, Any] = {"degradation": self.degradation, "seed": SEED}
        if self.crop is not None:
            condition["crop"] = self.crop
        if len(self.groups) == 1 and len(self.groups[0].rows) == 2:
            (group,) = self.groups
            bicubic, row = group.rows
            evaluation = Evaluation(group.faces, row.metrics, bicubic.metrics)
            return {**row.to_dict(), **evaluation.to_dict(), "side": group.true.shape[1], **condition}
        scales = [
            {
                **{"scale": group.scale, "faces": group.faces, "side": group.true.shape[1]},
                **{BICUBIC: rounded(group.rows[0].metrics)},
                "models": [row.to_dict() for row in group.rows[1:]],
            }
            for group in self.groups
        ]
        return {"faces": self.faces, **condition, "scales": scales}


def compare(
    models: Sequence[str | Path],
    faces: list[Images],
    *,
    degradation: str = BICUBIC,
    crop: int | None = None,
    metrics: Mapping[str, Metric] = METRICS,
    engine: str = "auto",
    precision: str | None = None,
    threads: int = 0,
    references: Path | None = None,
    max_references: int = MAX_REFERENCES,
    report: Callable[[int], None] = lambda done: None,
) -> Comparison:
    """Evaluate super-resolution models on the same faces.

    Args:
        models: zoo names or bundle folders, of any scales.
        faces: ground-truth faces, at least 128×128, (H, W, 3) uint8 BGR.
        degradation: a key of `DEGRADATIONS`.
        crop: side of the low-resolution faces in pixels; faces that are too small for it are left out. None for the
            center of each face, see `truth_side`.
        metrics: name -> metric, "psnr_y_db" among them.
        engine: "auto", or the name of a runtime.
        precision: of the graphs, as for `load`; None for that of each card.
        threads: CPU threads per call; 0 for one per core.
        references: folder of a library without these faces, for reference-based models.
        max_references: references per face.
        report: called with the number of evaluated models.

    Raises:
        UnknownNameError, BundleError, EngineError, InputError, UsageError: see the message.
    """
    if degradation not in DEGRADATIONS:
        raise UnknownNameError("degradation", degradation, DEGRADATIONS)
    bundles = dict(zip(model_names(models), map(catalogue.find, models), strict=True))
    for name, bundle in bundles.items():
        if bundle.card.io_spec.task != "super-resolution":
            raise EngineError(f"{name} is not a super-resolution network; only those are evaluated on faces, omit it")
    groups, done = [], 0
    for scale in sorted({bundle.card.io_spec.scale for bundle in bundles.values()}):
        crop_sizes = common_crop_sizes(spec for b in bundles.values() if (spec := b.card.io_spec).scale == scale)
        lr, hr = lr_hr_pairs(faces, scale, DEGRADATIONS[degradation], crop, crop_sizes)
        examples = np.linspace(0, len(hr) - 1, min(EXAMPLES, len(hr))).round().astype(int)
        baseline = upscale_bicubic(lr, scale)
        values = compute_metrics(baseline, hr, baseline, metrics)
        bicubic = ModelRow(BICUBIC, "", "OpenCV", values, 0.0, None, baseline[examples])
        rows = []
        for name, bundle in bundles.items():
            if bundle.card.io_spec.scale != scale:
                continue
            with closing(_open(bundle, engine, precision, threads, references, max_references, hr)) as session:
                sr, runtime = enlarged(session, lr), session.runtime
            values = compute_metrics(sr, hr, baseline, metrics)
            gain_db = values["psnr_y_db"] - bicubic.metrics["psnr_y_db"]
            cost, shown = complexity_of(bundle), sr[examples].copy()
            rows.append(ModelRow(name, precision or bundle.card.precision, runtime, values, gain_db, cost, shown))
            done += 1
            report(done)
        rows.sort(key=lambda row: row.metrics["psnr_y_db"])
        groups.append(ScaleGroup(scale, (bicubic, *rows), lr[examples], hr[examples], len(hr)))
    return Comparison(len(faces), degradation, tuple(groups), crop)


def _open(
    bundle: Bundle,
    engine: str,
    precision: str | None,
    threads: int,
    references: Path | None,
    max_references: int,
    hr: Images,
) -> Session:
    if references is None or not bundle.card.io_spec.references:
        return open_with_count(bundle, None, 0, engine, threads, precision)
    check_leakage(open_library(references, bundle), hr)
    return open_with_count(bundle, references, max_references, engine, threads, precision)


def open_with_count(
    bundle: Bundle, library: Path | None, count: int, engine: str, threads: int, precision: str | None = None
) -> Session:
    """Open the graph of a precision, by default that of the card, with up to `count` references per face; 0 for none.

    The engine "auto" depends on the bundle only, so that results can be repeated.
    """
    info = bundle.card.engine
    default = PRODUCTS[info.runtime].engine if info and info.runtime in PRODUCTS else "onnxruntime"
    engine, precision = default if engine == "auto" else engine, precision or bundle.card.precision
    if library and count:
        return open_with_references(bundle, library, count, engine, threads, precision)
    return open_session(bundle, engine, threads, precision)


def super_resolution_models(crop: int = 0) -> list[str]:
    """Names of the super-resolution models in the zoo that take crops of a side in pixels, sorted."""
    io_specs = {name: read_card(catalogue.FOLDER / name).io_spec for name in catalogue.names()}
    networks = {name: io_spec for name, io_spec in io_specs.items() if io_spec.task == "super-resolution"}
    return [name for name, io_spec in networks.items() if crop <= max(io_spec.crop_sizes)]


def complexity_of(bundle: Bundle) -> Complexity | None:
    """Parameters and multiply-adds; none without PyTorch or onnx, or if the network is unknown."""
    try:
        from ...converters.macs import complexity
    except ImportError:
        return None
    try:
        return complexity(bundle)
    except (UnknownNameError, TypeError, ValueError):  # network or configuration of a later release
        return None


@dataclass(frozen=True)
class Ablation:
    """Metrics of a reference-based model by the number of references."""

    model: str
    faces: int  # number of faces
    entries: int  # number of entries in the library
    bicubic: dict[str, float]
    by_references: tuple[dict[str, float], ...]  # with 0 references, 1, and so on

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        rows = [{"references": count, **rounded(metrics)} for count, metrics in enumerate(self.by_references)]
        header = {"model": self.model, "faces": self.faces, "entries": self.entries}
        return {**header, "bicubic": rounded(self.bicubic), "ablation": rows}


def ablation(
    bundle: Bundle,
    library: Path,
    faces: list[Images],
    *,
    metrics: Mapping[str, Metric] = METRICS,
    engine: str = "auto",
    threads: int = 0,
    report: Callable[[int], None] = lambda done: None,
) -> Ablation:
    """Evaluate a reference-based model with 0 references, 1, … up to its maximum.

    Args:
        bundle: of a reference-based network.
        library: folder of a reference library without these faces.
        faces: ground-truth faces, (H, W, 3) uint8 BGR, at least 128×128.
        metrics: name -> metric, "psnr_y_db" among them.
        engine: "auto", or the name of a runtime.
        threads: CPU threads per call; 0 for one per core.
        report: called with the number of completed evaluations.

    Raises:
        InputError, EngineError, UsageError: see the message.
    """
    scale = bundle.card.io_spec.scale
    lr, hr = lr_hr_pairs(faces, scale, crop_sizes=bundle.card.io_spec.crop_sizes)
    baseline = upscale_bicubic(lr, scale)
    check_leakage(opened := open_library(library, bundle), hr)
    results = []
    for count in range(min(bundle.card.io_spec.references, len(opened)) + 1):
        with closing(open_with_count(bundle, library, count, engine, threads)) as session_with_count:
            results.append(compute_metrics(enlarged(session_with_count, lr), hr, baseline, metrics))
        report(count + 1)
    bicubic = compute_metrics(baseline, hr, baseline, metrics)
    return Ablation(bundle.card.name, len(hr), len(opened), bicubic, tuple(results))

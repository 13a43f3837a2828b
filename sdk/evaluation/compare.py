"""Models on the same held-out faces, side by side: one table, grouped by scale, bicubic first in each group."""

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
    MEASURES,
    SEED,
    Evaluation,
    Measure,
    compute_metrics,
    enlarged,
    enlarged_by_bicubic,
    lr_hr_pairs,
    rounded,
)
from ...engines.bundle.bundle import Bundle
from ...engines.errors import EngineError, UnknownNameError
from ...engines.onnxruntime.reference_session import MAX_REFERENCES
from ...engines.registry import open_session
from ...engines.session import Session
from ...training.data.degrade import DEGRADATIONS
from ...zoo import catalogue
from ..pipeline.references import check_leakage, open_with_references
from .detectors import names_of

if TYPE_CHECKING:
    from ...converters.macs import Complexity


Pictures = NDArray[np.uint8]

EXAMPLES = 6
"""So many faces are kept as pictures, evenly chosen."""


@dataclass(frozen=True, eq=False)
class ModelRow:
    """One way to enlarge faces.

    Args:
        name: of the model, or "bicubic".
        precision: of the model's arithmetic.
        runtime: what ran it.
        figures: see `calibration.evaluate.compute_metrics`; what was not measured is not among them.
        gain_db: what it adds to bicubic's PSNR on the luma.
        cost: its parameters and multiply-adds; none where nothing can count them.
        examples: (n, S, S, 3) uint8 BGR, what it made of the group's examples.
    """

    name: str
    precision: str
    runtime: str
    figures: dict[str, float]
    gain_db: float
    cost: Complexity | None
    examples: Pictures

    @property
    def label(self) -> str:
        """Its name, and its precision where that is not what one expects."""
        plain = self.precision in ("", "fp32") or self.precision in self.name
        return self.name if plain else f"{self.name} {self.precision}"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON, without pictures."""
        about = {"model": self.name, "precision": self.precision, "engine": self.runtime}
        return {**about, **rounded({**self.figures, "gain_db": self.gain_db}), **cost_dict(self.cost)}


@dataclass(frozen=True, eq=False)
class ScaleGroup:
    """All that was measured at one scale.

    Args:
        scale: of the models.
        rows: bicubic, then the models, the better the later: by PSNR on the luma.
        small: (n, s, s, 3) uint8 BGR, some of the faces as the models see them.
        true: (n, S, S, 3), the same faces as they should come back.
    """

    scale: int
    rows: tuple[ModelRow, ...]
    small: Pictures
    true: Pictures


@dataclass(frozen=True, eq=False)
class Comparison:
    """Models on the same faces.

    Args:
        faces: how many.
        degradation: how they became small; chance began at `SEED`.
        groups: by scale, the smallest first.
    """

    faces: int
    degradation: str
    groups: tuple[ScaleGroup, ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON: a model alone flat, as `Evaluation` has it; more than one by scale."""
        how = {"degradation": self.degradation, "seed": SEED}
        if len(self.groups) == 1 and len(self.groups[0].rows) == 2:
            bicubic, row = self.groups[0].rows
            alone = Evaluation(self.faces, row.figures, bicubic.figures)
            return {**row.to_dict(), **alone.to_dict(), **how}
        scales = [
            {
                "scale": group.scale,
                BICUBIC: rounded(group.rows[0].figures),
                "models": [row.to_dict() for row in group.rows[1:]],
            }
            for group in self.groups
        ]
        return {"faces": self.faces, **how, "scales": scales}


def compare(
    models: Sequence[str | Path],
    faces: list[Pictures],
    *,
    degradation: str = BICUBIC,
    measures: Mapping[str, Measure] = MEASURES,
    engine: str = "auto",
    threads: int = 0,
    references: Path | None = None,
    most: int = MAX_REFERENCES,
    report: Callable[[int], None] = lambda done: None,
) -> Comparison:
    """Measure super-resolution models on the same faces.

    Args:
        models: names of the zoo or folders of bundles, of any scales.
        faces: true faces, each at least 128×128, (H, W, 3) uint8 BGR.
        degradation: a key of `DEGRADATIONS`.
        measures: name -> what is measured, "psnr_y_db" among them.
        engine: "auto", or a runtime's name.
        threads: CPU threads of one call; 0 for one a core.
        references: folder of a library, for those of the models that borrow from one, which has none of the faces.
        most: references of a face.
        report: told how many models are done.

    Raises:
        UnknownNameError, BundleError, EngineError, InputError, UsageError: the text says what and what to do.
    """
    if degradation not in DEGRADATIONS:
        raise UnknownNameError("degradation", degradation, DEGRADATIONS)
    bundles = dict(zip(names_of(models), map(catalogue.find, models), strict=True))
    for name, bundle in bundles.items():
        if bundle.card.io_spec.task != "super-resolution":
            raise EngineError(f"{name} is no super-resolution network, which alone is evaluated on faces; leave it out")
    groups, done = [], 0
    for scale in sorted({bundle.card.io_spec.scale for bundle in bundles.values()}):
        small, true = lr_hr_pairs(faces, scale, DEGRADATIONS[degradation])
        chosen = np.linspace(0, len(true) - 1, min(EXAMPLES, len(true))).round().astype(int)
        cubic = enlarged_by_bicubic(small, scale)
        measured = compute_metrics(cubic, true, measures)
        bicubic = ModelRow(BICUBIC, "", "OpenCV", measured, 0.0, None, cubic[chosen])
        rows = []
        for name, bundle in bundles.items():
            if bundle.card.io_spec.scale != scale:
                continue
            with closing(_session(bundle, engine, threads, references, most, true)) as session:
                pictures, runtime = enlarged(session, small), session.runtime
            values = compute_metrics(pictures, true, measures)
            gain = values["psnr_y_db"] - measured["psnr_y_db"]
            rows.append(
                ModelRow(name, bundle.card.precision, runtime, values, gain, cost_of(bundle), pictures[chosen].copy())
            )
            done += 1
            report(done)
        rows.sort(key=lambda row: row.figures["psnr_y_db"])
        groups.append(ScaleGroup(scale, (bicubic, *rows), small[chosen], true[chosen]))
    return Comparison(len(faces), degradation, tuple(groups))


def _session(bundle: Bundle, engine: str, threads: int, references: Path | None, most: int, true: Pictures) -> Session:
    if references is None or not bundle.card.io_spec.references:
        return open_session(bundle, engine, threads)
    session = open_with_references(bundle, references, most, engine, threads)
    check_leakage(session.library, true)
    return session


def super_resolution_models() -> list[str]:
    """Names of the zoo's models that enlarge faces, sorted."""
    return [name for name in catalogue.names() if catalogue.find(name).card.io_spec.task == "super-resolution"]


def cost_of(bundle: Bundle) -> Complexity | None:
    """Parameters and multiply-adds; none where PyTorch or onnx is not installed, or the card's network is unknown."""
    try:
        from ...converters.macs import complexity
    except ImportError:
        return None
    try:
        return complexity(bundle)
    except (UnknownNameError, TypeError, ValueError):  # a network or a configuration of a later release
        return None


def cost_dict(cost: Complexity | None) -> dict[str, int]:
    """Ready for JSON; empty where nothing was counted."""
    return {"parameters": cost.parameters, "multiply_adds": cost.multiply_adds} if cost else {}


@dataclass(frozen=True)
class Ablation:
    """Figures of one model on the same faces.

    Args:
        model: its name.
        faces: how many.
        entries: of the library.
        bicubic: what bicubic does, by the names of `compute_metrics`.
        by_references: the same of the model with 0 references, with 1, and so on.
    """

    model: str
    faces: int
    entries: int
    bicubic: dict[str, float]
    by_references: tuple[dict[str, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        turns = [{"references": count, **rounded(found)} for count, found in enumerate(self.by_references)]
        about = {"model": self.model, "faces": self.faces, "entries": self.entries}
        return {**about, "bicubic": rounded(self.bicubic), "ablation": turns}


def ablation(
    bundle: Bundle,
    library: Path,
    faces: list[Pictures],
    *,
    measures: Mapping[str, Measure] = MEASURES,
    engine: str = "auto",
    threads: int = 0,
    report: Callable[[int], None] = lambda done: None,
) -> Ablation:
    """Measure a network with the nearest references, from none to as many as it takes.

    Args:
        bundle: of a network that borrows from references.
        library: folder of a library of other faces.
        faces: true faces, (H, W, 3) uint8 BGR, at least 128×128.
        measures: name -> what is measured, "psnr_y_db" among them.
        engine: "auto" or "onnxruntime".
        threads: CPU threads of one call; 0 for one a core.
        report: told how many numbers of references are done.

    Raises:
        InputError, EngineError, UsageError: the text says what and what to do.
    """
    scale = bundle.card.io_spec.scale
    small, true = lr_hr_pairs(faces, scale)
    with closing(open_with_references(bundle, library, 1, engine, threads)) as session:
        check_leakage(session.library, true)
        entries = len(session.library)
    turns = []
    for count in range(min(bundle.card.io_spec.references, entries) + 1):
        opened = (
            open_with_references(bundle, library, count, engine, threads)
            if count
            else open_session(bundle, engine, threads)
        )
        with closing(opened) as turn:
            turns.append(compute_metrics(enlarged(turn, small), true, measures))
        report(count + 1)
    bicubic = compute_metrics(enlarged_by_bicubic(small, scale), true, measures)
    return Ablation(bundle.card.name, len(true), entries, bicubic, tuple(turns))

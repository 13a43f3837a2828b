"""Comparison of super-resolution models under several conditions: kinds of degradation, and sizes of the crop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from ...calibration.metrics.evaluate import BICUBIC, FACES_SUFFIX, SIDE, Images, large_faces
from ...engines.bundle.bundle import Bundle
from ...engines.errors import UnknownNameError, UsageError
from ...training.data.degrade import DEGRADATIONS
from ...zoo import catalogue
from .compare import Comparison, ScaleGroup, compare
from .detectors import model_names

ALL = "all"
"""Name that stands for every degradation."""


@dataclass(frozen=True, eq=False)
class Conditions:
    """Results of the same models on the same faces, one comparison for each condition: crop sizes, degradations."""

    models: tuple[str, ...]  # display names, in the given order
    comparisons: tuple[Comparison, ...]

    @property
    def degradations(self) -> tuple[str, ...]:
        """Names, in the given order."""
        return tuple(dict.fromkeys(one.degradation for one in self.comparisons))

    @property
    def crops(self) -> tuple[int | None, ...]:
        """Crop sizes in pixels, in the given order; None for the protocol of the papers."""
        return tuple(dict.fromkeys(one.crop for one in self.comparisons))

    def at(self, degradation: str, crop: int | None) -> Comparison:
        """The comparison under one condition."""
        return next(one for one in self.comparisons if (one.degradation, one.crop) == (degradation, crop))

    @property
    def notes(self) -> tuple[str, ...]:
        """A line for each crop size and scale for which faces were left out, as they are too small, and for each metric
        that was not measured on all of the others."""
        lines = (line for one in self.comparisons for group in one.groups for line in _notes(one, group))
        return tuple(dict.fromkeys(lines))

    def to_dict(self) -> dict[str, Any]:
        """For JSON: `Comparison.to_dict` of one condition; a list of these under "evaluations" for several."""
        evaluations = [one.to_dict() for one in self.comparisons]
        return evaluations[0] if len(evaluations) == 1 else {"evaluations": evaluations}


def compare_conditions(
    models: Sequence[str | Path],
    faces: list[Images],
    degradations: Iterable[str] = (BICUBIC,),
    crops: Iterable[int] = (),
    report: Callable[[int], None] = lambda done: None,
    **options: Any,
) -> Conditions:
    """Evaluate super-resolution models on the same faces under several conditions.

    Args:
        models, faces: see `compare`.
        degradations: keys of `DEGRADATIONS`, see `degradation_names`.
        crops: sides of the low-resolution faces in pixels; none for the center of each face.
        report: called with the number of evaluations done, one for each model and condition.
        options: of `compare`.

    Raises:
        UnknownNameError, BundleError, EngineError, InputError, UsageError: see the message. Names and crop sizes are
            checked before the first evaluation.
    """
    names, sizes = degradation_names(degradations), tuple(crops)
    bundles = [catalogue.find(model) for model in models]
    for bundle, size in product(bundles, sizes):
        _check_crop(bundle, faces, size)
    comparisons = []
    for number, (crop, degradation) in enumerate(product(sizes or (None,), names)):

        def count(done: int, before: int = number * len(bundles)) -> None:
            report(before + done)

        comparisons.append(compare(models, faces, degradation=degradation, crop=crop, report=count, **options))
    return Conditions(tuple(model_names(models)), tuple(comparisons))


def _notes(comparison: Comparison, group: ScaleGroup) -> Iterator[str]:
    condition = f"crops of {group.small.shape[1]} px at x{group.scale}"
    small, side = comparison.faces - group.faces, group.true.shape[1]
    if comparison.crop is None and side != SIDE:
        yield f"{condition}: the ground truth is {side}x{side} px, not {SIDE}x{SIDE}"
    if small:
        yield f"{condition}: {small} of {comparison.faces} faces are smaller than {side}x{side} px and left out"
    for name, count in group.rows[0].metrics.items():
        if name.endswith(FACES_SUFFIX):
            yield f"{condition}: {name.removesuffix(FACES_SUFFIX)} was measured on {count} of {group.faces} faces"


def degradation_names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of degradations, each once, with "all" replaced by every key of `DEGRADATIONS`.

    Raises:
        UnknownNameError: there is no degradation of a name.
    """
    expanded: dict[str, None] = {}
    for name in names:
        if name != ALL and name not in DEGRADATIONS:
            raise UnknownNameError("degradation", name, {*DEGRADATIONS, ALL})
        expanded |= dict.fromkeys(DEGRADATIONS if name == ALL else (name,))
    return tuple(expanded)


def _check_crop(bundle: Bundle, faces: list[Images], crop: int) -> None:
    io_spec = bundle.card.io_spec
    if io_spec.task == "super-resolution":
        large_faces(faces, io_spec.scale, crop)
        largest = max(io_spec.crop_sizes)
        if crop > largest:
            raise UsageError(f"{bundle.card.name} takes crops up to {largest} px, got {crop} px; give smaller crops")

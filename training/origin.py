"""Where weights come from: what their file, and then their card, says of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..converters.checkpoint import Origin, Weights
from ..engines.bundle import open_bundle
from .recipe import Recipe
from .recipes import camera, detector, faces_cpu, msrnet


def origin_of(
    recipe: Recipe,
    faces: Path,
    scores: dict[str, float],
    teacher: Path | None = None,
    start: Weights | None = None,
    taken: int = 0,
) -> Origin:
    """What the weights' file says of their origin: recipe, data, teacher, first weights, scores, licence and limits."""
    taught: dict[str, Any] = {"teacher": _named(teacher)} if teacher else {}
    if start:
        about = {"network": start.network, "config": start.config, "tensors_taken": taken}
        taught["started_from"] = {**about, **start.origin.training}
    rounded = {key: round(value, 4) for key, value in scores.items()}
    training = {"data": faces.resolve().name, **taught, "scores": rounded, **asdict(recipe)}
    return Origin(json.loads(json.dumps(training)), "Apache-2.0", _limits(recipe))


def _named(teacher: Path) -> str:
    """The name on a bundle's card, which its folder need not have; else the file's."""
    return open_bundle(teacher).card.name if teacher.is_dir() else teacher.name


def _limits(recipe: Recipe) -> tuple[str, ...]:
    if recipe.network == "detector":
        return detector.LIMITS
    if recipe.network == "msrnet":
        return msrnet.LIMITS
    return camera.LIMITS if recipe.degradation == "camera" else faces_cpu.LIMITS

"""From a name and a folder of pictures to trained weights that say where they come from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from ..converters.checkpoint import Origin, Weights, read_weights, weights_bytes
from ..engines.bundle import WEIGHTS, open_bundle
from ..engines.choose import open_session
from ..engines.errors import EngineError, InputError, OutputError, UnknownNameError, UsageError
from ..engines.ort import check_threads
from ..engines.session import Session
from ..engines.yunet import YuNetSession
from ..networks import build_network
from .faces import FacePairs
from .loop import Progress, Recipe, Report, Task, train
from .recipes import crl, detector, faces_cpu, idrn, mffcn, sisn, srcnn, srresnet, vdsr
from .scenes import Scenes

RECIPES: dict[str, dict[str, Callable[..., Recipe]]] = {
    "crl": crl.RECIPES,
    "detector": detector.RECIPES,
    "idrn": idrn.RECIPES,
    "mffcn": mffcn.RECIPES,
    "sisn": sisn.RECIPES,
    "srcnn": srcnn.RECIPES,
    "srresnet": srresnet.RECIPES,
    "vdsr": vdsr.RECIPES,
}
"""Network -> name of a recipe -> what makes it of the options that were given."""
LIMITS = {"detector": detector.LIMITS}
"""Of a network's weights, where they differ from those of all that learn from faces."""


def train_model(
    model: str,
    faces: Path,
    output: Path,
    *,
    held_out: Path | None = None,
    teacher: Path | None = None,
    recipe: str = "cpu",
    start: Path | None = None,
    scale: int | None = None,
    depth: int | None = None,
    width: int | None = None,
    steps: int | None = None,
    threads: int = 0,
    report: Report = lambda progress: None,
) -> Path:
    """Train a network, or go on where it stopped.

    Args:
        model: a network with a recipe, "idrn" or "detector".
        faces: folder of true faces; for the detector, one with ``labels.json`` and ``images/``.
        output: holds the checkpoint while it trains, and ``weights.safetensors`` in the end.
        held_out: folder of faces to evaluate on; the detector has its own in ``labels.json``.
        teacher: a detector to imitate, a YuNet ONNX file or the folder of a bundle; none to learn the labels alone.
        start: weights to start from, of any network: what fits is taken; none to start at random.
        recipe: "cpu", or "paper" where the network comes from one.
        scale, depth, width: of the network; none for the recipe's own.
        steps: instead of the recipe's; none for its own.
        threads: CPU threads; 0 for one a core.
        report: told of the progress.

    Returns:
        Path of the weights; give it to ``facesr-edge build --weights``.

    Raises:
        UnknownNameError, UsageError, InputError, OutputError, TrainingError: the text says what and what to do.
    """
    if model not in RECIPES:
        raise UnknownNameError("network", model, RECIPES)
    if recipe not in RECIPES[model]:
        raise UnknownNameError("recipe", recipe, RECIPES[model])
    options = {"scale": scale, "depth": depth, "width": width}
    chosen = {key: value for key, value in options.items() if value is not None}
    try:
        plan = RECIPES[model][recipe](**chosen)
    except TypeError:
        raise UsageError(
            f"{model} cannot be trained with {', '.join(f'--{key}' for key in chosen)}; leave them out"
        ) from None
    if steps is not None:
        plan = replace(plan, steps=steps)
    if plan.steps < 1:
        raise UsageError(f"expected 1 step or more, got {plan.steps}")
    try:
        build_network(plan.network, plan.config)
    except ValueError as error:
        raise UsageError(str(error)) from None
    check_threads(threads)
    if threads:
        torch.set_num_threads(threads)
    if teacher and model != "detector":
        raise UsageError(f"{model} learns from no teacher; leave --teacher out")
    session = open_teacher(teacher) if teacher else None
    task: Task = Scenes(plan, faces, session) if model == "detector" else FacePairs(plan, faces, held_out)
    began = read_weights(start) if start else None
    scores: dict[str, float] = {}

    def remember(progress: Progress) -> None:
        scores.update(progress.scores)
        report(progress)

    network = train(plan, task, output, remember, start=began.tensors if began else None)
    weights = output / WEIGHTS
    content = weights_bytes(network, plan.network, plan.config, origin_of(plan, faces, scores, teacher, began))
    try:
        weights.write_bytes(content)
    except OSError as error:
        weights.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {weights}: {error.strerror or error}; free some space and train again: it is quick now"
        ) from None
    return weights


def open_teacher(path: Path) -> Session:
    """A detector to imitate, on one thread: the network's training has the others.

    Raises:
        InputError, BundleError, EngineError: it is missing, or is no detector.
    """
    if path.is_dir():
        session = open_session(open_bundle(path), "onnxruntime", 1)
    elif path.is_file():
        return YuNetSession(path, 1)
    else:
        raise InputError(f"there is no teacher {path}; give a YuNet ONNX file, a bundle, or leave --teacher out")
    if session.contract.task != "face-detection":
        raise EngineError(f"{path} is a bundle for {session.contract.task}; give a face detector as the teacher")
    return session


def origin_of(
    recipe: Recipe,
    faces: Path,
    scores: dict[str, float],
    teacher: Path | None = None,
    start: Weights | None = None,
) -> Origin:
    """What the weights' file says of their origin: recipe, data, teacher, first weights, scores, licence and limits."""
    taught: dict[str, Any] = {"teacher": teacher.name} if teacher else {}
    if start:
        taught["started_from"] = {"network": start.network, "config": start.config, **start.origin.training}
    rounded = {key: round(value, 4) for key, value in scores.items()}
    training = {"data": faces.resolve().name, **taught, "scores": rounded, **asdict(recipe)}
    return Origin(json.loads(json.dumps(training)), "Apache-2.0", LIMITS.get(recipe.network, faces_cpu.LIMITS))

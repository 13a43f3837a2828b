"""From a name and a folder of pictures to trained weights that say where they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from typing import Any, cast

import torch

from ..converters.spec import merge_options
from ..engines.batching import check_threads
from ..engines.bundle.bundle import WEIGHTS, open_bundle
from ..engines.errors import OutputError, UnknownNameError, UsageError
from ..networks import build_network
from ..networks.edge.network import Edge
from ..networks.weights import Provenance, Weights, read_weights, weights_bytes
from .device import device_named
from .partial_load import partial_load
from .qat import remove_fake_quant
from .recipe import Recipe
from .recipes import camera, crl, detector, edge, faces_cpu, idrn, mffcn, msrnet, sisn, srcnn, srresnet, vdsr
from .recipes.camera import CAMERA
from .tasks import task_of
from .trainer import Report, TrainProgress, train

MAX_LR_SCALE = 10
DISTILL_WEIGHT = 0.5
"""Share of a super-resolution network's loss that its teacher has, where there is one."""
RECIPES: dict[str, dict[str, Callable[..., Recipe]]] = {
    "crl": crl.RECIPES,
    "detector": detector.RECIPES,
    "edge": edge.RECIPES,
    "idrn": {**idrn.RECIPES, "camera": camera.camera},
    "mffcn": mffcn.RECIPES,
    "msrnet": msrnet.RECIPES,
    "sisn": sisn.RECIPES,
    "srcnn": srcnn.RECIPES,
    "srresnet": srresnet.RECIPES,
    "vdsr": vdsr.RECIPES,
}
"""Network -> name of a recipe -> what makes it of the options that were given."""


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
    options: Mapping[str, int] | None = None,
    steps: int | None = None,
    perceptual_weights: Path | None = None,
    batch: int | None = None,
    rate: float = 1.0,
    device: str = "cpu",
    workers: int = 1,
    threads: int = 0,
    report: Report = lambda progress: None,
) -> Path:
    """Train a network, or go on where it stopped.

    Args:
        model: a network with a recipe, "idrn" or "detector".
        faces: folder of true faces; for the detector, one with ``labels.json`` and ``images/``.
        output: holds the checkpoint while it trains, and ``weights.safetensors`` in the end.
        held_out: folder of faces to evaluate on; the detector has its own in ``labels.json``.
        teacher: a network to imitate, the folder of a bundle or a YuNet ONNX file; none to learn from the data alone.
        start: weights to start from, of any network: what fits is taken, and edge grows from those of a smaller one;
            none to start at random.
        recipe: "cpu", "camera" for IDRN and edge, "paper" where the network comes from one; edge has others.
        scale, depth, width: of the network; none for the recipe's own, or for those of the weights that it finishes.
        options: more of what the recipe can be told, e.g. ``{"groups": 5}`` for SISN.
        steps: instead of the recipe's; none for its own.
        perceptual_weights: of VGG-19, for recipes that compare its features; see `read_vgg`.
        batch: samples a step, instead of the recipe's.
        rate: what the recipe's peak rates are multiplied by; less than 1 to go on from trained weights.
        device: "cpu", "cuda" or "cuda:1".
        workers: threads that draw batches ahead.
        threads: CPU threads; 0 for one a core.
        report: told of the progress.

    Returns:
        Path of the weights; give it to ``facesr-edge build --weights``.

    Raises:
        UnknownNameError, UsageError, InputError, OutputError, BundleError, EngineError, TrainingError: the text says
            what and what to do.
    """
    if model not in RECIPES:
        raise UnknownNameError("network", model, RECIPES)
    if recipe not in RECIPES[model]:
        raise UnknownNameError("recipe", recipe, RECIPES[model])
    began = read_weights(start) if start else None
    plan = plan_of(model, recipe, {"scale": scale, "depth": depth, "width": width}, options or {}, began)
    plan = replace(
        plan,
        distill_weight=DISTILL_WEIGHT if teacher and model != "detector" else 0.0,
        steps=plan.steps if steps is None else steps,
        batch=plan.batch if batch is None else batch,
        learning_rate=rate * plan.learning_rate,
        muon=rate * plan.muon,
    )
    if min(plan.steps, plan.batch, workers) < 1:
        raise UsageError(
            f"expected 1 step, 1 sample and 1 worker or more, got {plan.steps}, {plan.batch} and {workers}"
        )
    if not 0 < rate <= MAX_LR_SCALE:
        raise UsageError(f"expected a rate above 0 and up to {MAX_LR_SCALE}, got {rate}")
    there = device_named(device)
    plan, taken = init_weights_from(plan, began)
    check_threads(threads)
    if threads:
        torch.set_num_threads(threads)
    task = task_of(plan, faces, held_out, teacher, perceptual_weights)
    scores: dict[str, float] = {}

    def remember(progress: TrainProgress) -> None:
        scores.update({f"int8_{name}" if plan.int8 else name: score for name, score in progress.scores.items()})
        report(progress)

    network = train(plan, task, output, remember, start=began.tensors if began else None, device=there, workers=workers)
    weights = output / WEIGHTS
    if plan.config.get("branches"):
        network = cast(Edge, network).folded()
    if plan.int8:
        remove_fake_quant(network)
    content = weights_bytes(
        network, plan.network, _deployed(plan.config), origin_of(plan, faces, scores, teacher, began, taken)
    )
    try:
        weights.write_bytes(content)
    except OSError as error:
        weights.unlink(missing_ok=True)
        raise OutputError(
            f"cannot write {weights}: {error.strerror or error}; free some space and train again: it is quick now"
        ) from None
    return weights


def init_weights_from(plan: Recipe, began: Weights | None) -> tuple[Recipe, int]:
    """A recipe and how many tensors of the weights to start from fit its network.

    Returns:
        The recipe, if it finishes a training with the degradation of that; and the number, 0 without weights.

    Raises:
        UsageError: the network cannot be built so, or it lacks trained weights of the whole network to finish.
        TrainingError: none of the weights fits.
    """
    try:
        network = build_network(plan.network, plan.config)
    except ValueError as error:
        raise UsageError(str(error)) from None
    taken = len(partial_load(network, began.tensors, plan)) if began else 0
    if not plan.finetune:
        return plan, taken
    config = _deployed(plan.config)
    if began is None or _deployed(began.config or {}) != config or taken < len(network.state_dict()):
        raise UsageError(
            f"this recipe comes last, after trained weights of {plan.network} with {config}; "
            "give them with --start FILE"
        )
    told = began.origin.training
    seen = {"degradation": told.get("degradation", plan.degradation), "clean": told.get("clean", plan.clean)}
    more = (CAMERA,) if seen["degradation"] == "camera" else ()
    return replace(plan, deviations=(*plan.deviations, *more), **seen), taken


def _deployed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A network's configuration without what it has while it trains alone."""
    return {key: value for key, value in config.items() if key != "branches"}


def plan_of(
    model: str,
    recipe: str,
    sizes: Mapping[str, int | None],
    options: Mapping[str, int],
    began: Weights | None = None,
) -> Recipe:
    """The recipe with what it was told.

    Args:
        model: a key of `RECIPES`.
        recipe: one of its recipes.
        sizes: what has an option of its own on the command line; none where it was not given.
        options: what ``--set`` says.
        began: weights to start from; a recipe that finishes takes their sizes where none were given.

    Raises:
        UsageError: the recipe takes no such option, or one was given twice.
    """
    make = RECIPES[model][recipe]
    given = {key: value for key, value in merge_options(sizes, options).items() if value is not None}
    known = signature(make).parameters
    for name in given:
        if name not in known:
            spelled = f"--set {name}" if name in options else f"--{name}"
            raise UsageError(f"recipe {recipe} of {model} takes {', '.join(known)}; leave {spelled} out")
    if began is not None and began.network == model and make().finetune:
        theirs = {key: value for key, value in _deployed(began.config or {}).items() if key in known}
        given = {**theirs, **given}
    return make(**given)


def origin_of(
    recipe: Recipe,
    faces: Path,
    scores: dict[str, float],
    teacher: Path | None = None,
    start: Weights | None = None,
    taken: int = 0,
) -> Provenance:
    """What the weights' file says of their origin: recipe, data, teacher, first weights, scores, licence and limits."""
    distill_weight: dict[str, Any] = {"teacher": _named(teacher)} if teacher else {}
    if start:
        about = {"network": start.network, "config": start.config, "tensors_taken": taken}
        distill_weight["started_from"] = {**about, **start.origin.training}
    rounded = {key: round(value, 4) for key, value in scores.items()}
    training = {"data": faces.resolve().name, **distill_weight, "scores": rounded, **asdict(recipe)}
    return Provenance(json.loads(json.dumps(training)), "Apache-2.0", _limits(recipe))


def _named(teacher: Path) -> str:
    """The name on a bundle's card, which its folder need not have; else the file's."""
    return open_bundle(teacher).card.name if teacher.is_dir() else teacher.name


def _limits(recipe: Recipe) -> tuple[str, ...]:
    if recipe.network == "detector":
        return detector.LIMITS
    if recipe.network == "msrnet":
        return msrnet.LIMITS
    return camera.LIMITS if recipe.degradation == "camera" else faces_cpu.LIMITS

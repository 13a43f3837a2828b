"""Train a network by a recipe: from a folder of pictures to a weights file with its training record."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from inspect import signature
from pathlib import Path
from typing import Any, cast

import torch

from ..converters.spec import merge_options
from ..engines.batching import check_threads
from ..engines.bundle.bundle import WEIGHTS, open_bundle
from ..engines.errors import InputError, OutputError, UnknownNameError, UsageError
from ..engines.files import write_atomic
from ..networks import NETWORKS, build_network
from ..networks.edge.network import Edge
from ..networks.fit import check_fit
from ..networks.weights import Provenance, Weights, read_weights, weights_bytes
from .data.degrade import DEGRADATIONS
from .device import parse_device
from .partial_load import partial_load
from .qat import remove_fake_quant
from .recipe import Recipe
from .recipes import cpu, crl, detector, edge, edge_track, idrn, mffcn, msrnet, sisn, srcnn_srresnet_vdsr
from .tasks import TrainingData, build_task
from .trainer import CHECKPOINT, Report, TrainProgress, read_checkpoint, train

MAX_LR_SCALE = 10
MAX_SHARDS = 9_999
"""Shards of recorded pairs; their numbers have four digits in file names."""
INHERITED: dict[str, Callable[[object], bool]] = {
    "degradation": lambda value: isinstance(value, str) and value in DEGRADATIONS,
    "clean": lambda value: type(value) in (int, float) and 0 <= cast(float, value) <= 1,
    "shards": lambda value: type(value) is int and 0 <= value <= MAX_SHARDS,
    "bf16": lambda value: type(value) is bool,
}
"""Fields that a recipe takes over from the training record of the weights that it fine-tunes -> whether a value is
valid."""
CAMERA_DEGRADATIONS = ("camera", "recorded")
PAIRS = "pairs"
"""Folder of the recorded pairs in the output."""
DISTILL_WEIGHT = 0.5
"""Weight of the teacher's output in the loss of a super-resolution network."""
RECIPES: dict[str, dict[str, Callable[..., Recipe]]] = {
    "crl": crl.RECIPES,
    "detector": detector.RECIPES,
    "edge": edge.RECIPES,
    "edge-track": edge_track.RECIPES,
    "idrn": idrn.RECIPES,
    "mffcn": mffcn.RECIPES,
    "msrnet": msrnet.RECIPES,
    "sisn": sisn.RECIPES,
    **srcnn_srresnet_vdsr.RECIPES,
}
"""Network -> recipe name -> function that builds the recipe from options."""


def train_model(
    model: str,
    faces: Path | Sequence[Path],
    output: Path,
    *,
    scenes: Path | None = None,
    pairs: Path | None = None,
    detector: Path | None = None,
    val_faces: Path | None = None,
    teacher: Path | None = None,
    recipe: str = "cpu",
    init_weights: Path | None = None,
    scale: int | None = None,
    depth: int | None = None,
    width: int | None = None,
    options: Mapping[str, int] | None = None,
    steps: int | None = None,
    perceptual_weights: Path | None = None,
    batch: int | None = None,
    lr_scale: float = 1.0,
    device: str = "cpu",
    workers: int = 1,
    threads: int = 0,
    report: Report = lambda progress: None,
    prepare: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Path:
    """Train a network, or resume an interrupted run.

    Args:
        model: key of `RECIPES`, e.g. "idrn" or "detector".
        faces: folder of high-resolution faces, several for camera recipes; for the detector, one with ``labels.json``
            and ``images/``.
        scenes: folder of pictures without faces, in front of which camera recipes record faces; None for synthetic
            ones.
        pairs: cache of the pairs or tracks that camera recipes record, which trainings with the same data share; None
            for ``pairs`` in the output.
        detector: bundle of the detector with which recipes of tracks find eyes and mouths; None for faces that neither
            blink nor speak.
        output: folder of the checkpoint and, at the end, ``weights.safetensors``.
        val_faces: folder of validation faces; the detector reads its validation split from ``labels.json``.
        teacher: teacher for distillation, a bundle folder or for the detector a YuNet ONNX file.
        recipe: "cpu", "paper" for most networks of papers, "camera" for IDRN and edge, "track" for edge-track; edge and
            edge-track have further ones.
        init_weights: initial weights, of any network; tensors that fit are used, and edge networks grow from smaller
            ones. None for random weights.
        scale, depth, width: of the network; None for the recipe's, or those of the weights that it fine-tunes.
        options: further recipe options, e.g. ``{"groups": 5}`` for SISN.
        steps, batch: optimizer steps, and samples per step; None for the recipe's.
        perceptual_weights: VGG-19 weights for perceptual losses, see `read_vgg`.
        lr_scale: factor of the recipe's learning rates; below 1 to continue from trained weights.
        device: "cpu", "cuda" or "cuda:1".
        prepare: called while pairs are recorded, with what is done, the number of parts done and of all.
            Processes record them: a script calls this function under ``if __name__ == "__main__"``.
        workers, threads: threads that prepare batches, and CPU threads of PyTorch, 0 for one per core.

    Returns:
        Path of the weights, for ``facesr-edge build --weights``.

    Raises:
        UnknownNameError, UsageError, InputError, OutputError, BundleError, EngineError, TrainingError: see the message.
    """
    if model not in RECIPES:
        raise UnknownNameError("network", model, RECIPES)
    if recipe not in RECIPES[model]:
        raise UnknownNameError("recipe", recipe, RECIPES[model])
    initial = read_weights(init_weights) if init_weights else None
    if initial and initial.config is not None and initial.network in NETWORKS:
        check_fit(initial.tensors, initial.network, initial.config)
    plan = build_recipe(model, recipe, {"scale": scale, "depth": depth, "width": width}, options or {}, initial)
    plan = replace(
        plan,
        distill_weight=DISTILL_WEIGHT if teacher and model != "detector" else 0.0,
        steps=plan.steps if steps is None else steps,
        batch=plan.batch if batch is None else batch,
        learning_rate=lr_scale * plan.learning_rate,
        muon=lr_scale * plan.muon,
    )
    if min(plan.steps, plan.batch, workers) < 1:
        raise UsageError(f"steps, batch and workers must be 1 or more, got {plan.steps}, {plan.batch} and {workers}")
    if not 0 <= plan.shards <= MAX_SHARDS:
        raise UsageError(f"shards must be 0 to {MAX_SHARDS}, got {plan.shards}")
    if not 0 < lr_scale <= MAX_LR_SCALE:
        raise UsageError(f"lr_scale must be above 0 and at most {MAX_LR_SCALE}, got {lr_scale}")
    target = parse_device(device)
    plan, matched = check_init_weights(plan, initial)
    check_threads(threads)
    if threads:
        torch.set_num_threads(threads)
    if pairs and not plan.shards:
        raise UsageError("only camera recipes record pairs; omit --pairs")
    folders = (faces,) if isinstance(faces, Path) else tuple(faces)
    if not folders:
        raise UsageError("there is no folder of faces; give at least one")
    data = TrainingData(folders, val_faces, scenes, pairs or output / PAIRS, workers, detector)
    read_checkpoint(output / CHECKPOINT, plan)  # a wrong one raises now, not after pairs have been recorded
    task = build_task(plan, data, teacher, perceptual_weights, prepare)
    scores: dict[str, float] = {}

    def record(progress: TrainProgress) -> None:
        scores.update({f"int8_{name}" if plan.int8 else name: score for name, score in progress.scores.items()})
        report(progress)

    tensors = initial.tensors if initial else None
    network = train(plan, task, output, record, init_weights=tensors, device=target, workers=workers)
    if plan.config.get("branches"):
        network = cast(Edge, network).fused()
    if plan.int8:
        remove_fake_quant(network)
    provenance = build_provenance(plan, data.name, scores, teacher, initial, matched)
    path = output / WEIGHTS
    try:
        write_atomic(path, weights_bytes(network, plan.network, _inference_config(plan.config), provenance))
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; free disk space and run the same command again: "
            "training is complete and will not be repeated"
        ) from None
    return path


def check_init_weights(recipe: Recipe, initial: Weights | None) -> tuple[Recipe, int]:
    """Check that the network can be built and initialized.

    Returns:
        The recipe, which takes over the degradation of the weights if it fine-tunes them; and the number of tensors
        that fit, 0 without weights.

    Raises:
        UsageError: the configuration is invalid, or the recipe fine-tunes and the weights are not complete weights of
            this network, or there are none for frozen modules.
        InputError: the training record of the weights has values that are not valid.
        TrainingError: no tensor fits.
    """
    try:
        network = build_network(recipe.network, recipe.config)
    except ValueError as error:
        raise UsageError(str(error)) from None
    fitting = partial_load(network, initial.tensors, recipe) if initial else {}
    missing = [key for key in network.state_dict().keys() - fitting.keys() if key.startswith(recipe.frozen)]
    if missing:
        raise UsageError(
            f"this recipe keeps {', '.join(recipe.frozen)} of trained weights of {recipe.network} with "
            f"{recipe.config}; give them with --init-weights FILE"
        )
    matched = len(fitting)
    if not recipe.finetune:
        return recipe, matched
    config = _inference_config(recipe.config)
    complete = initial and _inference_config(initial.config or {}) == config and matched == len(network.state_dict())
    if initial is None or not complete:
        raise UsageError(
            f"this recipe fine-tunes trained weights of {recipe.network} with {config}; give them with "
            "--init-weights FILE"
        )
    recipe = replace(recipe, **_inherited(initial.origin.training))
    camera = recipe.degradation in CAMERA_DEGRADATIONS
    return replace(recipe, deviations=recipe.deviations + ((cpu.CAMERA_DEGRADATION,) if camera else ())), matched


def _inherited(training: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a training record that are taken over; it comes from a file, and is not trusted.

    Raises:
        InputError: a value is not valid.
    """
    values = {name: training[name] for name in INHERITED if name in training}
    for name, value in values.items():
        if not INHERITED[name](value):
            raise InputError(
                f"the training record of the initial weights has {name} = {value!r}, which this release cannot "
                "continue; give weights that it has trained"
            )
    return values


def _inference_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Configuration of the network without its training-time branches."""
    return {key: value for key, value in config.items() if key != "branches"}


def build_recipe(
    model: str, recipe: str, sizes: Mapping[str, int | None], options: Mapping[str, int], initial: Weights | None = None
) -> Recipe:
    """Build a recipe with the user's options.

    Args:
        model, recipe: keys of `RECIPES`.
        sizes, options: values of --scale, --depth and --width, None where not given, and of ``--set``.
        initial: initial weights; a recipe that fine-tunes them takes their sizes where none were given.

    Raises:
        UsageError: the recipe has no such option, or one was given twice.
    """
    make = RECIPES[model][recipe]
    given = {key: value for key, value in merge_options(sizes, options).items() if value is not None}
    known = signature(make).parameters
    for name in given:
        if name not in known:
            flag = f"--set {name}" if name in options else f"--{name}"
            raise UsageError(f"recipe {recipe} of {model} has the options {', '.join(known)}; omit {flag}")
    if initial is not None and initial.network == model and make().finetune:
        initial_sizes = {key: value for key, value in _inference_config(initial.config or {}).items() if key in known}
        given = {**initial_sizes, **given}
    return make(**given)


def build_provenance(
    recipe: Recipe,
    data: str,
    scores: dict[str, float],
    teacher: Path | None = None,
    initial: Weights | None = None,
    matched: int = 0,
) -> Provenance:
    """Training record for the weights file: data, teacher, initial weights, scores, recipe, licence and limitations."""
    sources: dict[str, Any] = {"teacher": _teacher_name(teacher)} if teacher else {}
    if initial:
        description = {"network": initial.network, "config": initial.config, "tensors_loaded": matched}
        sources["init_from"] = {**description, **initial.origin.training}
    rounded = {key: round(value, 4) for key, value in scores.items()}
    training = {"data": data, **sources, "scores": rounded, **asdict(recipe)}
    return Provenance(json.loads(json.dumps(training)), "Apache-2.0", _limitations(recipe))


def _teacher_name(teacher: Path) -> str:
    """Name on the card of a bundle, whose folder may be renamed; otherwise the file name."""
    return open_bundle(teacher).card.name if teacher.is_dir() else teacher.name


def _limitations(recipe: Recipe) -> tuple[str, ...]:
    if recipe.network == "detector":
        return detector.LIMITATIONS
    if recipe.network == "msrnet":
        return msrnet.LIMITATIONS
    return cpu.CAMERA_LIMITATIONS if recipe.degradation in CAMERA_DEGRADATIONS else cpu.LIMITATIONS

"""From a recipe and folders of data to what a network learns."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..engines.bundle import open_bundle
from ..engines.choose import open_session
from ..engines.errors import EngineError, InputError, UsageError
from ..engines.session import Session
from ..engines.yunet import YuNetSession
from .adversary import Adversary
from .faces import FacePairs
from .losses import ADVERSARIAL, FEATURE_LOSSES, Criterion
from .recipe import Recipe
from .references import FacesWithReferences
from .scenes import Scenes
from .task import Task
from .vgg import read_vgg


def task_of(
    plan: Recipe, faces: Path, held_out: Path | None, teacher: Path | None, perceptual_weights: Path | None
) -> Task:
    """What a network learns.

    Raises:
        UsageError, InputError, BundleError, EngineError: an option or a teacher that is not for this network, or data
            that cannot be read.
    """
    if plan.network == "detector":
        if perceptual_weights:
            raise UsageError("the detector's recipe compares no features of VGG-19; leave --perceptual-weights out")
        return Scenes(plan, faces, open_teacher(teacher, "face-detection") if teacher else None)
    criterion = criterion_of(plan, perceptual_weights)
    if plan.network == "msrnet":
        if teacher:
            raise UsageError("msrnet learns from no teacher; leave --teacher out")
        return FacesWithReferences(plan, faces, held_out, criterion)
    if teacher and criterion.adversary:
        raise UsageError("an adversary takes a teacher's pictures for true ones; leave --teacher out")
    taught_by = open_teacher(teacher, "super-resolution", plan.degradation) if teacher else None
    return FacePairs(plan, faces, held_out, criterion, taught_by)


def criterion_of(recipe: Recipe, perceptual_weights: Path | None) -> Criterion:
    """The recipe's losses, with what they need.

    Raises:
        UsageError: they need weights of VGG-19 that were not given, or the other way round.
        InputError: the weights are another network's.
    """
    features = None
    if perceptual_weights is not None:
        if not FEATURE_LOSSES.keys() & recipe.losses.keys():
            raise UsageError("the recipe compares no features of VGG-19; leave --perceptual-weights out")
        features = read_vgg(perceptual_weights, recipe.vgg_layer)
    adversary = None
    if ADVERSARIAL in recipe.losses:
        adversary = Adversary(recipe.learning_rate, recipe.beta1, recipe.seed)
    return Criterion(recipe.losses, features, adversary)


def open_teacher(
    path: Path, task: Literal["face-detection", "super-resolution"], degradation: str | None = None
) -> Session:
    """A network to imitate, on one thread: the training has the others.

    Args:
        path: folder of a bundle, or for detectors a YuNet ONNX file.
        task: that it does.
        degradation: that it has to have learnt; none where that does not matter.

    Raises:
        InputError, BundleError, EngineError: it is missing, or does something else.
    """
    if path.is_dir():
        bundle = open_bundle(path)
        learnt = bundle.card.training.get("degradation", "bicubic")
        if degradation not in (None, learnt):
            raise UsageError(f"the teacher learnt from '{learnt}' faces, this recipe has '{degradation}'; give another")
        session = open_session(bundle, "onnxruntime", 1)
    elif path.is_file() and task == "face-detection":
        return YuNetSession(path, 1)
    else:
        wanted = "a YuNet ONNX file or a bundle" if task == "face-detection" else "the folder of a bundle"
        what = f"{path} is no teacher" if path.exists() else f"there is no teacher {path}"
        raise InputError(f"{what}; give {wanted}, or leave --teacher out")
    if session.contract.task != task:
        raise EngineError(f"{path} is a bundle for {session.contract.task}; give one for {task} as the teacher")
    return session

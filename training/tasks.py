"""What is learnt, as the loop sees it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from ..engines.bundle.bundle import open_bundle
from ..engines.errors import EngineError, InputError, UsageError
from ..engines.registry import open_session
from ..engines.session import Session
from ..engines.yunet import YuNetSession
from ..networks.perceptual import read_vgg
from .data.faces import FacePairs
from .data.references import FacesWithReferences
from .data.scenes import Scenes
from .losses.discriminator import Adversary
from .losses.losses import ADVERSARIAL, FEATURE_LOSSES, Criterion
from .recipe import Recipe


class Task(Protocol):
    """What is learnt: batches, their loss, and a score on held-out data."""

    def batch(self, rng: np.random.Generator) -> Any:
        """Draw a batch; called from other threads, several at a time, while earlier steps run."""

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """Scalar loss of a batch."""

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores on held-out data, e.g. ``{"psnr_gain_db": 2.8}``."""

    def to(self, device: torch.device) -> None:
        """Move what the loss is reckoned with; batches are drawn in main memory, and moved by the loop."""


@runtime_checkable
class Stateful(Protocol):
    """What a `Task` is besides, where something of its own learns as it goes: checkpoints keep that too."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and text; empty where nothing learns."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


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
    if session.io_spec.task != task:
        raise EngineError(f"{path} is a bundle for {session.io_spec.task}; give one for {task} as the teacher")
    return session

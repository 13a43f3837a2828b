"""Training tasks: the protocol that the loop uses, and which task a recipe has."""

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
    """Data, loss and evaluation of a training run."""

    def batch(self, rng: np.random.Generator) -> Any:
        """Draw a batch in host memory. Called by several threads at once while earlier steps run."""

    def loss(self, network: nn.Module, batch: Any) -> Tensor:
        """Scalar loss of a batch on the training device."""

    def evaluate(self, network: nn.Module) -> dict[str, float]:
        """Scores on validation data, e.g. ``{"gain_db": 2.8}``."""

    def to(self, device: torch.device) -> None:
        """Move the networks that the loss uses to the training device."""


@runtime_checkable
class Stateful(Protocol):
    """A `Task` with state that checkpoints must keep, e.g. a discriminator."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and text; empty without state."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state from a checkpoint."""


def build_task(
    recipe: Recipe, faces: Path, val_faces: Path | None, teacher: Path | None, perceptual_weights: Path | None
) -> Task:
    """Build the task of a recipe's network.

    Raises:
        UsageError, InputError, BundleError, EngineError: the network does not support an option or the teacher, or data
            cannot be read.
    """
    if recipe.network == "detector":
        if perceptual_weights:
            raise UsageError("detector recipes have no perceptual loss; omit --perceptual-weights")
        return Scenes(recipe, faces, open_teacher(teacher, "face-detection") if teacher else None)
    criterion = build_criterion(recipe, perceptual_weights)
    if recipe.network == "msrnet":
        if teacher:
            raise UsageError("msrnet does not support a teacher; omit --teacher")
        return FacesWithReferences(recipe, faces, val_faces, criterion)
    if teacher and criterion.adversary:
        raise UsageError("an adversarial loss would take the teacher's output for real faces; omit --teacher")
    session = open_teacher(teacher, "super-resolution", recipe.degradation) if teacher else None
    return FacePairs(recipe, faces, val_faces, criterion, session)


def build_criterion(recipe: Recipe, perceptual_weights: Path | None) -> Criterion:
    """Build the loss of a recipe with the networks that it needs.

    Raises:
        UsageError: the loss needs VGG-19 weights and there are none, or the other way round.
        InputError: the weights are not those of VGG-19.
    """
    features = None
    if perceptual_weights is not None:
        if not FEATURE_LOSSES.keys() & recipe.losses.keys():
            raise UsageError("this recipe has no perceptual loss; omit --perceptual-weights")
        features = read_vgg(perceptual_weights, recipe.vgg_layer)
    adversary = None
    if ADVERSARIAL in recipe.losses:
        adversary = Adversary(recipe.learning_rate, recipe.beta1, recipe.seed)
    return Criterion(recipe.losses, features, adversary)


def open_teacher(
    path: Path, task: Literal["face-detection", "super-resolution"], degradation: str | None = None
) -> Session:
    """Open a teacher network in ONNX Runtime on one thread; training uses the other cores.

    Args:
        path: bundle folder, or for a detector a YuNet ONNX file.
        task: required task.
        degradation: required degradation of the teacher's training; None to accept any.

    Raises:
        InputError, BundleError, EngineError, UsageError: the file is missing, or the teacher does not match.
    """
    if path.is_dir():
        bundle = open_bundle(path)
        trained_on = bundle.card.training.get("degradation", "bicubic")
        if degradation not in (None, trained_on):
            raise UsageError(
                f"the teacher was trained on degradation '{trained_on}', this recipe has '{degradation}'; "
                "give another teacher"
            )
        session = open_session(bundle, "onnxruntime", 1, "fp32")
    elif path.is_file() and task == "face-detection":
        return YuNetSession(path, 1)
    else:
        expected = "a YuNet ONNX file or a bundle" if task == "face-detection" else "a bundle folder"
        problem = f"{path} is not a teacher" if path.exists() else f"teacher {path} does not exist"
        raise InputError(f"{problem}; give {expected}, or omit --teacher")
    if session.io_spec.task != task:
        raise EngineError(f"{path} is a bundle for {session.io_spec.task}; give one for {task} as the teacher")
    return session

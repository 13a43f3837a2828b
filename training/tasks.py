"""Training tasks: the protocol that the loop uses, and which task a recipe has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from ..engines.bundle.bundle import open_bundle, read_card
from ..engines.errors import EngineError, InputError, UsageError
from ..engines.registry import open_session
from ..engines.session import Session
from ..engines.yunet import YuNetSession
from ..networks.perceptual import read_vgg
from .data.cameras.cache import PairCache, PairSource
from .data.cameras.landmarks import FaceLandmarks
from .data.cameras.track_cache import TrackCache, TrackSource
from .data.faces import FacePairs, check_teacher, flip_ensemble
from .data.labelled import LabelledFaces
from .data.recorded import RecordedFaces
from .data.recorded_tracks import RecordedTracks
from .data.references import FacesWithReferences
from .data.scenes import Scenes
from .losses.attributes import ATTRIBUTES
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


@dataclass(frozen=True)
class TrainingData:
    """Folders of a training run.

    Args:
        faces: training faces, one folder or more; several only for recipes that record pairs.
        val_faces: validation faces; None disables evaluation.
        scenes: backgrounds of recorded faces; None for synthetic ones.
        pairs: cache of recorded pairs.
        processes: that record pairs.
        detector: bundle of the detector that finds landmarks of the faces of tracks; None for faces without expression.
    """

    faces: tuple[Path, ...]
    val_faces: Path | None
    scenes: Path | None
    pairs: Path
    processes: int = 1
    detector: Path | None = None

    @property
    def name(self) -> str:
        """Name on the card: of the folder, or of several ones with their parents."""
        folders = [folder.resolve() for folder in self.faces]
        return folders[0].name if len(folders) == 1 else " and ".join(f"{f.parent.name}/{f.name}" for f in folders)


def build_task(
    recipe: Recipe,
    data: TrainingData,
    teacher: Path | None,
    perceptual_weights: Path | None,
    report: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Task:
    """Build the task of a recipe's network; pairs that are not in the cache yet are recorded.

    Whatever else can be wrong is found before the recording, which takes long.

    Args:
        report: called while pairs are recorded, with what is done, the number of shards done and of all.

    Raises:
        UsageError, InputError, BundleError, EngineError: the network does not support an option or the teacher, or data
            cannot be read.
        TrainingError, OutputError: pairs cannot be recorded.
    """
    recorded = recipe.shards > 0
    if len(data.faces) > 1 and not recorded:
        raise UsageError("only camera recipes take several folders of faces; give --faces once")
    if data.scenes and not recorded:
        raise UsageError("only camera recipes record faces in front of scenes; omit --scenes")
    faces, val_faces = data.faces[0], data.val_faces
    if recipe.network == "detector":
        if perceptual_weights:
            raise UsageError("detector recipes have no perceptual loss; omit --perceptual-weights")
        return Scenes(recipe, faces, open_teacher(teacher, "face-detection") if teacher else None)
    criterion = build_criterion(recipe, perceptual_weights)
    if recipe.frames > 1:
        if teacher:
            raise UsageError("recipes of tracks do not support a teacher; omit --teacher")
        return _recorded_tracks(recipe, data, criterion, report)
    if recipe.network == "msrnet":
        if teacher:
            raise UsageError("msrnet does not support a teacher; omit --teacher")
        return FacesWithReferences(recipe, faces, val_faces, criterion)
    if ATTRIBUTES in recipe.losses:
        if teacher:
            raise UsageError("auxiliary tasks do not support a teacher; omit --teacher")
        return LabelledFaces(recipe, faces, val_faces, criterion)
    if teacher and criterion.adversary:
        raise UsageError("an adversarial loss would take the teacher's output for real faces; omit --teacher")
    session = open_teacher(teacher, "super-resolution", recipe.degradation) if teacher else None
    if not recorded:
        return FacePairs(recipe, faces, val_faces, criterion, session)
    if session:
        check_teacher(recipe, session)
    cache = open_cache(recipe, data)
    task = RecordedFaces(recipe, cache, val_faces, criterion)
    cache.fill(data.processes, lambda done: report("recording pairs", done, recipe.shards))
    if teacher and session:
        name = f"{read_card(teacher).name}-{read_card(teacher).fingerprint}"
        upscale = partial(flip_ensemble, session)
        cache.teach(name, upscale, lambda done: report("applying the teacher", done, recipe.shards))
    return task


def _recorded_tracks(
    recipe: Recipe, data: TrainingData, criterion: Criterion, report: Callable[[str, int, int], None]
) -> RecordedTracks:
    """The task of a recipe of tracks; those that are not in the cache yet are recorded."""
    if not recipe.shards:
        raise UsageError("recipes of tracks need recorded tracks; give --set shards=1 or more")
    if data.detector:
        FaceLandmarks(data.detector)  # a wrong one raises now, not in a recording process
    source = TrackSource(*_recorded_from(recipe, data), detector=data.detector)
    cache = TrackCache(data.pairs, source, recipe.shards)
    task = RecordedTracks(recipe, cache, data.val_faces, criterion)
    cache.fill(data.processes, lambda done: report("recording tracks", done, recipe.shards))
    return task


def open_cache(recipe: Recipe, data: TrainingData) -> PairCache:
    """Open the cache of a recipe's pairs, which may lack some of them."""
    return PairCache(data.pairs, PairSource(*_recorded_from(recipe, data)), recipe.shards)


def _recorded_from(recipe: Recipe, data: TrainingData) -> tuple[tuple[Path, ...], Path | None, int, int, int]:
    """Fields of a `PairSource`."""
    scale = int(recipe.config["scale"])
    return data.faces, data.scenes, scale, recipe.crop // scale, recipe.seed


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
    losses = {name: weight for name, weight in recipe.losses.items() if name != ATTRIBUTES}
    return Criterion(losses, features, adversary)


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

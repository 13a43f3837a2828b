"""Networks of a live run besides that of its pipeline: a smaller one, and one that takes several crops of a face."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...engines.errors import UsageError
from ...engines.multiframe.session import MultiFrameSession
from ...engines.session import MultiInputSession, Session
from ...zoo import catalogue
from ..checked_session import open_checked_session
from ..pipeline.pipeline import Pipeline
from ..provenance.network_use import NetworkUse

SMALL_MODEL = "edge-nano-x4-camera"
DEFAULTS: Mapping[str, Any] = {"engine": "auto", "threads": 0, "precision": "auto", "report": lambda line: None}


def open_small(model: str | Path | None, pipeline: Pipeline, settings: Mapping[str, Any]) -> Session | None:
    """Session of the smaller network; None without one, or if the default one does not fit.

    Args:
        model, settings: see `live`.
        pipeline: of the run.

    Raises:
        UsageError: the network does not fit that of the pipeline.
    """
    if model is None:
        return None
    bundle, io_spec = catalogue.find(model), pipeline.session.io_spec
    if bundle.card.fingerprint == pipeline.card.fingerprint:
        return None
    own = bundle.card.io_spec
    if own.scale != io_spec.scale or not set(io_spec.crop_sizes) <= set(own.crop_sizes):
        if model == SMALL_MODEL:
            return None
        raise UsageError(
            f"expected a small_model of x{io_spec.scale} for the crop sizes of {pipeline.card.name}, "
            f"got {bundle.card.name} of x{own.scale}; choose another, or small_model=None"
        )
    return _opened(model, settings)


def check_frames(frames: int, track_model: str | Path, model: str | Path) -> None:
    """Raise unless two networks can upscale faces from a number of crops.

    Args:
        frames, track_model, model: see `live`.

    Raises:
        UsageError: the networks do not fit together, or `frames` does not fit the network for tracks.
        UnknownNameError, BundleError: a network is not found.
    """
    if not isinstance(frames, int) or isinstance(frames, bool) or frames < 1:
        raise UsageError(f"frames is {frames!r}, expected a whole number from 1; 1 upscales each crop by itself")
    if frames == 1:
        return
    card, other = catalogue.find(track_model).card, catalogue.find(model).card
    own, io_spec = card.io_spec, other.io_spec
    if own.frames < 2:
        raise UsageError(
            f"expected a track_model that takes several crops of a face, got {card.name}; "
            f"choose {catalogue.TRACK}, or frames=1"
        )
    if frames > own.frames:
        raise UsageError(f"frames is {frames}, but {card.name} takes at most {own.frames} crops of a face")
    if own.scale != io_spec.scale or not set(io_spec.crop_sizes) <= set(own.crop_sizes):
        raise UsageError(
            f"expected a track_model of x{io_spec.scale} for the crop sizes of {other.name}, "
            f"got {card.name} of x{own.scale}; choose another, or frames=1"
        )


def open_multi(
    frames: int, track_model: str | Path, pipeline: Pipeline, settings: Mapping[str, Any]
) -> MultiFrameSession | None:
    """Session of the multi-frame network; None for single frames.

    Args:
        frames, track_model, settings: see `live`; checked by `check_frames`.
        pipeline: of the run.
    """
    return MultiFrameSession(pipeline.session, _opened(track_model, settings), frames) if frames > 1 else None


def use_of(session: Session, model: str | Path | None, pipeline: Pipeline) -> NetworkUse | None:
    """What the pixels of faces of another network of the run depend on.

    Args:
        session: of the network.
        model: its name or folder.
        pipeline: of the run.
    """
    if model is None:
        return None
    card, detector = catalogue.find(model).card, pipeline.detector.fingerprint
    return NetworkUse(card.name, card.fingerprint, session.precision, session.runtime, session.io_spec.scale, detector)


def _opened(model: str | Path, settings: Mapping[str, Any]) -> MultiInputSession:
    own = {name: settings.get(name, value) for name, value in DEFAULTS.items()}
    return open_checked_session(catalogue.find(model), **own)

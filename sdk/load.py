"""Load a pipeline or a detector by name or path."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ..engines.bundle.bundle import Bundle
from ..engines.errors import InputError, UsageError
from ..engines.references.session import MAX_REFERENCES
from ..engines.session import Session
from ..engines.uncertainty import UncertaintySession
from ..engines.yunet import YuNetSession
from ..zoo import catalogue
from .checked_session import open_checked_session
from .gpu.context import DeviceSession
from .gpu.stages import GpuStages
from .pipeline.detect import Detector
from .pipeline.pipeline import Pipeline
from .pipeline.redetect import DetectEvery
from .pipeline.references import open_with_references
from .pipeline.stages import CpuStages
from .pipeline.tiling import MIN_FACE
from .pipeline.track_network import TrackNetwork, check_frames

_logger = logging.getLogger(__name__)


def load(
    model: str | Path = catalogue.DEFAULT_MODEL,
    *,
    engine: str = "auto",
    detector: str | Path | Detector = catalogue.DEFAULT_DETECTOR,
    outscale: int = 2,
    composite: bool = True,
    threads: int = 0,
    rebuild: bool = False,
    references: str | Path | None = None,
    max_references: int = MAX_REFERENCES,
    precision: str = "auto",
    report: Callable[[str], None] = lambda line: None,
    detect_every: DetectEvery = 1,
    uncertainty: bool = False,
    frames: int = 1,
    track_model: str | Path | TrackNetwork = catalogue.TRACK,
) -> Pipeline:
    """Load a face super-resolution pipeline, with its stages on the GPU if both engines run there.

    If only one of them does, the stages run on the CPU, with copies to and from the GPU; `runtime` of the sessions
    names what runs each.

    Args:
        model: zoo name or bundle folder.
        engine: "auto" for the fastest runtime of this machine, or its name. The first use of a bundle on a machine
            measures for at most 3 s, see `choose_engine`.
        detector: a `Detector`, which several pipelines may share and which is not closed with them; or a value for
            `load_detector`.
        outscale: ratio of the composite's size to the frame's, 1 to 4.
        composite: make the composite; False for faces only.
        threads: CPU threads of each network, and maximum number of stages that compute at once in a stream; 0 for one
            per core. Codecs have threads of their own. Detection to pasting on a GPU is not limited.
        rebuild: if a bundle has no TensorRT engine for this device, compile one in its folder, which takes minutes. Not
            for bundles of the package.
        references: folder of a library of reference faces, see `build_library`; without it, a network that takes
            references runs without them.
        max_references: maximum number of references per face; the nearest are used.
        precision: "auto" for the fastest that loses at most 0.05 dB, or "fp32", "bf16", "fp16" or "int8"; of the
            detector too.
        report: called with a line before a measurement.
        detect_every: in a stream, detect in the whole frame every n-th frame, and where the scene changes; in between
            only around the known faces. "auto" adapts n, from 3 to 8, and detects fully where something else moves or
            a face is lost. Calls of the pipeline, images, and frames that come in GPU memory are always detected
            fully.
        uncertainty: estimate `Face.uncertainty`, see `load_uncertainty`.
        frames: in a stream, maximum number of frames that a face is made from, 1 to those of `track_model`; faces
            without enough earlier crops are made by `model`. Calls of the pipeline and pictures always have one frame.
            With more than 1, the stages run on the CPU, also if the engines run on a GPU.
        track_model: multi-frame network of the same scale, used if `frames` is more than 1: zoo name, bundle folder,
            or one that is loaded, which is closed with the pipeline.

    Raises:
        UnknownNameError, BundleError, EngineError, InputError, UsageError: the message says what to do.
    """
    _check_options(frames, references, uncertainty)
    is_own = not isinstance(detector, Detector)
    if not isinstance(detector, Detector):
        detector = load_detector(
            detector, engine=engine, threads=threads, rebuild=rebuild, precision=precision, report=report
        )
    bundle = _find_bundle(model, engine, rebuild, report)  # after the detector, since it may take minutes
    head = UncertaintySession(catalogue.find(catalogue.UNCERTAINTY), bundle.card, threads) if uncertainty else None
    session: Session
    if references is None:
        session = open_checked_session(bundle, engine, threads, precision, report)
    else:
        session = open_with_references(bundle, references, max_references, engine, threads, precision, report=report)
    network = track_model if frames > 1 and isinstance(track_model, TrackNetwork) else None
    if frames > 1 and not isinstance(track_model, TrackNetwork):
        network = load_track_network(
            track_model, engine=engine, threads=threads, rebuild=rebuild, precision=precision, report=report
        )
    return Pipeline(
        session,
        bundle.card,
        detector,
        outscale,
        composite,
        stages=stages_for(session, detector, frames),
        detect_every=detect_every,
        threads=threads,
        close_detector=is_own,
        uncertainty=head,
        frames=frames,
        track_network=network,
    )


def stages_for(session: Session, detector: Detector, frames: int = 1) -> type[GpuStages] | type[CpuStages]:
    """Where the stages of a pipeline run; a copy to and from the GPU that could be avoided is logged.

    Args:
        session: super-resolution engine.
        detector: face detector.
        frames: maximum number of frames that a face is made from.
    """
    on_gpu = [isinstance(one, DeviceSession) for one in (session, detector.session)]
    if all(on_gpu) and frames == 1:
        return GpuStages
    if all(on_gpu):
        _logger.warning(
            "frames is %d: crops are registered on the CPU, so only the engines run on the GPU, and frames and faces "
            "are copied to and from it; with frames=1 all stages run there",
            frames,
        )
    elif any(on_gpu):
        runtimes = session.runtime, detector.session.runtime
        _logger.warning("frames are copied to and from the GPU: one engine is %s, the other %s", *runtimes)
    return CpuStages


def _check_options(frames: int, references: str | Path | None, uncertainty: bool) -> None:
    """Raise a UsageError if the number of frames is none, or cannot be combined with the other options."""
    if not isinstance(frames, int) or isinstance(frames, bool) or frames < 1:
        raise UsageError(f"frames is {frames!r}, expected a number of frames, 1 or more")
    if frames > 1 and references is not None:
        raise UsageError("the multi-frame network takes no references; leave out references or frames")
    if frames > 1 and uncertainty:
        raise UsageError("the uncertainty is calibrated for faces of one frame; leave out uncertainty or frames")


def load_track_network(
    model: str | Path = catalogue.TRACK,
    *,
    engine: str = "auto",
    threads: int = 0,
    rebuild: bool = False,
    precision: str = "auto",
    report: Callable[[str], None] = lambda line: None,
) -> TrackNetwork:
    """Load a multi-frame network for `load`.

    Args:
        model: zoo name or bundle folder.
        engine, threads, rebuild, precision, report: see `load`.

    Raises:
        UnknownNameError, BundleError, EngineError, UsageError: the message says what to do.
    """
    bundle = _find_bundle(model, engine, rebuild, report)
    check_frames(bundle.card)
    return TrackNetwork(open_checked_session(bundle, engine, threads, precision, report), bundle.card)


def load_uncertainty(model: str | Path = catalogue.DEFAULT_MODEL, *, threads: int = 0) -> UncertaintySession:
    """Load the uncertainty head, calibrated for a network; see `uncertainty_of`.

    Args:
        model: zoo name or bundle folder of the network that upscales the faces.
        threads: CPU threads; 0 for one per core.

    Raises:
        UnknownNameError, BundleError: as `load`.
        EngineError: the head is not calibrated for this network.
    """
    return UncertaintySession(catalogue.find(catalogue.UNCERTAINTY), catalogue.find(model).card, threads)


def load_detector(
    model: str | Path = catalogue.DEFAULT_DETECTOR,
    *,
    score: float = catalogue.DEFAULT_SCORE,
    min_face: float = MIN_FACE,
    engine: str = "auto",
    threads: int = 0,
    rebuild: bool = False,
    precision: str = "auto",
    report: Callable[[str], None] = lambda line: None,
) -> Detector:
    """Load a face detector.

    Args:
        model: zoo name, bundle folder, or YuNet ONNX file.
        score: minimum score of the returned faces, 0..1; in streams with `detect_every`, and of tracks in live runs,
            known faces are kept below it.
        min_face: side of the smallest face of interest, frame pixels, 1 or more; see `Detector`.
        engine: "auto", or the name of a runtime.
        threads: CPU threads of one call; 0 for one per core.
        rebuild: see `load`.
        precision: "auto", "fp32", "bf16", "fp16" or "int8"; see `load`.
        report: called with a line before a measurement.

    Raises:
        UnknownNameError, BundleError, EngineError, UsageError, InputError: the message says what to do.
    """
    path = Path(model)
    if path.suffix.lower() == ".onnx":
        if not path.is_file():
            raise InputError(f"{path} does not exist; give a YuNet ONNX file or a bundle, or omit --detector")
        yunet = YuNetSession(path, threads)
        return Detector(yunet, score, min_face, fingerprint=yunet.fingerprint)
    bundle = _find_bundle(model, engine, rebuild, report)
    session = open_checked_session(bundle, engine, threads, precision, report)
    return Detector(session, score, min_face, fingerprint=f"{bundle.card.name} {bundle.card.fingerprint}")


def _find_bundle(model: str | Path, engine: str, rebuild: bool, report: Callable[[str], None]) -> Bundle:
    """Open a bundle, and compile an engine for this device if `rebuild` is set."""
    bundle = catalogue.find(model)
    if not rebuild or (engine == "auto" and catalogue.ships(bundle)):  # "auto" runs those as they ship
        return bundle
    if engine not in ("auto", "tensorrt", "tensorrt-rtx"):
        raise UsageError(f"rebuild compiles TensorRT engines, but the engine is {engine}; leave one of the two out")
    from ..converters.compile import ensure_engine  # imports what only compiling needs

    return ensure_engine(bundle, engine, report)

"""From a name to something that runs."""

from __future__ import annotations

from pathlib import Path

from ..engines.bundle.bundle import Bundle
from ..engines.errors import InputError, UsageError
from ..engines.onnxruntime.reference_session import MAX_REFERENCES
from ..engines.registry import open_session
from ..engines.yunet import YuNetSession
from ..zoo import catalogue
from .gpu.context import DeviceSession
from .pipeline.detect import Detector
from .pipeline.pipeline import Pipeline
from .pipeline.references import open_with_references
from .pipeline.tiling import MIN_FACE


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
    most: int = MAX_REFERENCES,
) -> Pipeline:
    """Load a face super-resolution pipeline: a `GpuPipeline` where both networks are engines on a GPU.

    Where only one of them has an engine, `Pipeline` runs it with copies to and from the host; `runtime` of the
    sessions says what runs which.

    Args:
        model: a name of the zoo, or the folder of a bundle.
        engine: "auto" for the fastest runtime that this machine has, or its name.
        detector: a `Detector`, or what `load_detector` takes.
        outscale: how many times larger the composite is than the frame, 1 to 4.
        composite: make the composite; without it only the faces are.
        threads: CPU threads of one call; 0 for one a core.
        rebuild: where a bundle has no TensorRT engine that runs here, compile one in its folder, which takes minutes;
            not of those that ship.
        references: folder of a library of faces that the network borrows from, see `build_library`; without it one
            that could borrow does without.
        most: references of a face, the nearest ones.

    Raises:
        UnknownNameError, BundleError, EngineError, InputError, UsageError: the text says what and what to do.
    """
    found = (
        detector
        if isinstance(detector, Detector)
        else load_detector(detector, engine=engine, threads=threads, rebuild=rebuild)
    )
    bundle = _found(model, engine, rebuild)  # last, for it may take minutes
    if references is not None:
        return Pipeline(
            open_with_references(bundle, references, most, engine, threads), bundle.card, found, outscale, composite
        )
    session = open_session(bundle, engine, threads)
    if isinstance(session, DeviceSession) and isinstance(found.session, DeviceSession):
        from .gpu.pipeline import GpuPipeline  # what only a GPU needs

        return GpuPipeline(session, bundle.card, found, outscale, composite)
    return Pipeline(session, bundle.card, found, outscale, composite)


def load_detector(
    model: str | Path = catalogue.DEFAULT_DETECTOR,
    *,
    score: float = catalogue.DEFAULT_SCORE,
    min_face: float = MIN_FACE,
    engine: str = "auto",
    threads: int = 0,
    rebuild: bool = False,
) -> Detector:
    """Load a face detector.

    Args:
        model: a name of the zoo, the folder of a bundle, or a YuNet ONNX file.
        score: least score, 0..1, of what is returned.
        min_face: smallest face of interest, in pixels, 1 or more; see `Detector`.
        engine: "auto", or a runtime's name.
        threads: CPU threads of one call; 0 for one a core.
        rebuild: as for `load`.

    Raises:
        UnknownNameError, BundleError, EngineError, UsageError, InputError: the text says what and what to do.
    """
    path = Path(model)
    if path.suffix.lower() == ".onnx":
        if not path.is_file():
            raise InputError(f"there is no file {path}; give a YuNet ONNX file, a bundle, or leave --detector out")
        return Detector(YuNetSession(path, threads), score, min_face)
    return Detector(open_session(_found(model, engine, rebuild), engine, threads), score, min_face)


def _found(model: str | Path, engine: str, rebuild: bool) -> Bundle:
    """The bundle, with an engine for this device where that was asked for."""
    bundle = catalogue.find(model)
    if not rebuild or (engine == "auto" and catalogue.ships(bundle)):  # which "auto" runs as it is
        return bundle
    if engine not in ("auto", "tensorrt"):
        raise UsageError(f"rebuild compiles engines of TensorRT, {engine} has none; leave one of the two out")
    from ..converters.compile import ensure_engine  # brings what only compiling needs

    return ensure_engine(bundle)

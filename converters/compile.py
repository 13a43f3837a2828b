"""Compile a prepared bundle on the device that runs it, verify the engine and time it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..calibration.accuracy import CHOICE_NOTE, faster_precision
from ..calibration.timing import median_ms
from ..engines.bundle.bundle import (
    ENGINE,
    FP16_ONNX,
    LAYERS,
    ONNX,
    WEIGHTS,
    Bundle,
    check_free,
    check_writable,
    write_bundle,
)
from ..engines.bundle.card import ENGINE_CHECK, Card, Evaluation, Precision, with_evaluation
from ..engines.bundle.engine_info import mismatches
from ..engines.cuda.device import Gpu
from ..engines.errors import FacesrError, UsageError
from ..engines.registry import open_session
from ..engines.tensorrt.api import version
from ..engines.tensorrt.builder import CompileOptions, compile_engine
from ..engines.tensorrt.loader import current_engine_info
from ..engines.tensorrt.progress import Progress
from ..engines.tensorrt.session import TrtSession
from ..zoo.catalogue import ships
from .engine_check import check_engine, check_inputs
from .options import check_engine_support

PREPARED = "prepared: compile the TensorRT engine on the device; until then the bundle runs on CPUs"
"""Note on the card of a bundle that has not been compiled."""
Report = Callable[[str], None]
Watch = Callable[[Progress], None]


def compile_bundle(
    bundle: Bundle,
    engine: str = "auto",
    *,
    folder: Path | None = None,
    options: CompileOptions | None = None,
    report: Report = lambda line: None,
    watch: Watch = lambda progress: None,
) -> Bundle:
    """Compile a prepared bundle on the device that will run it.

    Args:
        bundle: made by `build`, or compiled before.
        engine: runtime; "auto" is TensorRT if it and a GPU are available, otherwise a CPU runtime.
        folder: destination; None for the bundle's folder, or for "NAME-tensorrt" if the bundle ships with the package.
        options: for TensorRT; None for those of the bundle's existing engine, or the defaults.
        report, watch: called with a line for each step, and with the progress of TensorRT.

    Returns:
        The bundle, ready to run. CPU runtimes compile at load time, so for them the bundle stays as it is.

    Raises:
        BuildError, EngineError, MissingDependencyError, OutputError, UsageError: see the message.
    """
    check_engine_support(engine, bundle.card.io_spec, bundle.card.name)
    cpu_int8 = bundle.card.precision == "int8" and FP16_ONNX not in bundle.card.files
    if engine == "tensorrt" and cpu_int8:
        raise UsageError(f"{bundle.folder} is INT8 for CPUs; build one for TensorRT: build --int8 --engine tensorrt")
    if folder:
        check_free(folder)
    cpu_only = cpu_int8 or bool(bundle.card.io_spec.references)
    if engine == "tensorrt" or (engine == "auto" and not cpu_only and not why_not_tensorrt()):
        folder = folder or (Path(f"{bundle.card.name}-tensorrt") if ships(bundle) else bundle.folder)
        check_free(folder)
        check_writable(folder)
        return _compile_tensorrt(bundle, folder, options or _options_from_card(bundle.card), report, watch)
    if folder:
        bundle = write_bundle(folder, bundle.card, _contents(bundle))
    default = "onnxruntime"
    with closing(open_session(bundle, default if engine == "auto" else engine, 0, bundle.card.precision)) as session:
        session.warm_up()
        hint = "" if engine in ("auto", default) else f"; run it with --engine {engine}"
        report(f"{bundle.card.name} is ready: {session.runtime}, nothing to compile{hint}")
    return bundle


def ensure_engine(bundle: Bundle, report: Report = lambda line: None, watch: Watch = lambda progress: None) -> Bundle:
    """Compile the TensorRT engine of a bundle if it has none that runs on this device.

    Raises:
        UsageError: the bundle ships with the package, whose folder is not written to.
        Others: see `compile_bundle`.
    """
    if ships(bundle):
        name = bundle.card.name
        raise UsageError(
            f"{name} ships with the package and cannot be compiled in place; compile a copy: "
            f"facesr-edge build {name} --engine tensorrt -o DIR, and give DIR"
        )
    info = bundle.card.engine
    with Gpu() as gpu:
        reasons = mismatches(info, current_engine_info(bundle, gpu)) if info else ("it has no engine",)
    if not reasons:
        return bundle
    report(f"recompiling {bundle.folder}: {', and '.join(reasons)}")
    return compile_bundle(bundle, "tensorrt", report=report, watch=watch)


def why_not_tensorrt() -> str:
    """Why TensorRT cannot be used on this machine; "" if it can."""
    try:
        version()
        Gpu().close()
    except FacesrError as error:
        return str(error)
    return ""


def _options_from_card(card: Card) -> CompileOptions:
    """The options that a bundle's engine was compiled with, as far as the card has them."""
    info = card.engine
    if not info:
        return CompileOptions()
    return CompileOptions(
        hardware_compatible=info.hardware_compatible, version_compatible=info.version_compatible, dla=info.dla
    )


def _compile_tensorrt(bundle: Bundle, folder: Path, options: CompileOptions, report: Report, watch: Watch) -> Bundle:
    """Compile for TensorRT; of an INT8 bundle also its FP16 graph, and keep the faster engine."""
    with TemporaryDirectory() as workdir:
        compiled = _compile(bundle, Path(workdir) / "first", options, report, watch)
        if FP16_ONNX in bundle.card.files:
            fp16 = _compile(_fp16_bundle(bundle, workdir), Path(workdir) / "second", options, report, watch)
            precision, note = _choose_precision(compiled, fp16)
            report(note)
            compiled = compiled if precision == "int8" else fp16
            compiled = replace(compiled, card=replace(compiled.card, notes=(*compiled.card.notes, note)))
        return write_bundle(folder, compiled.card, _contents(compiled))


def _fp16_bundle(bundle: Bundle, workdir: str) -> Bundle:
    """A bundle of the FP16 graph of an INT8 bundle for TensorRT."""
    contents = {ONNX: bundle.read(FP16_ONNX), WEIGHTS: bundle.read(WEIGHTS)}
    card = replace(bundle.card, precision="fp16", calibration="", engine=None)
    return write_bundle(Path(workdir) / "fp16", card, contents)


def _compile(bundle: Bundle, folder: Path, options: CompileOptions, report: Report, watch: Watch) -> Bundle:
    """A copy of the bundle with an engine, loaded from disk and verified."""
    card = bundle.card
    result = compile_engine(bundle, options, watch)
    report(f"{card.precision}: compiled by TensorRT {result.tensorrt} in {result.seconds:.0f} s")
    with Gpu() as gpu:
        notes = tuple(note for note in card.notes if note != PREPARED and not note.startswith(CHOICE_NOTE))
        info = replace(
            current_engine_info(bundle, gpu),
            hardware_compatible=options.hardware_compatible,
            version_compatible=options.version_compatible,
            dla=options.dla,
        )
        card = replace(card, engine=info, notes=notes)
        contents = {**_contents(bundle), ENGINE: result.engine, LAYERS: result.layers.encode()}
        compiled = write_bundle(folder, card, contents)
        with closing(TrtSession(compiled, gpu)) as session:
            check, metrics = check_engine(compiled, session), {"runtime": session.runtime}
    report(f"{card.precision}: {check}")
    evaluation = Evaluation(ENGINE_CHECK, check.shape[0], "none", card.precision, metrics | check.to_dict())
    return replace(compiled, card=with_evaluation(compiled.card, evaluation))


def _choose_precision(int8: Bundle, fp16: Bundle) -> tuple[Precision, str]:
    """The faster of two engines of one network on this device, and a note for the card."""
    with Gpu() as gpu, closing(TrtSession(int8, gpu)) as int8_session, closing(TrtSession(fp16, gpu)) as fp16_session:
        pixels = check_inputs(int8_session.io_spec)[0]
        int8_ms, fp16_ms = median_ms((int8_session, fp16_session), pixels)
    count, height, width, _ = pixels.shape
    return faster_precision(int8_ms, fp16_ms, f"{count} of {width}x{height} px")


def _contents(bundle: Bundle) -> dict[str, bytes]:
    return {name: bundle.read(name) for name in bundle.card.files}

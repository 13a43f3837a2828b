"""Prepared bundle -> a bundle ready on this device: compiled, held against its own graph, timed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..calibration.accuracy import CHOICE_NOTE, PrecisionChoice, faster_precision, median_ms
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
from ..engines.bundle.card import Card
from ..engines.bundle.engine_info import EngineInfo, mismatches
from ..engines.bundle.io_spec import IOSpec
from ..engines.cuda.device import Gpu
from ..engines.errors import FacesrError, UnknownNameError, UsageError
from ..engines.openvino.session import version as openvino_version
from ..engines.registry import choose_engine, open_session
from ..engines.tensorrt.api import version
from ..engines.tensorrt.builder import CompileOptions, compile_engine
from ..engines.tensorrt.loader import current_engine_info
from ..engines.tensorrt.progress import Progress
from ..engines.tensorrt.session import TrtSession
from ..zoo.catalogue import ships
from .engine_check import check_engine, check_inputs

TARGETS = ("auto", "onnxruntime", "openvino", "tensorrt")
PREPARED = "prepared: the TensorRT engine will be compiled on the device; meanwhile the bundle runs on CPUs"
"""What the card of a bundle says until it has been compiled."""
Report = Callable[[str], None]
Watch = Callable[[Progress], None]


def check_target(target: str, io_spec: IOSpec, name: str) -> None:
    """Refuse a runtime that there is not, or that a network cannot run in, before minutes are spent.

    Raises:
        UnknownNameError: there is no such target.
        UsageError: the network borrows from references.
        MissingDependencyError: OpenVINO is not installed.
    """
    if target not in TARGETS:
        raise UnknownNameError("target", target, TARGETS)
    if target in ("openvino", "tensorrt") and io_spec.references:
        raise UsageError(f"{name} borrows from references, which runs in ONNX Runtime alone; leave --target out")
    if target == "openvino":
        openvino_version()


def compile_bundle(
    bundle: Bundle,
    target: str = "auto",
    *,
    folder: Path | None = None,
    options: CompileOptions | None = None,
    report: Report = lambda line: None,
    watch: Watch = lambda progress: None,
) -> Bundle:
    """Compile a prepared bundle on the device that will run it.

    Args:
        bundle: as `build` made it, or compiled before.
        target: the runtime; "auto" for TensorRT where it and a GPU are here, else ONNX Runtime.
        folder: where the compiled bundle goes; none for the bundle's own folder, or for "NAME-tensorrt" where that is
            the package's.
        options: of TensorRT; none for those of the engine that the bundle has, or the defaults.
        report: told a line after each step.
        watch: told how far TensorRT is.

    Returns:
        The bundle, ready to run. Runtimes of CPUs compile when they load, so there the bundle is ready as it is.

    Raises:
        BuildError, EngineError, MissingDependencyError, OutputError, UsageError: the text says what to do.
    """
    check_target(target, bundle.card.io_spec, bundle.card.name)
    for_cpus = bundle.card.precision == "int8" and FP16_ONNX not in bundle.card.files
    if target == "tensorrt" and for_cpus:
        raise UsageError(f"{bundle.folder} is INT8 for CPUs; make one for TensorRT: build --int8 --target tensorrt")
    borrows = bool(bundle.card.io_spec.references)
    if folder:
        check_free(folder)
    if target == "tensorrt" or (target == "auto" and not for_cpus and not borrows and not why_not_tensorrt()):
        folder = folder or (Path(f"{bundle.card.name}-tensorrt") if ships(bundle) else bundle.folder)
        check_free(folder)
        check_writable(folder)
        return _with_tensorrt(bundle, folder, options or _options_of(bundle.card), report, watch)
    if folder:
        bundle = write_bundle(folder, bundle.card, _contents(bundle))
    unasked = "onnxruntime" if bundle.card.engine else choose_engine(bundle).engine
    session = open_session(bundle, unasked if target == "auto" else target)
    session.warm_up()
    hint = "" if target in ("auto", unasked) else f"; run it with --engine {target}"
    report(f"{bundle.card.name} is ready: {session.runtime}, nothing to compile{hint}")
    session.close()
    return bundle


def ensure_engine(bundle: Bundle, report: Report = lambda line: None, watch: Watch = lambda progress: None) -> Bundle:
    """The bundle, its TensorRT engine compiled anew from its own graph where it is missing or cannot run here.

    Raises:
        UsageError: the bundle is the package's own, which is not written to.
        Others: as `compile_bundle`.
    """
    if ships(bundle):
        name = bundle.card.name
        raise UsageError(
            f"{name} ships with the package and is not compiled there; make a copy: "
            f"facesr-edge build {name} --target tensorrt -o DIR, and give DIR"
        )
    made = bundle.card.engine
    with Gpu() as gpu:
        told = mismatches(made, current_engine_info(bundle, gpu)) if made else ("it has no engine",)
    if not told:
        return bundle
    report(f"{bundle.folder} is compiled anew: {', and '.join(told)}")
    return compile_bundle(bundle, "tensorrt", report=report, watch=watch)


def why_not_tensorrt() -> str:
    """Why TensorRT cannot be used here, in words; "" where it can."""
    try:
        version()
        Gpu().close()
    except FacesrError as error:
        return str(error)
    return ""


def _options_of(card: Card) -> CompileOptions:
    """The options that a bundle's engine was compiled with, as far as its card tells."""
    made = card.engine
    return (
        CompileOptions(
            hardware_compatible=made.hardware_compatible, version_compatible=made.version_compatible, dla=made.dla
        )
        if made
        else CompileOptions()
    )


def _with_tensorrt(bundle: Bundle, folder: Path, options: CompileOptions, report: Report, watch: Watch) -> Bundle:
    with TemporaryDirectory() as workshop:
        done = _compiled(bundle, Path(workshop) / "first", options, report, watch)
        if FP16_ONNX in bundle.card.files:
            other = _compiled(_in_fp16(bundle, workshop), Path(workshop) / "second", options, report, watch)
            verdict = _faster(done, other)
            report(verdict.note)
            done = done if verdict.precision == "int8" else other
            done = replace(done, card=replace(done.card, notes=(*done.card.notes, verdict.note)))
        return write_bundle(folder, done.card, _contents(done))


def _in_fp16(bundle: Bundle, workshop: str) -> Bundle:
    """The same network as the FP16 graph beside an INT8 one has it."""
    contents = {ONNX: (bundle.folder / FP16_ONNX).read_bytes(), WEIGHTS: (bundle.folder / WEIGHTS).read_bytes()}
    card = replace(bundle.card, precision="fp16", calibration="", engine=None)
    return write_bundle(Path(workshop) / "fp16", card, contents)


def _compiled(bundle: Bundle, folder: Path, options: CompileOptions, report: Report, watch: Watch) -> Bundle:
    """A copy with an engine, loaded and run as every user will."""
    card = bundle.card
    made = compile_engine(bundle, options, watch)
    report(f"{card.precision}: compiled by TensorRT {made.tensorrt} in {made.seconds:.0f} s")
    with Gpu() as gpu:
        notes = tuple(note for note in card.notes if note != PREPARED and not note.startswith(CHOICE_NOTE))
        card = replace(card, engine=_key(bundle, gpu, options), notes=notes)
        contents = {**_contents(bundle), ENGINE: made.engine, LAYERS: made.layers.encode()}
        done = write_bundle(folder, card, contents)
        session = TrtSession(done, gpu)
        tried = check_engine(done, session)
        runtime = session.runtime
        session.close()
    report(f"{card.precision}: {tried}")
    quality = {**done.card.quality, f"on this device, {runtime}": tried.to_dict()}
    return replace(done, card=replace(done.card, quality=quality))


def _faster(int8: Bundle, fp16: Bundle) -> PrecisionChoice:
    """Which of two engines of one network the device keeps, timed in turn."""
    with Gpu() as gpu:
        sessions = TrtSession(int8, gpu), TrtSession(fp16, gpu)
        pixels = check_inputs(sessions[0].io_spec)[0]
        int8_ms, fp16_ms = median_ms(sessions, pixels)
        for session in sessions:
            session.close()
    count, height, width, _ = pixels.shape
    return faster_precision(int8_ms, fp16_ms, f"{count} of {width}x{height} px")


def _key(bundle: Bundle, gpu: Gpu, options: CompileOptions) -> EngineInfo:
    return replace(
        current_engine_info(bundle, gpu),
        hardware_compatible=options.hardware_compatible,
        version_compatible=options.version_compatible,
        dla=options.dla,
    )


def _contents(bundle: Bundle) -> dict[str, bytes]:
    return {name: (bundle.folder / name).read_bytes() for name in bundle.card.files}

"""Compile a prepared bundle: on the device that runs it, or for RTX GPUs on any machine; verify the engines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ..calibration.accuracy import CHOICE_NOTE, faster_precision
from ..calibration.timing import median_ms
from ..engines.bundle.bundle import (
    EMBEDDING,
    FP16_ONNX,
    LAYERS,
    OLD_ENGINE,
    ONNX,
    REFERENCES,
    WEIGHTS,
    Bundle,
    check_writable,
    write_bundle,
)
from ..engines.bundle.card import ENGINE_CHECK, Evaluation, Precision, with_evaluation
from ..engines.bundle.engine_info import EngineInfo, mismatches, runs_on
from ..engines.cuda.device import Gpu
from ..engines.errors import (
    AbortedError,
    BuildError,
    EngineError,
    FacesrError,
    MissingDependencyError,
    UsageError,
    one_line,
)
from ..engines.jetson import platform_name, this_jetson
from ..engines.registry import open_session
from ..engines.tensorrt.api import PRODUCTS, RTX, TENSORRT, Product, version
from ..engines.tensorrt.builder import CompiledEngine, compile_engine
from ..engines.tensorrt.loader import current_engine_info
from ..engines.tensorrt.options import SIZES_HW, CompileOptions
from ..engines.tensorrt.progress import Progress
from ..engines.tensorrt.session import TrtSession
from ..zoo.catalogue import ships
from .engine_check import UNTRIED, check_engine, check_inputs
from .options import check_engine_support
from .static_graph import static_graph

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
        engine: runtime; "auto" is that of the bundle's engines, or TensorRT if it and a GPU are available, otherwise a
            CPU runtime.
        folder: destination; None for the bundle's folder, or for "NAME-ENGINE" if the bundle ships with the package.
        options: for TensorRT; those of the bundle's existing engines stay where these have the default.
        report, watch: called with a line for each step, and with the progress of TensorRT.

    Returns:
        The bundle, ready to run. CPU runtimes compile at load time, so for them the bundle stays as it is.

    Raises:
        BuildError, EngineError, MissingDependencyError, OutputError, UsageError: see the message.
    """
    check_engine_support(engine)
    cpu_int8 = bundle.card.precision == "int8" and FP16_ONNX not in bundle.card.files
    product = next((one for one in PRODUCTS.values() if one.engine == engine), None)
    if engine == "auto" and bundle.card.engine:
        product = PRODUCTS.get(bundle.card.engine.runtime)
    if product and cpu_int8:
        raise UsageError(f"{bundle.folder} is INT8 for CPUs; build one for TensorRT: build --int8 --engine {engine}")
    if folder:
        check_writable(folder)
    if product is None and engine == "auto" and not cpu_int8 and not why_not_tensorrt():
        product = TENSORRT
    if product:
        folder = folder or (Path(f"{bundle.card.name}-{product.engine}") if ships(bundle) else bundle.folder)
        check_writable(folder)
        options = _merged(options or CompileOptions(), _earlier_options(bundle, product))
        options.check(product, bundle.card.precision)
        if ships(bundle):
            report(f"this compiles the graph for CPUs; for GPUs: {_gpu_build(bundle, product)}")
        return _compile_tensorrt(bundle, folder, product, options, report, watch)
    default = "onnxruntime"
    with closing(open_session(bundle, default if engine == "auto" else engine, 0, bundle.card.precision)) as session:
        session.warm_up()
        hint = "" if engine in ("auto", default) else f"; run it with --engine {engine}"
        report(f"{bundle.card.name} is ready: {session.runtime}, nothing to compile{hint}")
    return write_bundle(folder, bundle.card, _contents(bundle)) if folder else bundle


def ensure_engine(
    bundle: Bundle,
    engine: str = "auto",
    report: Report = lambda line: None,
    watch: Watch = lambda progress: None,
) -> Bundle:
    """Compile the engines of a bundle if it has none that run on this device.

    Args:
        bundle: in a folder that can be written to.
        engine: "tensorrt", "tensorrt-rtx", or "auto" for that of the bundle's engines, or TensorRT.
        report, watch: see `compile_bundle`.

    Raises:
        UsageError: the bundle ships with the package, whose folder is not written to.
        Others: see `compile_bundle`.
    """
    info = bundle.card.engine
    product = PRODUCTS.get(info.runtime, TENSORRT) if info else TENSORRT
    product = next((one for one in PRODUCTS.values() if one.engine == engine), product)
    if ships(bundle):
        name = bundle.card.name
        raise UsageError(
            f"{name} ships with the package and cannot be compiled in place; compile a copy: "
            f"facesr-edge build {name} --engine {product.engine} -o DIR, and give DIR"
        )
    with Gpu() as gpu:
        reasons = mismatches(info, current_engine_info(bundle, gpu, product)) if info else ("it has no engine",)
    if not reasons and bundle.engines:
        return bundle
    report(f"recompiling {bundle.folder}: {', and '.join(reasons) or 'it has one engine for all sizes'}")
    return compile_bundle(bundle, product.engine, report=report, watch=watch)


def why_not_tensorrt() -> str:
    """Why TensorRT cannot be used on this machine; "" if it can."""
    try:
        version()
        Gpu().close()
    except FacesrError as error:
        return str(error)
    return ""


def why_not_compiled(engine: str) -> str:
    """Why engines of a runtime cannot be compiled on this machine; "" if they can, or if none are needed."""
    if engine == TENSORRT.engine:
        return why_not_tensorrt()
    try:
        if engine == RTX.engine:
            version(RTX)
    except FacesrError as error:
        return str(error)
    return ""


def _gpu_build(bundle: Bundle, product: Product) -> str:
    """The command that exports a network of the package for GPUs, in FP16, before it compiles it."""
    return f"facesr-edge build --model {bundle.card.name} --fp16 --engine {product.engine}"


def _earlier_options(bundle: Bundle, product: Product) -> CompileOptions:
    """The options that a bundle's engines were compiled with, as far as it has them."""
    info = bundle.card.engine
    if not info or info.runtime != product.name:
        return CompileOptions()
    portable = info.hardware_compatible and not this_jetson()  # a workstation's engine may be compiled again on one
    return CompileOptions(
        hardware_compatible=portable,
        version_compatible=info.version_compatible,
        dla=info.dla,
        compute_capabilities=info.compute_capabilities,
        sizes_hw=tuple(bundle.engines) or SIZES_HW,
    )


def _merged(given: CompileOptions, earlier: CompileOptions) -> CompileOptions:
    """The given options, and the earlier ones where the given ones have the default."""
    default = CompileOptions()
    kept = {
        one.name: getattr(earlier, one.name)
        for one in fields(CompileOptions)
        if getattr(given, one.name) == getattr(default, one.name)
    }
    return replace(given, **kept)


def _compile_tensorrt(
    bundle: Bundle, folder: Path, product: Product, options: CompileOptions, report: Report, watch: Watch
) -> Bundle:
    """Compile; of an INT8 bundle also its FP16 graph where engines can be timed, and keep the faster engines."""
    with TemporaryDirectory() as workdir:
        if FP16_ONNX in bundle.card.files and product is TENSORRT:
            compiled = _faster_of_two(bundle, workdir, options, report, watch)
        else:
            compiled = _compile(bundle, Path(workdir) / "one", product, options, report, watch)
        return write_bundle(folder, compiled.card, _contents(compiled))


def _faster_of_two(bundle: Bundle, workdir: str, options: CompileOptions, report: Report, watch: Watch) -> Bundle:
    """The faster of the INT8 and the FP16 engines; FP16 if INT8 cannot be compiled or differs from its graph."""
    fp16 = _compile(_fp16_bundle(bundle, workdir), Path(workdir) / "second", TENSORRT, options, report, watch)
    try:
        int8 = _compile(bundle, Path(workdir) / "first", TENSORRT, options, report, watch)
    except AbortedError:
        raise
    except (BuildError, EngineError) as error:
        note = f"{CHOICE_NOTE} INT8 failed, so FP16 is kept: {one_line(error)}"
        precision: Precision = "fp16"
    else:
        precision, note = _choose_precision(int8, fp16)
    report(note)
    compiled = int8 if precision == "int8" else fp16
    return replace(compiled, card=replace(compiled.card, notes=(*compiled.card.notes, note)))


def _fp16_bundle(bundle: Bundle, workdir: str) -> Bundle:
    """A bundle of the FP16 graph of an INT8 bundle for TensorRT."""
    kept = (WEIGHTS, REFERENCES, EMBEDDING)
    contents = {ONNX: bundle.read(FP16_ONNX), **{name: bundle.read(name) for name in kept if name in bundle.card.files}}
    card = replace(bundle.card, precision="fp16", calibration="", engine=None)
    return write_bundle(Path(workdir) / "fp16", card, contents)


def _compile(
    bundle: Bundle, folder: Path, product: Product, options: CompileOptions, report: Report, watch: Watch
) -> Bundle:
    """A copy of the bundle with engines, loaded from disk and verified if there is a GPU."""
    card, graph = bundle.card, bundle.read_graph(ONNX)
    result = compile_engine(bundle, partial(static_graph, graph), options, watch, product=product)
    report(f"{card.precision}: {_summary(result)}")
    notes = tuple(note for note in card.notes if note != PREPARED and not note.startswith(CHOICE_NOTE))
    earlier = {*bundle.engines.values(), OLD_ENGINE, LAYERS}
    sources = {name: data for name, data in _contents(bundle).items() if name not in earlier}
    with ExitStack() as owned:
        gpu = _gpu_for(product, options, owned)
        info = replace(
            current_engine_info(bundle, gpu) if gpu and product is TENSORRT else _portable_info(bundle, result),
            hardware_compatible=options.hardware_compatible,
            version_compatible=options.version_compatible,
            dla=options.dla,
            compute_capabilities=options.compute_capabilities,
            layers=result.layers,
        )
        others = tuple(one for one in card.evaluations if one.dataset != ENGINE_CHECK)  # of earlier engines
        card = replace(card, engine=info, notes=notes, evaluations=others)
        compiled = write_bundle(folder, card, {**sources, **result.files})
        evaluation = _check(compiled, gpu, product, report)
    return replace(compiled, card=with_evaluation(compiled.card, evaluation))


def _summary(result: CompiledEngine) -> str:
    """What was compiled, in one line: the layers are those of the smallest engine."""
    plans, counts = result.plans, next(iter(result.layers.values()))
    layers = ", ".join(f"{count} {name}" for name, count in counts.items())
    size_mb = max(len(plan.engine) for plan in plans.values()) / 1e6
    engines = f"{len(plans)} engine{'s' if len(plans) > 1 else ''} of up to {size_mb:.1f} MB"
    return f"{engines} compiled by {result.product.name} {result.version} in {result.seconds:.0f} s ({layers})"


def _gpu_for(product: Product, options: CompileOptions, owned: ExitStack) -> Gpu | None:
    """The GPU that new engines are checked on; None if they are for other GPUs and there is none that runs them."""
    try:
        gpu = owned.enter_context(Gpu())
    except (EngineError, MissingDependencyError):
        if product is TENSORRT:
            raise
        return None
    return gpu if product is TENSORRT or runs_on(options.compute_capabilities, gpu.compute_capability) else None


def _portable_info(bundle: Bundle, result: CompiledEngine) -> EngineInfo:
    """`EngineInfo` of engines that were built for GPUs of other machines."""
    card = bundle.card
    return EngineInfo(
        result.product.name,
        result.version,
        "",
        "",
        "",
        card.files[ONNX],
        calibration=card.calibration,
        platform=platform_name(),
    )


def _check(bundle: Bundle, gpu: Gpu | None, product: Product, report: Report) -> Evaluation:
    """Compare new engines with ONNX Runtime, or state that they were not tried."""
    precision = bundle.card.precision
    if gpu is None:
        report(f"{precision}: {UNTRIED}")
        metrics = {"runtime": f"{product.name} {version(product)}", "untried": UNTRIED}
        return Evaluation(ENGINE_CHECK, 0, "none", precision, metrics)
    with closing(TrtSession(bundle, gpu, product=product)) as session:
        check, runtime = check_engine(bundle, session), session.runtime
    report(f"{precision}: {check}")
    return Evaluation(ENGINE_CHECK, check.shape[0], "none", precision, {"runtime": runtime} | check.to_dict())


def _choose_precision(int8: Bundle, fp16: Bundle) -> tuple[Precision, str]:
    """The faster of two engines of one network on this device, and a note for the card."""
    with Gpu() as gpu, closing(TrtSession(int8, gpu)) as int8_session, closing(TrtSession(fp16, gpu)) as fp16_session:
        pixels = check_inputs(int8_session.io_spec)[0]
        int8_ms, fp16_ms = median_ms((int8_session, fp16_session), pixels)
    count, height, width, _ = pixels.shape
    return faster_precision(int8_ms, fp16_ms, f"{count} of {width}x{height} px")


def _contents(bundle: Bundle) -> dict[str, bytes]:
    return {name: bundle.read(name) for name in bundle.card.files}

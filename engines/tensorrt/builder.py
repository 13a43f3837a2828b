"""Compiling a bundle's graph with TensorRT: an engine for the GPU of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ..bundle.bundle import Bundle
from ..bundle.io_spec import IOSpec
from ..cuda.device import Gpu
from ..errors import BuildError, OutputError, UsageError
from .api import Log, logger, tensorrt
from .errors import build_problem, load_problem, parser_problem
from .progress import Progress, Tracker, monitor, stopped_by_interrupt
from .timing_cache import attach, cache_path, save


@dataclass(frozen=True)
class CompiledEngine:
    """An engine as TensorRT wrote it.

    Args:
        engine: the serialised engine, which TensorRT's own tools read too.
        layers: what its inspector says of every layer, JSON.
        tensorrt: version that compiled it.
        seconds: that it took.
        log: what TensorRT had to say, a line each, with its severity: "warning: …".
    """

    engine: bytes
    layers: str
    tensorrt: str
    seconds: float
    log: tuple[str, ...]


def compile_engine(
    bundle: Bundle,
    options: CompileOptions | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    *,
    stop: threading.Event | None = None,
    graph: Path | None = None,
) -> CompiledEngine:
    """Compile a bundle's graph for the GPU of this machine.

    Args:
        bundle: what to compile; nothing is written to it.
        options: how; none for the defaults.
        report: told how far it is, from a thread of TensorRT's own.
        stop: set it to end the build; Ctrl-C does the same while it lasts.
        graph: another ONNX file of the same contract, instead of the bundle's own.

    Raises:
        BuildError: TensorRT refuses the graph or the options, or was stopped.
        EngineError: no GPU, or no driver.
        MissingDependencyError: TensorRT or the CUDA bindings are not installed.
        UsageError: a size that the contract does not allow.
        OutputError: the log file cannot be written.
    """
    options = options or CompileOptions()
    began, trt = time.monotonic(), tensorrt()
    tracker = Tracker(report, stop or threading.Event())
    with _log_file(options.log_file) as file, Gpu() as gpu, gpu.current():
        log = Log(file)
        engine = _build(trt, gpu, graph or bundle.onnx, profiles(bundle.card.io_spec, options), options, tracker, log)
        layers = _layers(trt, engine, options, log)
    return CompiledEngine(engine, layers, trt.__version__, time.monotonic() - began, log.lines)


def _build(
    trt: Any,
    gpu: Gpu,
    graph: Path,
    shapes: Sequence[tuple[Shape, Shape, Shape]],
    options: CompileOptions,
    tracker: Tracker,
    log: Log,
) -> bytes:
    said, watching = logger(trt, log), monitor(trt, tracker)
    builder = _builder(trt, said, log)
    network, _parser = _network(trt, builder, said, graph, log)
    config = config_from(trt, builder, options)
    config.progress_monitor = watching
    for least, usual, most in shapes:
        _add_profile(builder, network, config, least, usual, most)
    folder = options.timing_cache
    cache = folder and cache_path(folder, gpu.name, gpu.compute_capability, trt.__version__)
    if cache:
        attach(config, cache, log)
    with stopped_by_interrupt(tracker.stop):
        memory = builder.build_serialized_network(network, config)
    if tracker.failure:
        raise tracker.failure
    if tracker.stop.is_set():
        raise BuildError("the build was stopped; nothing was written, start it again: facesr-edge build")
    if memory is None:
        raise BuildError(build_problem(trt, log))
    if cache:
        save(config, cache, log)
    return bytes(memory)


def _log_file(path: Path | None) -> AbstractContextManager[TextIO | None]:
    try:
        return path.open("w", encoding="utf-8") if path else nullcontext()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None


def _builder(trt: Any, said: Any, log: Log) -> Any:
    try:
        return trt.Builder(said)
    except TypeError:  # that is how the bindings say that TensorRT gave them nothing
        raise BuildError(
            f"TensorRT {trt.__version__} cannot start on this GPU: {log.last_error}; facesr-edge doctor says more"
        ) from None


def _network(trt: Any, builder: Any, said: Any, graph: Path, log: Log) -> tuple[Any, Any]:
    """The network and the parser, which owns the weights and must outlive the build."""
    # A literal would be another flag in the next major release: the symbol's number changed from 10 to 11.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, said)
    if not parser.parse_from_file(str(graph)):
        raise BuildError(parser_problem(trt, parser, log))
    if (network.num_inputs, network.num_outputs) != (1, 1):
        raise BuildError(
            f"expected a graph of one input and one output, {graph} has {network.num_inputs} and "
            f"{network.num_outputs}; export the network again: facesr-edge build"
        )
    return network, parser


def _add_profile(builder: Any, network: Any, config: Any, least: Shape, usual: Shape, most: Shape) -> None:
    pixels = network.get_input(0)
    profile = builder.create_optimization_profile()
    try:
        profile.set_shape(pixels.name, min=least, opt=usual, max=most)
    except ValueError as error:
        raise BuildError(f"TensorRT refuses pictures of {usual}: {error}; export the network again") from None
    if config.add_optimization_profile(profile) < 0:
        raise BuildError(
            f"TensorRT refuses pictures of {usual} for an input of {tuple(pixels.shape)}; export the network again"
        )


def _layers(trt: Any, engine: bytes, options: CompileOptions, log: Log) -> str:
    """Load the engine, as every user will, and ask it for its layers."""
    runtime = trt.Runtime(logger(trt, log))
    runtime.engine_host_code_allowed = (
        options.version_compatible
    )  # just built here, so the code in it is TensorRT's own
    if options.dla is not None:
        runtime.DLA_core = options.dla
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise BuildError(load_problem(trt, "the engine just built", log))
    return str(loaded.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


LEVELS = range(6)
"""TensorRT's builder optimisation levels; the higher, the longer it searches."""
SIZES_HW = ((384, 640), (480, 640), (544, 960), (736, 1280), (1088, 1920))
"""Pictures that a detector is compiled for where nobody says: of 360p, VGA, 720p and 1080p cameras, padded, and half of
the last, in which faces from 20 px are looked for."""

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class CompileOptions:
    """How an engine is compiled.

    Args:
        workspace_mb: most scratch memory of a kernel, in MiB; none for all that the GPU has, as TensorRT does.
        builder_level: one of `LEVELS`.
        any_gpu: for every GPU from Ampere on, instead of for this one; slower.
        any_version: loadable by later versions of TensorRT; slower, and the engine then holds code for the host.
        dla: run what can be run on this DLA core, the rest on the GPU; none for the GPU alone. Single pictures only,
            for a DLA takes one shape an engine.
        timing_cache: folder where what kernels take is kept from build to build; none to keep nothing.
        tf32: let FP32 convolutions round their inputs to TF32; then the engine is no FP32 reference.
        sizes_hw: for detection, height and width of the pictures it is compiled for.
        log_file: every message of TensorRT goes there, the verbose ones too.

    Raises:
        UsageError: a number that cannot be meant.
    """

    workspace_mb: int | None = None
    builder_level: int = 3
    hardware_compatible: bool = False
    version_compatible: bool = False
    dla: int | None = None
    timing_cache: Path | None = None
    tf32: bool = False
    sizes_hw: tuple[tuple[int, int], ...] = SIZES_HW
    log_file: Path | None = None

    def __post_init__(self) -> None:
        if self.builder_level not in LEVELS:
            raise UsageError(f"expected a builder level of 0 to {LEVELS[-1]}, got {self.builder_level}")
        if self.workspace_mb is not None and self.workspace_mb < 1:
            raise UsageError(f"expected a workspace of 1 MiB or more, got {self.workspace_mb}")
        if self.dla is not None and self.dla < 0:
            raise UsageError(f"expected a DLA core from 0 on, got {self.dla}")


def profiles(io_spec: IOSpec, options: CompileOptions) -> tuple[tuple[Shape, Shape, Shape], ...]:
    """Shapes that an engine is compiled for: least, usual and largest of each optimisation profile, (N, H, W, 3).

    Raises:
        UsageError: a size that the contract does not allow.
    """
    sides = [(side, side) for side in io_spec.windows]
    sizes = sides or list(io_spec.sizes_hw or options.sizes_hw)
    odd = [(h, w) for h, w in sizes if min(h, w) < 1 or h % io_spec.multiple or w % io_spec.multiple]
    if odd or not sizes:
        came = ", ".join(f"{w}x{h}" for h, w in odd) or "none"
        raise UsageError(f"expected sizes that are a multiple of {io_spec.multiple}, got {came}; pad them")
    found = []
    for height, width in dict.fromkeys(sizes):
        most = max(io_spec.batches_of(height, width)) if io_spec.windows and options.dla is None else 1
        usual = (most, height, width, 3)
        found.append(((1, height, width, 3), usual, usual))
    return tuple(found)


def config_from(trt: Any, builder: Any, options: CompileOptions) -> Any:
    """TensorRT's configuration of a build.

    Args:
        trt: the TensorRT module.
        builder: a `Builder`.
        options: how to compile.

    Raises:
        BuildError: this device has no such DLA core.
    """
    config = builder.create_builder_config()
    config.builder_optimization_level = options.builder_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # names of layers, for the profiler
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.dla is not None:
        if options.dla >= builder.num_DLA_cores:
            raise BuildError(
                f"expected a DLA core below {builder.num_DLA_cores}, the number that this device has, "
                f"got {options.dla}; leave --dla out to build for the GPU"
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    return config

"""Compile a bundle's ONNX graph into a TensorRT engine for the GPU of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ..bundle.bundle import ONNX, Bundle
from ..bundle.io_spec import IOSpec
from ..cuda.device import Gpu
from ..errors import BuildError, OutputError, UsageError
from ..session import RESIDUAL, in_order
from .api import Log, logger, tensorrt
from .errors import build_problem, load_problem, parser_problem
from .progress import Progress, Tracker, monitor, stopped_by_interrupt
from .timing_cache import attach, cache_path, save

LEVELS = range(6)
"""TensorRT's builder optimization levels; higher levels search longer."""
SIZES_HW = ((384, 640), (480, 640), (544, 960), (736, 1280), (1088, 1920))
"""Default input sizes of a detector: padded 360p, VGA, 720p and 1080p frames, and half of 1080p, in which faces from
20 px are detected."""

Shape = tuple[int, int, int, int]


@dataclass(frozen=True)
class CompileOptions:
    """Options of an engine build.

    Args:
        workspace_mb: maximum scratch memory of a kernel in MiB; None: all GPU memory, TensorRT's default.
        builder_level: one of `LEVELS`.
        hardware_compatible: build for all GPUs from Ampere on instead of this one; slower.
        version_compatible: loadable by later versions of TensorRT; slower, and the engine contains host code.
        dla: DLA core to run supported layers on, the rest falls back to the GPU; None: GPU only. Batch size 1 only,
            since a DLA engine has a single shape.
        timing_cache: folder of timing caches, reused by later builds; None: no cache.
        tf32: allow TF32 in FP32 convolutions; the engine is then no FP32 reference.
        sizes_hw: for detection, (height, width) of the inputs.
        log_file: receives every message of TensorRT, verbose ones included.

    Raises:
        UsageError: a value out of range.
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
            raise UsageError(f"expected a workspace of at least 1 MiB, got {self.workspace_mb}")
        if self.dla is not None and self.dla < 0:
            raise UsageError(f"expected a DLA core of 0 or higher, got {self.dla}")


@dataclass(frozen=True)
class CompiledEngine:
    """Result of a build.

    Args:
        engine: serialized engine, as read by trtexec and other tools.
        layers: JSON of the engine inspector.
        tensorrt: version that compiled it.
        seconds: build time.
        log: messages of TensorRT with their severity: "warning: …".
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
        bundle: to compile; not modified.
        options: of the build; None: the defaults.
        report: called with the progress, from a thread of TensorRT.
        stop: set it to cancel the build; Ctrl-C does the same during the build.
        graph: another ONNX file of the same I/O specification; None: the bundle's own.

    Raises:
        BuildError: TensorRT rejects the graph or the options, or the build was cancelled.
        EngineError: no GPU or no driver.
        MissingDependencyError: TensorRT or the CUDA bindings are not installed.
        UsageError: a size that the I/O specification does not allow.
        OutputError: the log file cannot be written.
        BundleError: the graph was altered.
    """
    options = options or CompileOptions()
    start, trt = time.monotonic(), tensorrt()
    tracker = Tracker(report, stop or threading.Event())
    with _log_file(options.log_file) as file, Gpu() as gpu, gpu.current():
        log = Log(file)
        onnx = graph.read_bytes() if graph else bundle.read_graph(ONNX)
        engine = _build(trt, gpu, onnx, profiles(bundle.card.io_spec, options), options, tracker, log)
        layers = _inspect_layers(trt, engine, options, log)
    return CompiledEngine(engine, layers, trt.__version__, time.monotonic() - start, log.lines)


def _build(
    trt: Any,
    gpu: Gpu,
    onnx: bytes,
    shapes: Sequence[tuple[Shape, Shape, Shape]],
    options: CompileOptions,
    tracker: Tracker,
    log: Log,
) -> bytes:
    trt_logger, progress_monitor = logger(trt, log), monitor(trt, tracker)
    builder = _builder(trt, trt_logger, log)
    network, _parser = _network(trt, builder, trt_logger, onnx, log)
    config = _builder_config(trt, builder, options)
    config.progress_monitor = progress_monitor
    for profile in shapes:
        _add_profile(builder, network, config, *profile)
    folder = options.timing_cache
    cache = folder and cache_path(folder, gpu.name, gpu.compute_capability, trt.__version__)
    if cache:
        attach(config, cache, log)
    with stopped_by_interrupt(tracker.stop):
        memory = builder.build_serialized_network(network, config)
    if tracker.failure:
        raise tracker.failure
    if tracker.stop.is_set():
        raise BuildError("the build was cancelled, nothing was written; start it again: facesr-edge build")
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


def _builder(trt: Any, trt_logger: Any, log: Log) -> Any:
    try:
        return trt.Builder(trt_logger)
    except TypeError:  # the bindings raise it if TensorRT returns a null pointer
        raise BuildError(
            f"TensorRT {trt.__version__} cannot start on this GPU: {log.last_error}; run facesr-edge doctor for details"
        ) from None


def _network(trt: Any, builder: Any, trt_logger: Any, onnx: bytes, log: Log) -> tuple[Any, Any]:
    """The network and its parser, which owns the weights and must outlive the build."""
    # The flag's value differs between major releases (1 in TensorRT 10, 0 in 11): use the symbol.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt_logger)
    if not parser.parse(onnx):  # bytes: the parser would follow external data of a file to other files
        raise BuildError(parser_problem(trt, parser, log))
    outputs = [str(network.get_output(index).name) for index in range(network.num_outputs)]
    if network.num_inputs != 1 or not in_order(outputs):
        raise BuildError(
            f"expected a graph of one input and one output (besides '{RESIDUAL}'), the graph has {network.num_inputs} "
            f"inputs and {', '.join(outputs) or 'no output'}; export the network again: facesr-edge build"
        )
    return network, parser


def _add_profile(builder: Any, network: Any, config: Any, min_shape: Shape, opt_shape: Shape, max_shape: Shape) -> None:
    pixels = network.get_input(0)
    profile = builder.create_optimization_profile()
    try:
        profile.set_shape(pixels.name, min=min_shape, opt=opt_shape, max=max_shape)
    except ValueError as error:
        raise BuildError(f"TensorRT rejects inputs of {opt_shape}: {error}; export the network again") from None
    if config.add_optimization_profile(profile) < 0:
        raise BuildError(
            f"TensorRT rejects inputs of {opt_shape} for a network input of {tuple(pixels.shape)}; "
            "export the network again"
        )


def _inspect_layers(trt: Any, engine: bytes, options: CompileOptions, log: Log) -> str:
    """Load the engine as a session does, which proves that it loads, and return the inspector's JSON."""
    runtime = trt.Runtime(logger(trt, log))
    runtime.engine_host_code_allowed = options.version_compatible  # safe: the engine was built in this process
    if options.dla is not None:
        runtime.DLA_core = options.dla
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise BuildError(load_problem(trt, "the new engine", log))
    return str(loaded.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))


def profiles(io_spec: IOSpec, options: CompileOptions) -> tuple[tuple[Shape, Shape, Shape], ...]:
    """Optimization profiles of an engine: min, opt and max shape of each, (N, H, W, 3).

    Raises:
        UsageError: a size that the I/O specification does not allow.
    """
    sizes = [(side, side) for side in io_spec.crop_sizes] or list(io_spec.sizes_hw or options.sizes_hw)
    invalid = [(h, w) for h, w in sizes if min(h, w) < 1 or h % io_spec.multiple or w % io_spec.multiple]
    if invalid or not sizes:
        listed = ", ".join(f"{w}x{h}" for h, w in invalid) or "none"
        raise UsageError(f"expected sizes that are a multiple of {io_spec.multiple}, got {listed}; pad them")
    shapes = []
    for height, width in dict.fromkeys(sizes):
        max_batch = max(io_spec.batches_of(height, width)) if io_spec.crop_sizes and options.dla is None else 1
        max_shape = (max_batch, height, width, 3)
        shapes.append(((1, height, width, 3), max_shape, max_shape))
    return tuple(shapes)


def _builder_config(trt: Any, builder: Any, options: CompileOptions) -> Any:
    """`IBuilderConfig` of a build."""
    config = builder.create_builder_config()
    config.builder_optimization_level = options.builder_level
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # layer names for the profiler
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
                f"expected a DLA core below {builder.num_DLA_cores}, the number of cores of this device, "
                f"got {options.dla}; omit --dla to build for the GPU"
            )
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    return config

"""Compile a bundle's graph into TensorRT engines, one for each input size."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from ..bundle.bundle import LAYERS, Bundle, Size, engine_file
from ..bundle.engine_info import TURING
from ..bundle.io_spec import IOSpec
from ..cuda.device import Gpu
from ..errors import AbortedError, BuildError, OutputError, UsageError
from ..jetson import this_jetson
from ..session import RESIDUAL, in_order
from .api import RTX, TENSORRT, Log, Product, logger, tensorrt
from .errors import build_error, load_problem, parser_problem
from .layers import (
    EngineLayer,
    count_layers,
    layers_from_inspector,
    layers_from_log,
    layers_json,
    promised_layers,
)
from .options import CompileOptions, profile_of, sizes_of
from .progress import MIN_FRACTION, Progress, Tracker, monitor, stopped_by_interrupt
from .timing_cache import attach, cache_path, save

GraphOf = Callable[[int, int], bytes]
"""Height and width -> the ONNX graph for inputs of that size."""


_building = threading.Lock()
"""Builds of one process run one after another: they share TensorRT's logger, whose messages tell an engine's layers."""


@dataclass(frozen=True)
class Plan:
    """An engine of one input size.

    Args:
        engine: serialized engine, as read by trtexec and other tools.
        layers: that it executes, as TensorRT reports them.
        promised: convolutions and matrix products of the graph by precision, see `promised_layers`.
    """

    engine: bytes
    layers: tuple[EngineLayer, ...]
    promised: dict[str, int]


@dataclass(frozen=True)
class CompiledEngine:
    """Result of a build.

    Args:
        plans: input size -> its engine.
        product: that compiled them.
        version: of the product.
        seconds: build time.
        log: messages of TensorRT with their severity: "warning: …".
    """

    plans: dict[Size, Plan]
    product: Product
    version: str
    seconds: float
    log: tuple[str, ...]

    @property
    def files(self) -> dict[str, bytes]:
        """File name -> content, for a bundle."""
        layers = {f"{width}x{height}": plan.layers for (height, width), plan in self.plans.items()}
        engines = {engine_file(*size): plan.engine for size, plan in self.plans.items()}
        return {**engines, LAYERS: layers_json(layers).encode()}

    @property
    def layers(self) -> dict[str, dict[str, int]]:
        """Input size, e.g. "64x64" -> counts of `count_layers`, for the card."""
        return {f"{width}x{height}": count_layers(plan.layers) for (height, width), plan in self.plans.items()}


def compile_engine(
    bundle: Bundle,
    graph_of: GraphOf,
    options: CompileOptions | None = None,
    report: Callable[[Progress], None] = lambda progress: None,
    *,
    product: Product = TENSORRT,
    stop: threading.Event | None = None,
) -> CompiledEngine:
    """Compile a bundle's graph: for the GPU of this machine, or with TensorRT for RTX for GPUs of other machines.

    Args:
        bundle: to compile; not modified.
        graph_of: its graph for one input size.
        options: of the build; None: the defaults.
        report: called with the progress, from a thread of TensorRT.
        product: compiler.
        stop: set it to cancel the build; Ctrl-C does the same during the build.

    Raises:
        BuildError: TensorRT rejects the graph or the options, the build was cancelled, or an engine does not run in
            the precision of the bundle.
        EngineError: no GPU or no driver.
        MissingDependencyError: TensorRT or the CUDA bindings are not installed.
        UsageError: a size that the I/O specification does not allow, or an option that does not apply.
        OutputError: the log file cannot be written.
        BundleError: the graph was altered.
    """
    options, start, trt = options or CompileOptions(), time.monotonic(), tensorrt(product)
    card, stop = bundle.card, stop or threading.Event()
    options.check(product, card.precision)
    if options.hardware_compatible and this_jetson():
        raise UsageError("TensorRT has no hardware-compatible engines on a Jetson; omit --hardware-compatible")
    sizes = sizes_of(card.io_spec, options)
    with _building, _log_file(options.log_file) as file, ExitStack() as owned:
        gpu = None if product is RTX else owned.enter_context(Gpu())
        if gpu:
            owned.enter_context(gpu.current())
        build = _Build(trt, product, gpu, card.precision, card.io_spec, options, Log(file))
        plans = {}
        for number, size in enumerate(sizes):
            tracker = Tracker(partial(_overall, report, number, len(sizes), start), stop)
            plans[size] = build.plan(graph_of(*size), size, tracker)
    return CompiledEngine(plans, product, trt.__version__, time.monotonic() - start, build.log.lines)


def _overall(report: Callable[[Progress], None], number: int, count: int, start: float, one: Progress) -> None:
    """Report the progress of one of several engines as that of all."""
    fraction = (number + one.fraction) / count
    left = (time.monotonic() - start) * (1 / fraction - 1) if fraction >= MIN_FRACTION else None
    report(Progress(fraction, left, one.phase))


class _Build:
    """The builds of all sizes of a bundle, which share a builder."""

    def __init__(
        self,
        trt: Any,
        product: Product,
        gpu: Gpu | None,
        precision: str,
        io_spec: IOSpec,
        options: CompileOptions,
        log: Log,
    ) -> None:
        self.trt, self.product, self.gpu, self.precision = trt, product, gpu, precision
        self.io_spec, self.options, self.log = io_spec, options, log
        self._logger = logger(trt, log)
        self._builder = _builder(trt, product, self._logger, log)
        self._cache = cache_path(options.timing_cache, gpu, trt.__version__) if options.timing_cache and gpu else None

    def plan(self, onnx: bytes, size: Size, tracker: Tracker) -> Plan:
        """Build the engine of one size, and prove its precision."""
        # The flag's value differs between major releases (1 in TensorRT 10, 0 in 11): use the symbol.
        network = self._builder.create_network(1 << int(self.trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = self.trt.OnnxParser(network, self._logger)  # owns the weights, must outlive the build
        _parse(self.trt, self.product, network, parser, onnx, self.io_spec, self.log)
        config = _builder_config(self.trt, self._builder, self.product, self.precision, self.options)
        config.progress_monitor = progress_monitor = monitor(self.trt, tracker)
        self._add_profile(network, config, size)
        if self._cache:
            attach(config, self._cache, self.log)
        self.log.layers = ""
        with stopped_by_interrupt(tracker.stop):
            memory = self._builder.build_serialized_network(network, config)
        del progress_monitor
        if tracker.failure:
            raise tracker.failure
        if tracker.stop.is_set():
            raise AbortedError("the build was cancelled, nothing was written; start it again: facesr-edge build")
        if memory is None:
            raise build_error(self.trt, self.product, self.log, self.options.compute_capabilities)
        if self._cache:
            save(config, self._cache, self.log)
        engine = bytes(memory)
        plan = Plan(engine, self._layers(engine), promised_layers(self.trt, network))
        _check_precision(self.precision, plan, size, self.options.compute_capabilities)
        return plan

    def _add_profile(self, network: Any, config: Any, size: Size) -> None:
        profile = self._builder.create_optimization_profile()
        for index in range(network.num_inputs):
            tensor = network.get_input(index)
            shape = tuple(tensor.shape)
            shapes = profile_of(self.io_spec, size, self.options, shape, tensor.name if index else "")
            try:
                profile.set_shape(tensor.name, *shapes)
            except ValueError as error:
                raise BuildError(f"TensorRT rejects inputs of {shapes[1]}: {error}; export the network again") from None
        if config.add_optimization_profile(profile) < 0:
            raise BuildError(
                f"TensorRT rejects inputs of {size[1]}x{size[0]} px for a network input of "
                f"{tuple(network.get_input(0).shape)}; export the network again"
            )

    def _layers(self, engine: bytes) -> tuple[EngineLayer, ...]:
        """Layers of a new engine: from its inspector, or without a GPU, where it cannot be loaded, from the log."""
        if self.product is RTX:
            return layers_from_log(self.log.layers)
        runtime = self.trt.Runtime(self._logger)
        runtime.engine_host_code_allowed = self.options.version_compatible  # safe: it was built in this process
        if self.options.dla is not None:
            runtime.DLA_core = self.options.dla
        loaded = runtime.deserialize_cuda_engine(engine)  # as a session does, which proves that it loads
        if loaded is None:
            raise BuildError(load_problem(self.trt, "the new engine", self.log))
        inspector = loaded.create_engine_inspector()
        return layers_from_inspector(str(inspector.get_engine_information(self.trt.LayerInformationFormat.JSON)))


def _check_precision(precision: str, plan: Plan, size: Size, capabilities: Sequence[str]) -> None:
    """Raise a BuildError if a graph has no layer in the precision of its bundle, or its engine runs few of them so.

    TensorRT fuses layers, so counts may differ. An engine whose layers are not all told is not judged.
    """
    if plan.promised and not plan.promised.get(precision):
        found = ", ".join(f"{count} {name}" for name, count in plan.promised.items())
        raise BuildError(
            f"expected a graph with layers in {precision.upper()}, as the card says, for {size[1]}x{size[0]} px it has "
            f"{found}; build the bundle again"
        )
    executed = count_layers(plan.layers)
    typed = any(layer.has_weights and layer.precision for layer in plan.layers)
    if not typed or any(layer.is_opaque for layer in plan.layers):
        return
    if 2 * executed.get(precision, 0) < plan.promised.get(precision, 0):
        found = ", ".join(f"{count} {name}" for name, count in executed.items() if name != "kernels")
        without = f", without {TURING} in --compute-capabilities" if TURING in capabilities else ""
        raise BuildError(
            f"the engine for {size[1]}x{size[0]} px runs {executed.get(precision, 0)} of {plan.promised[precision]} "
            f"layers in {precision.upper()}: {found}; build in another precision{without}, or with another version"
        )


def _log_file(path: Path | None) -> AbstractContextManager[TextIO | None]:
    try:
        return path.open("w", encoding="utf-8") if path else nullcontext()
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None


def _builder(trt: Any, product: Product, trt_logger: Any, log: Log) -> Any:
    try:
        return trt.Builder(trt_logger)
    except TypeError:  # the bindings raise it if TensorRT returns a null pointer
        raise BuildError(
            f"{product.name} {trt.__version__} cannot start on this GPU: {log.last_error}; "
            "run facesr-edge doctor for details"
        ) from None


def _parse(trt: Any, product: Product, network: Any, parser: Any, onnx: bytes, io_spec: IOSpec, log: Log) -> None:
    """Parse a graph into a network, and check its inputs and outputs."""
    if not parser.parse(onnx):  # bytes: the parser would follow external data of a file to other files
        raise BuildError(parser_problem(trt, product, parser, log))
    outputs = [str(network.get_output(index).name) for index in range(network.num_outputs)]
    inputs = 1 + len(io_spec.other_inputs)
    if network.num_inputs != inputs or not in_order(outputs):
        raise BuildError(
            f"expected a graph of {inputs} inputs and one output (besides '{RESIDUAL}'), the graph has "
            f"{network.num_inputs} inputs and {', '.join(outputs) or 'no output'}; "
            "export the network again: facesr-edge build"
        )


def _builder_config(trt: Any, builder: Any, product: Product, precision: str, options: CompileOptions) -> Any:
    """`IBuilderConfig` of a build."""
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # names and types of layers
    if precision == "fp32" and not options.tf32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if product is RTX:
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)  # without it, a call cannot become a CUDA graph
        _set_compute_capabilities(trt, config, options.compute_capabilities)
        return config
    if options.builder_level is not None:
        config.builder_optimization_level = options.builder_level
    if options.workspace_mb is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb << 20)
    if options.hardware_compatible:
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.dla is not None:
        _use_dla(trt, builder, config, options.dla)
    return config


def _set_compute_capabilities(trt: Any, config: Any, capabilities: tuple[str, ...]) -> None:
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        name = f"SM{capability.replace('.', '')}"
        if not config.set_compute_capability(getattr(trt.ComputeCapability, name), index):
            raise BuildError(
                f"{RTX.name} {trt.__version__} rejects compute capability {capability}; "
                "leave it out of --compute-capabilities, or use another version"
            )


def _use_dla(trt: Any, builder: Any, config: Any, core: int) -> None:
    if core >= builder.num_DLA_cores:
        raise BuildError(
            f"expected a DLA core below {builder.num_DLA_cores}, the number of cores of this device, got {core}; "
            "omit --dla to build for the GPU"
        )
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)

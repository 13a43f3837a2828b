"""Compiling a bundle's graph with TensorRT: an engine for the GPU of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from .bundle import Bundle
from .cuda import Gpu
from .errors import BuildError, OutputError
from .trt import Log, logger, tensorrt
from .trt_errors import build_problem, load_problem, parser_problem
from .trt_options import CompileOptions, Shape, config_from, profiles
from .trt_progress import Progress, Tracker, monitor, stopped_by_interrupt
from .trt_timing import attach, cache_path, save


@dataclass(frozen=True)
class Compiled:
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
) -> Compiled:
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
        engine = _build(trt, gpu, graph or bundle.onnx, profiles(bundle.card.contract, options), options, tracker, log)
        layers = _layers(trt, engine, options, log)
    return Compiled(engine, layers, trt.__version__, time.monotonic() - began, log.lines)


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
    runtime.engine_host_code_allowed = options.any_version  # just built here, so the code in it is TensorRT's own
    if options.dla is not None:
        runtime.DLA_core = options.dla
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise BuildError(load_problem(trt, "the engine just built", log))
    return str(loaded.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON))

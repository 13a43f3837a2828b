"""Loading a bundle's TensorRT engine: whether it was made for what is here, and its place in the GPU's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bundle.bundle import ONNX, Bundle
from ..bundle.engine_info import EngineInfo, mismatches
from ..cuda.device import Gpu
from ..errors import EngineError
from ..jetson import this_jetson
from .api import Log, logger, tensorrt, version
from .context import LoadedEngine
from .errors import load_problem


def current_engine_info(bundle: Bundle, gpu: Gpu) -> EngineInfo:
    """The key that an engine has which is compiled from this bundle now, on this GPU, with plain options.

    Raises:
        MissingDependencyError, EngineError: see `tensorrt`.
    """
    card, board = bundle.card, this_jetson()
    return EngineInfo(
        runtime="TensorRT",
        version=version(),
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        driver=gpu.driver,
        onnx=card.files[ONNX],
        jetpack=board.release if board else "",
        calibration=card.calibration,
        board=board.settings() if board else {},
    )


def load(bundle: Bundle, gpu: Gpu, engine: bytes | None = None) -> LoadedEngine:
    """Deserialise an engine, with a stream and memory for its features.

    Args:
        bundle: with a compiled engine, or whose graph `engine` was compiled from.
        gpu: where to put it.
        engine: to load in place of the bundle's own; none for that one, which is checked against its key first.

    Raises:
        EngineError: none in the bundle, one of another device or release, or TensorRT refused it.
        MissingDependencyError: TensorRT is not installed.
    """
    trt, made = tensorrt(), bundle.card.engine
    if engine is None:
        if made is None:
            raise EngineError(
                f"{bundle.folder} holds no compiled engine; compile it, and give the folder that comes of it: "
                f"facesr-edge build {bundle.folder} --target tensorrt"
            )
        told = mismatches(made, current_engine_info(bundle, gpu))
        if told:
            raise EngineError(
                f"{bundle.folder} does not run here: {', and '.join(told)}; "
                f"compile it again: facesr-edge build {bundle.folder}"
            )
        engine = bundle.engine.read_bytes()
    log = Log()
    with gpu.current():
        runtime = _runtime(trt, made, log)
        loaded = runtime.deserialize_cuda_engine(engine)
        if loaded is None:
            raise EngineError(load_problem(trt, str(bundle.folder), log))
        pixels, result = _names(trt, loaded, bundle)
        scratch = gpu.empty((max(1, loaded.device_memory_size_v2),), np.uint8)
        return LoadedEngine(trt, loaded, runtime, pixels, result, gpu, gpu.stream(), scratch, log)


def _runtime(trt: Any, made: EngineInfo | None, log: Log) -> Any:
    try:
        runtime = trt.Runtime(logger(trt, log))
    except TypeError:  # that is how the bindings say that TensorRT gave them nothing
        raise EngineError(
            f"TensorRT {trt.__version__} cannot start on this GPU: {log.last_error}; facesr-edge doctor says more"
        ) from None
    if made is not None:
        # Such an engine brings code that runs on the host: allowed only where the card, hashed with it, says so.
        runtime.engine_host_code_allowed = made.version_compatible
        if made.dla is not None:
            runtime.DLA_core = made.dla
    return runtime


def _names(trt: Any, engine: Any, bundle: Bundle) -> tuple[str, str]:
    """Names of the one input and the one output."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    pixels = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    result = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT]
    if len(pixels) != 1 or len(result) != 1 or engine.get_tensor_dtype(pixels[0]) != trt.DataType.UINT8:
        raise EngineError(
            f"expected an engine of one uint8 input and one output, {bundle.folder} has {len(pixels)} and "
            f"{len(result)} or another type; compile it again: facesr-edge build {bundle.folder}"
        )
    return pixels[0], result[0]

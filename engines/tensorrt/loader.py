"""Load a bundle's TensorRT engine: check that it matches this device, deserialize it, allocate activation memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..bundle.bundle import ENGINE, ONNX, Bundle
from ..bundle.engine_info import EngineInfo, mismatches
from ..cuda.device import Gpu
from ..errors import EngineError
from ..jetson import this_jetson
from ..session import RESIDUAL, in_order
from .api import Log, logger, tensorrt, version
from .context import LoadedEngine
from .errors import load_problem


def current_engine_info(bundle: Bundle, gpu: Gpu) -> EngineInfo:
    """`EngineInfo` of an engine compiled from this bundle now, on this GPU, with default options."""
    card, jetson = bundle.card, this_jetson()
    return EngineInfo(
        runtime="TensorRT",
        version=version(),
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        driver=gpu.driver,
        onnx=card.files[ONNX],
        jetpack=jetson.release if jetson else "",
        calibration=card.calibration,
        jetson=jetson.settings() if jetson else {},
    )


def load(bundle: Bundle, gpu: Gpu, engine: bytes | None = None) -> LoadedEngine:
    """Deserialize an engine, with a stream and activation memory.

    Args:
        bundle: with a compiled engine, or whose graph `engine` was compiled from.
        gpu: where to load it.
        engine: serialized engine; None: the bundle's own, after its `EngineInfo` is checked against this device.

    Raises:
        EngineError: the bundle has no engine, it is for another device or release, or TensorRT cannot load it.
        MissingDependencyError: TensorRT is not installed.
        BundleError: the engine was altered.
    """
    trt, info = tensorrt(), bundle.card.engine
    if engine is None:
        engine = _matching_engine(bundle, gpu, info)
    log = Log()
    with gpu.current():
        runtime = _runtime(trt, info, log)
        loaded = runtime.deserialize_cuda_engine(engine)
        if loaded is None:
            raise EngineError(load_problem(trt, str(bundle.folder), log))
        pixels, results = _io_names(trt, loaded, bundle)
        scratch = gpu.empty((max(1, loaded.device_memory_size_v2),), np.uint8)
        return LoadedEngine(trt, loaded, runtime, pixels, results, gpu, gpu.stream(), scratch, log)


def _matching_engine(bundle: Bundle, gpu: Gpu, info: EngineInfo | None) -> bytes:
    """The bundle's engine, if it was compiled for this device."""
    if info is None:
        raise EngineError(
            f"{bundle.folder} has no compiled engine; compile one and use the folder that is written: "
            f"facesr-edge build {bundle.folder} --engine tensorrt"
        )
    reasons = mismatches(info, current_engine_info(bundle, gpu))
    if reasons:
        raise EngineError(
            f"the engine of {bundle.folder} is incompatible: {', and '.join(reasons)}; "
            f"compile it again: facesr-edge build {bundle.folder}"
        )
    return bundle.read(ENGINE)


def _runtime(trt: Any, info: EngineInfo | None, log: Log) -> Any:
    try:
        runtime = trt.Runtime(logger(trt, log))
    except TypeError:  # the bindings raise it if TensorRT returns a null pointer
        raise EngineError(
            f"TensorRT {trt.__version__} cannot start on this GPU: {log.last_error}; run facesr-edge doctor for details"
        ) from None
    if info is not None:
        # A version-compatible engine contains host code: allowed only if the card, which hashes the engine, says so.
        runtime.engine_host_code_allowed = info.version_compatible
        if info.dla is not None:
            runtime.DLA_core = info.dla
    return runtime


def _io_names(trt: Any, engine: Any, bundle: Bundle) -> tuple[str, tuple[str, ...]]:
    """Names of the input, and of the outputs in the order of `Output`."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    outputs = in_order(name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT)
    if len(inputs) != 1 or not outputs or engine.get_tensor_dtype(inputs[0]) != trt.DataType.UINT8:
        raise EngineError(
            f"expected an engine of one uint8 input and one output (besides '{RESIDUAL}'), {bundle.folder} has "
            f"{', '.join(names)}; compile it again: facesr-edge build {bundle.folder}"
        )
    return inputs[0], outputs

"""Load a bundle's TensorRT engines: check that they match this device, deserialize them, allocate memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bundle.bundle import ONNX, Bundle, Size
from ..bundle.engine_info import EngineInfo, mismatches
from ..cuda.device import Gpu
from ..errors import EngineError
from ..inputs import InputSpec
from ..jetson import platform_name, this_jetson
from ..session import RESIDUAL, in_order
from .api import RTX, TENSORRT, Log, Product, logger, tensorrt, version
from .context import EngineHost, LoadedEngine
from .errors import load_problem
from .kernel_cache import KernelCache


def current_engine_info(bundle: Bundle, gpu: Gpu, product: Product = TENSORRT) -> EngineInfo:
    """`EngineInfo` of engines compiled from this bundle now, on this GPU, with default options."""
    card, jetson = bundle.card, this_jetson()
    return EngineInfo(
        runtime=product.name,
        version=version(product),
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        driver=gpu.driver,
        onnx=card.files[ONNX],
        jetpack=jetson.release if jetson else "",
        calibration=card.calibration,
        jetson=jetson.settings() if jetson else {},
        platform=platform_name(),
        multiprocessors=gpu.multiprocessors,
    )


@dataclass(frozen=True)
class Loaded:
    """The engines of a bundle: what they share, and one for each input size."""

    host: EngineHost
    engines: dict[Size, LoadedEngine]


def load(bundle: Bundle, gpu: Gpu, engines: Mapping[Size, bytes] | None = None, product: Product = TENSORRT) -> Loaded:
    """Deserialize the engines of a bundle, with a stream and activation memory.

    Args:
        bundle: with compiled engines, or whose graph `engines` were compiled from.
        gpu: where to load them.
        engines: input size -> serialized engine; None: the bundle's own, after its `EngineInfo` is checked against
            this device.
        product: that compiled them.

    Raises:
        EngineError: the bundle has no engine, it is for another device or release, or TensorRT cannot load it.
        MissingDependencyError: TensorRT is not installed.
        BundleError: an engine was altered.
    """
    trt, info = tensorrt(product), bundle.card.engine
    if engines is None:
        engines = _matching_engines(bundle, gpu, info, product)
    log = Log()
    with gpu.current():
        runtime = _runtime(trt, product, info, log)
        found: dict[Size, Any] = {}
        try:
            for size, engine in engines.items():
                found[size] = _deserialize(trt, runtime, bundle, engine, log)
            tensors = {size: _io_tensors(trt, engine, bundle) for size, engine in found.items()}
        except BaseException:
            found.clear()  # destroys the engines while their GPU is current
            raise
        scratch_bytes = max(engine.device_memory_size_v2 for engine in found.values())
        kernels = KernelCache(trt, gpu, bundle, log) if product is RTX else None
        scratch = gpu.empty((max(1, scratch_bytes),), np.uint8)
        host = EngineHost(trt, runtime, gpu, gpu.stream(), scratch, kernels, log)
    return Loaded(host, {size: LoadedEngine(host, engine, *tensors[size]) for size, engine in found.items()})


def _deserialize(trt: Any, runtime: Any, bundle: Bundle, engine: bytes, log: Log) -> Any:
    loaded = runtime.deserialize_cuda_engine(engine)
    if loaded is None:
        raise EngineError(load_problem(trt, str(bundle.folder), log))
    return loaded


def _matching_engines(bundle: Bundle, gpu: Gpu, info: EngineInfo | None, product: Product) -> dict[Size, bytes]:
    """The bundle's engines, if they were compiled for this device."""
    if info is None:
        raise EngineError(
            f"{bundle.folder} has no compiled engine; compile one and use the folder that is written: "
            f"facesr-edge build {bundle.folder} --engine {product.engine}"
        )
    reasons = mismatches(info, current_engine_info(bundle, gpu, product))
    if not reasons and not bundle.engines:
        reasons = ("it has one engine for all sizes, not one for each",)
    if reasons:
        raise EngineError(
            f"the engine of {bundle.folder} is incompatible: {', '.join(reasons)}; "
            f"compile it again: facesr-edge build {bundle.folder} --engine {product.engine}"
        )
    return {size: bundle.read(name) for size, name in bundle.engines.items()}


def _runtime(trt: Any, product: Product, info: EngineInfo | None, log: Log) -> Any:
    try:
        runtime = trt.Runtime(logger(trt, log))
    except TypeError:  # the bindings raise it if TensorRT returns a null pointer
        raise EngineError(
            f"{product.name} {trt.__version__} cannot start on this GPU: {log.last_error}; "
            "run facesr-edge doctor for details"
        ) from None
    if info is not None and product is TENSORRT:
        # A version-compatible engine contains host code: allowed only if the card, which hashes the engine, says so.
        runtime.engine_host_code_allowed = info.version_compatible
        if info.dla is not None:
            runtime.DLA_core = info.dla
    return runtime


def _io_tensors(trt: Any, engine: Any, bundle: Bundle) -> tuple[str, tuple[InputSpec, ...], tuple[str, ...]]:
    """Name of the pixels, the other inputs, and names of the outputs in the order of `Output`."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT]
    outputs = in_order(name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT)
    pixels = [name for name in inputs if engine.get_tensor_dtype(name) == trt.DataType.UINT8]
    others = tuple(_input_spec(trt, engine, name) for name in inputs if name not in pixels)
    wanted = bundle.card.io_spec.other_inputs
    if len(pixels) != 1 or not outputs or {spec.name for spec in others} != {*wanted}:
        further = ", ".join(wanted) or "no others"
        raise EngineError(
            f"expected an engine of one uint8 input, {further}, and one output (besides '{RESIDUAL}'), {bundle.folder} "
            f"has {', '.join(names)}; compile it again: facesr-edge build {bundle.folder}"
        )
    return pixels[0], others, outputs


def _input_spec(trt: Any, engine: Any, name: str) -> InputSpec:
    dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
    return InputSpec(name, tuple(engine.get_tensor_shape(name)), dtype)

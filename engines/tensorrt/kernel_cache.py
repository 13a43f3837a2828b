"""Kernels that TensorRT for RTX finishes for a GPU when it loads an engine, kept in the user's cache."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Any

from ..bundle.bundle import Bundle
from ..cuda.device import Gpu
from ..files import cache_dir, prune, read_regular, write_atomic
from .api import Log

MAX_BYTES = 1 << 30
"""Limit of the size of all caches; those that were read longest ago are deleted first."""


class KernelCache:
    """The runtime cache of a bundle's engines on a GPU: without it, each start finishes every kernel again.

    It lies in the user's cache, not in the bundle: the card cannot hash what is made on the device, and nothing that is
    not hashed is read from a bundle.

    Args:
        trt: the module of TensorRT for RTX.
        gpu: of the engines.
        bundle: with the engines.
        log: receives a warning if the cache cannot be used.
    """

    def __init__(self, trt: Any, gpu: Gpu, bundle: Bundle, log: Log) -> None:
        key = f"{bundle.card.fingerprint} {gpu.name} {gpu.compute_capability} {gpu.driver} {trt.__version__}"
        self._path = cache_dir("tensorrt-rtx") / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.kernels"
        self._trt, self._log, self._stored = trt, log, b""
        self._cache: Any = None

    def config(self, engine: Any, strategy: Any) -> Any:
        """`IRuntimeConfig` of a context of an engine, with the cache."""
        config = engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(strategy)
        # Kernels of a new batch size would be finished in the background, and a CUDA graph keep those that stand in.
        eager = self._trt.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        if self._cache is None:
            self._cache = config.create_runtime_cache()
            self._load()
        config.set_runtime_cache(self._cache)
        return config

    def _load(self) -> None:
        with suppress(OSError):
            self._stored = read_regular(self._path, MAX_BYTES)
        if self._stored and not self._cache.deserialize(self._stored):
            self._log.add("warning", f"the kernel cache {self._path} was rejected; it is written anew")

    def save(self) -> None:
        """Write the cache if kernels were added; a failure only adds a warning to the log."""
        if self._cache is None:
            return
        memory = self._cache.serialize()
        data = bytes(memory) if memory is not None else b""
        if not data or data == self._stored:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, data)
            prune(self._path.parent, MAX_BYTES)
        except OSError as error:
            self._log.add("warning", f"the kernel cache {self._path} was not written: {error.strerror or error}")

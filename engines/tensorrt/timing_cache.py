"""TensorRT's timing cache on disk: what kernels take on this GPU, so that a second build need not measure again."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from .api import Log


def cache_path(folder: Path, gpu: str, compute_capability: str, version: str) -> Path:
    """Where the cache of a GPU lies: a file for each GPU, compute capability and TensorRT, for only those share times.

    Args:
        folder: of all caches.
        gpu: name of the GPU.
        compute_capability: e.g. "8.7".
        version: of TensorRT.
    """
    name = re.sub(r"[^a-z0-9]+", "-", gpu.lower()).strip("-")
    return folder / f"{name}-sm{compute_capability}-tensorrt{version}.cache"


def attach(config: Any, path: Path, log: Log) -> None:
    """Give a builder's configuration the cache of a file, or an empty one where that is missing or refused.

    Args:
        config: an `IBuilderConfig`.
        path: the file; what TensorRT refuses is deleted.
        log: told of a refusal.
    """
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if data and _set(config, data):
        return
    if data:
        log.add("warning", f"TensorRT refused the timing cache {path}; it was deleted and begins anew")
        path.unlink(missing_ok=True)
    if not _set(config, b""):
        log.add("warning", "TensorRT took no timing cache; the next build measures every kernel again")


def _set(config: Any, data: bytes) -> bool:
    cache = config.create_timing_cache(data)
    return cache is not None and bool(config.set_timing_cache(cache, ignore_mismatch=False))


def save(config: Any, path: Path, log: Log) -> None:
    """Write the cache of a finished build, whole or not at all; a build is not lost for a cache that cannot be written.

    Args:
        config: an `IBuilderConfig` that was given a cache and has built.
        path: the file.
        log: told of a failure.
    """
    cache = config.get_timing_cache()
    if cache is None:
        return
    data = bytes(cache.serialize())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, new = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(new).replace(path)
        except OSError:
            Path(new).unlink(missing_ok=True)
            raise
    except OSError as error:
        log.add("warning", f"the timing cache {path} was not written: {error.strerror or error}")

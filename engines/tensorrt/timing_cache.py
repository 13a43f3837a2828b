"""TensorRT timing cache on disk: kernel timings of this GPU, reused by later builds."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..cuda.device import Gpu
from ..files import write_atomic
from ..jetson import ROOT, platform_name, this_jetson
from .api import Log


def cache_path(folder: Path, gpu: Gpu, version: str, root: Path = ROOT) -> Path:
    """Cache file for a device and a TensorRT version: timings are valid for these only.

    Args:
        folder: of all caches.
        gpu: whose kernels are timed; a Jetson's name, "Orin", is shared by boards of different speed.
        version: of TensorRT.
        root: of the file system in which a Jetson is looked up.
    """
    jetson = this_jetson(root)
    device = f"{gpu.name} {jetson.model if jetson else ''} {platform_name()}"
    name = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    return folder / f"{name}-sm{gpu.compute_capability}-{gpu.multiprocessors}mp-tensorrt{version}.cache"


def attach(config: Any, path: Path, log: Log) -> None:
    """Set the timing cache of an `IBuilderConfig` from a file, or an empty one if the file is missing.

    A file that TensorRT rejects is deleted if it can be, with a warning in the log.
    """
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if data and _set(config, data):
        return
    if data:
        log.add("warning", f"TensorRT rejected the timing cache {path}; it is replaced")
        with suppress(OSError):  # `save` reports a folder that cannot be written to
            path.unlink(missing_ok=True)
    if not _set(config, b""):
        log.add("warning", "TensorRT accepted no timing cache; the next build measures every kernel again")


def _set(config: Any, data: bytes) -> bool:
    cache = config.create_timing_cache(data)
    return cache is not None and bool(config.set_timing_cache(cache, ignore_mismatch=False))


def save(config: Any, path: Path, log: Log) -> None:
    """Write the timing cache of a finished build atomically; a failure only adds a warning to the log."""
    cache = config.get_timing_cache()
    if cache is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, bytes(cache.serialize()))
    except OSError as error:
        log.add("warning", f"the timing cache {path} was not written: {error.strerror or error}")

"""Activation ranges of a network on calibration inputs, cached on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..engines.files import cache_dir, write_atomic
from ..engines.inputs import Inputs
from ..engines.json_input import read_json
from ..engines.onnxruntime.quantizer import measured_ranges

FORMAT = 1
"""Version of the cache file's layout and of the measurement."""
Ranges = dict[str, tuple[float, float]]
"""Tensor -> minimum and maximum."""


def activation_ranges(
    network: Path,
    kinds: Sequence[str],
    batches: Sequence[NDArray[np.uint8]],
    method: str = "minmax",
    folder: Path | None = None,
    inputs: Sequence[Inputs] = (),
) -> Ranges:
    """Activation ranges of a network, read from the cache if they were measured before with equal arguments.

    Args:
        network, kinds: ONNX file in FP32, and its operators whose inputs and outputs are measured.
        batches: calibration inputs, (N, H, W, 3) uint8, of any sizes.
        method: "minmax", "entropy" or "percentile".
        folder: of the cache; None for `cache_dir`. If it cannot be written, ranges are measured every time.
        inputs: for each batch the other inputs of the network; empty for zeros.

    Raises:
        UnknownNameError, MissingDependencyError, BuildError: see `measured_ranges`.
    """
    network_hash = hashlib.sha256(network.read_bytes()).hexdigest()
    parts = (str(FORMAT), network_hash, calibration_hash(batches, inputs), method, *kinds)
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    path = (folder or cache_dir("ranges")) / f"{key}.json"
    ranges = _read_cache(path, key)
    if ranges is None:
        ranges = measured_ranges(network, kinds, batches, method, inputs)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, json.dumps({"key": key, "ranges": ranges}, indent=1).encode())
    return ranges


def calibration_hash(batches: Sequence[NDArray[np.uint8]], inputs: Sequence[Inputs] = ()) -> str:
    """SHA-256 of calibration inputs, in hexadecimal; depends on their values, shapes and order.

    Args:
        batches, inputs: pixels and other inputs, see `activation_ranges`.
    """
    digest = hashlib.sha256()
    for array in (*batches, *(part for named in inputs for _, part in sorted(named.items()))):
        digest.update(f"{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _read_cache(path: Path, key: str) -> Ranges | None:
    """Ranges in a cache file; a damaged file is removed."""
    try:
        content = read_json(path)
        if content["key"] != key:
            raise ValueError("wrong key")
        ranges = {str(name): (float(low), float(high)) for name, (low, high) in content["ranges"].items()}
        if not ranges or not np.isfinite(list(ranges.values())).all():
            raise ValueError("no finite ranges")
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        with suppress(OSError):
            path.unlink()
        return None
    return ranges

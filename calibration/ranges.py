"""Activation ranges: between which values a network's tensors lie on real inputs; measured once, then remembered."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
from numpy.typing import NDArray

from ..engines.onnxruntime.quantizer import measured_ranges

FORMAT = 1
"""Version of a remembered file's layout, and of the way ranges are measured."""
Ranges = dict[str, tuple[float, float]]
"""Tensor -> lower and upper end of its range."""


def activation_ranges(
    network: Path,
    kinds: Sequence[str],
    batches: Sequence[NDArray[np.uint8]],
    method: str = "minmax",
    folder: Path | None = None,
) -> Ranges:
    """Ranges of a network's tensors, measured unless the same network has seen the same inputs before.

    Args:
        network: ONNX file in FP32.
        kinds: operators whose inputs and outputs are measured.
        batches: (N, H, W, 3) uint8 inputs, of any sizes.
        method: "minmax", "entropy" or "percentile".
        folder: where ranges are remembered; none for `cache_folder`. One that cannot be written costs time, no more.

    Raises:
        UnknownNameError, MissingDependencyError, BuildError: see `measured_ranges`.
    """
    known = (str(FORMAT), hashlib.sha256(network.read_bytes()).hexdigest(), calibration_hash(batches), method, *kinds)
    key = hashlib.sha256("\n".join(known).encode()).hexdigest()
    path = (folder or cache_folder()) / f"{key}.json"
    found = _remembered(path, key)
    if found is None:
        found = measured_ranges(network, kinds, batches, method)
        with suppress(OSError):
            _remember(path, key, found)
    return found


def calibration_hash(batches: Sequence[NDArray[np.uint8]]) -> str:
    """SHA-256 of the inputs that a network is calibrated on, in hexadecimal; their order counts, and their shapes."""
    digest = hashlib.sha256()
    for batch in batches:
        digest.update(f"{batch.shape}".encode())
        digest.update(np.ascontiguousarray(batch).tobytes())
    return digest.hexdigest()


def cache_folder() -> Path:
    """Where ranges are remembered: ``facesr-edge/ranges`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if Path(home).is_absolute() else Path.home() / ".cache") / "facesr-edge" / "ranges"


def _remembered(path: Path, key: str) -> Ranges | None:
    """What a file holds; a damaged one is thrown away."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["key"] != key:
            raise ValueError("of something else")
        ranges = {str(name): (float(low), float(high)) for name, (low, high) in content["ranges"].items()}
        if not ranges or not np.isfinite(list(ranges.values())).all():
            raise ValueError("no ranges")
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError):
        with suppress(OSError):
            path.unlink()
        return None
    return ranges


def _remember(path: Path, key: str, ranges: Ranges) -> None:
    """Write whole or not at all, so that a killed build leaves nothing damaged behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".new", delete=False) as file:
        try:
            json.dump({"key": key, "ranges": ranges}, file, indent=1)
            file.close()
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink()
            raise

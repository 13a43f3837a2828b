"""The uncertainty head of super-resolution networks in ONNX Runtime, with its calibration for each network.

The graph takes crops (N, H, W, 3) and their upscaled pixels (N, k·H, k·W, 3), uint8 BGR, and returns (N, k·H, k·W)
float32: half the width of an interval of the luma of each pixel, in gray levels. The calibration maps it to the width
that holds 90 % of the errors of one network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .bundle.bundle import CALIBRATION, WEIGHTS, Bundle
from .bundle.card import Card
from .bundle.io_spec import MAX_CALL_PIXELS, IOSpec
from .errors import BundleError, EngineError
from .json_input import parse_json
from .onnxruntime.session import OrtGraph, version
from .session import CLOSED

TASK: Final = "uncertainty"
"""Task of the bundle's I/O specification."""
COVERAGE = 0.9
"""Share of the pixels whose luma lies within the interval."""


@dataclass(frozen=True)
class Calibration:
    """Calibrated widths of one network.

    Args:
        network: name of the network's card.
        weights: SHA-256 of its weights; a network of the same name with other weights is not calibrated.
        raw: outputs of the head, gray levels, ascending, at least two.
        calibrated: half widths at `raw`, gray levels, never falling; linear in between, constant outside.
    """

    network: str
    weights: str
    raw: tuple[float, ...]
    calibrated: tuple[float, ...]

    def __post_init__(self) -> None:
        numbers = (*self.raw, *self.calibrated)
        if not all(isinstance(text, str) and text for text in (self.network, self.weights)):
            raise BundleError("a calibration needs the name and the SHA-256 of the weights of its network")
        if len(self.raw) < 2 or len(self.raw) != len(self.calibrated):
            raise BundleError("a calibration needs as many raw as calibrated widths, and at least two")
        if not all(isinstance(one, (int, float)) and np.isfinite(one) and one >= 0 for one in numbers):
            raise BundleError("the widths of a calibration must be finite numbers of 0 or more")
        falls = any(a >= b for a, b in pairwise(self.raw)) or any(a > b for a, b in pairwise(self.calibrated))
        if falls:
            raise BundleError("the widths of a calibration must rise")

    def apply(self, half_widths: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Calibrated widths of the head's output, of its shape, rounded to gray levels; 255 stands for 255 or more."""
        widths = np.interp(half_widths, self.raw, self.calibrated)
        return np.asarray(np.clip(np.rint(widths), 0, 255), np.uint8)


class UncertaintySession:
    """An uncertainty head, calibrated for one network; thread-safe.

    Args:
        bundle: of the head.
        network: card of the super-resolution network.
        threads: CPU threads; 0 for one per core.

    Raises:
        EngineError: the bundle is not an uncertainty head, or is not calibrated for this network.
        BundleError: its files were altered.
    """

    def __init__(self, bundle: Bundle, network: Card, threads: int = 0) -> None:
        self.io_spec, self.name = bundle.card.io_spec, bundle.card.name
        self.calibration = calibration_for(bundle, network)
        self._lock = Lock()
        self._graph: OrtGraph | None = OrtGraph(bundle.onnx, threads, content=bundle.read_graph(bundle.onnx.name))
        if len(self._graph.inputs) != 2 or len(self._graph.outputs) != 1:
            raise EngineError(f"{bundle.onnx} is not an uncertainty head: expected two inputs and one output")
        self.runtime = f"ONNX Runtime {version()} (CPU)"
        self.fingerprint = bundle.card.fingerprint

    def infer(self, crops: NDArray[np.uint8], upscaled: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Half the width of the 90 % interval of the luma of each upscaled pixel.

        Args:
            crops: (N, S, S, 3) uint8 BGR.
            upscaled: (N, k·S, k·S, 3) uint8 BGR, the network's output for them.

        Returns:
            (N, k·S, k·S) uint8, gray levels.

        Raises:
            EngineError: another shape or dtype, or the session is closed.
        """
        _check(crops, upscaled, self.io_spec)
        step = max(1, MAX_CALL_PIXELS // (crops.shape[1] * crops.shape[2]))
        with self._lock:
            if self._graph is None:
                raise EngineError(CLOSED)
            graph = self._graph
            parts = [graph.run(crops[n : n + step], upscaled[n : n + step])[0] for n in range(0, len(crops), step)]
        return np.concatenate([self.calibration.apply(part) for part in parts])

    def raw(self, crops: NDArray[np.uint8], upscaled: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The head's output before the calibration: (N, k·S, k·S) float32, gray levels. See `infer`."""
        _check(crops, upscaled, self.io_spec)
        with self._lock:
            if self._graph is None:
                raise EngineError(CLOSED)
            return np.asarray(self._graph.run(crops, upscaled)[0], np.float32)

    def close(self) -> None:
        """Release the runtime's memory; later calls raise an EngineError. Idempotent."""
        with self._lock:
            if self._graph is not None:
                self._graph.close()
            self._graph = None

    def __enter__(self) -> UncertaintySession:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def calibrations(bundle: Bundle) -> dict[str, Calibration]:
    """The calibrations of a head: SHA-256 of the weights of a network -> its calibration.

    Raises:
        EngineError: the bundle is not an uncertainty head.
        BundleError: it has no valid calibration.
    """
    if bundle.card.io_spec.task != TASK:
        raise EngineError(f"expected an uncertainty head, got a bundle for {bundle.card.io_spec.task}")
    path = bundle.folder / CALIBRATION
    try:
        values = parse_json(bundle.read(CALIBRATION).decode())
        return {one.weights: one for one in map(_calibration, values["networks"])}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BundleError(f"{path} is not a calibration ({type(error).__name__}); copy the bundle again") from None
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None


def calibration_for(bundle: Bundle, network: Card) -> Calibration:
    """The calibration of a head for one network.

    Raises:
        EngineError: there is none, or the bundle is not an uncertainty head.
        BundleError: see `calibrations`.
    """
    known = calibrations(bundle)
    own = known.get(network.files.get(WEIGHTS, ""))
    if own is None:
        names = ", ".join(sorted(one.network for one in known.values()))
        raise EngineError(
            f"{bundle.card.name} is not calibrated for {network.name} and its weights; take one of {names}, or load "
            "without uncertainty"
        )
    return own


def _calibration(values: Mapping[str, Any]) -> Calibration:
    return Calibration(values["network"], values["weights"], tuple(values["raw"]), tuple(values["calibrated"]))


def _check(crops: NDArray[Any], upscaled: NDArray[Any], io_spec: IOSpec) -> None:
    scale = io_spec.scale
    if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8 or 0 in crops.shape:
        raise EngineError(f"expected crops of (N, S, S, 3) uint8 BGR, got {crops.shape} {crops.dtype}")
    count, height, width, _ = crops.shape
    expected = (count, scale * height, scale * width, 3)
    if upscaled.shape != expected or upscaled.dtype != np.uint8:
        raise EngineError(
            f"expected upscaled pixels of {expected} uint8 for crops of {crops.shape}, got {upscaled.shape} "
            f"{upscaled.dtype}; the head is for networks of scale {scale}"
        )

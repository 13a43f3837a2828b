"""Inputs of a graph besides the pixels: the features of reference faces, or the samples of a track."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import EngineError

Inputs = Mapping[str, NDArray[Any]]
"""Name -> array whose first axis is that of the batch. An input that is not given is zero in every slot."""
NO_INPUTS: Inputs = MappingProxyType({})
PRESENT = "present"
"""Name of the input of (N, R) float32 that is 1 for a reference and 0 for an empty slot, see `IOSpec`."""
REFERENCE_INPUTS = ("keys", "values", PRESENT)
"""Names of the inputs for references, in the order of the graph."""
SAMPLES = "samples"
"""Name of the input of (N, 2·k², S, S) float32 that holds the samples of earlier crops, see `IOSpec`."""


@dataclass(frozen=True)
class InputSpec:
    """An input of a graph besides the pixels.

    Args:
        name: in the graph.
        shape: (N, R, …) for references, (N, 2·k², S, S) for samples; N, R and S depend on the call, whatever their
            value here.
        dtype: of its values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def sized(self, pixels: Sequence[int], slots: int) -> tuple[int, ...]:
        """Its shape for pixels of this shape, (N, H, W, 3), and faces of `slots` slots for references."""
        if self.name == SAMPLES:
            return (pixels[0], self.shape[1], *pixels[1:3])
        return (pixels[0], slots, *self.shape[2:])


def complete(specs: Sequence[InputSpec], pixels: Sequence[int], given: Inputs = NO_INPUTS) -> list[NDArray[Any]]:
    """The inputs of a call, in the order of the graph.

    Args:
        specs: of every input besides the pixels.
        pixels: shape of the pixels of the call, (N, H, W, 3).
        given: inputs of the call, those for references of the same number of slots R; others are zero. Without any, R
            is 1.

    Raises:
        EngineError: an input that the graph does not have, or one of another shape or dtype.
    """
    if not specs and not given:  # most networks take the pixels only
        return []
    slots = slot_count(given)
    unknown = sorted(given.keys() - {spec.name for spec in specs})
    if unknown:
        known = ", ".join(spec.name for spec in specs) or "none"
        raise EngineError(f"expected inputs besides the pixels among {known}, got {', '.join(unknown)}")
    arrays = []
    for spec in specs:
        shape = spec.sized(pixels, slots)
        array = given.get(spec.name)
        if array is not None and (array.shape != shape or array.dtype != spec.dtype):
            raise EngineError(f"expected {spec.name} of {shape} {spec.dtype}, got {array.shape} {array.dtype}")
        arrays.append(np.zeros(shape, spec.dtype) if array is None else array)
    return arrays


def slot_count(given: Inputs) -> int:
    """The number of slots R for references of the inputs of a call; 1 if none is given."""
    return next((array.shape[1] for name, array in given.items() if name != SAMPLES and array.ndim > 1), 1)


def rows_of(inputs: Inputs, rows: slice) -> Inputs:
    """The rows of each input that belong to a part of the batch; views."""
    return {name: array[rows] for name, array in inputs.items()}

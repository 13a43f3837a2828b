"""Names, shapes and types of the inputs and outputs of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a graph.

    Args:
        name: in the graph.
        shape: of all dimensions; -1 where the size is dynamic.
        dtype: of its values.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class GraphTensors:
    """The inputs and outputs of a graph, in its order; the pixels are the first input."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

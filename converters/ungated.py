"""A graph in fewer bits that nobody judges: for what a network takes, which does not depend on how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from ..engines.bundle import SECOND
from ..engines.ort_quantise import measured_ranges
from .convert import Subject, halve
from .layers import KINDS, kept_in_floats
from .qdq import carried
from .search import Dialect, Floats, write


def quantise_ungated(
    what: Subject, plain: Path, path: Path, batches: Sequence[NDArray[np.uint8]], dialect: Dialect = "cpu"
) -> None:
    """Write the INT8 graph that a build tries first: all but the first convolution and a thin last one.

    Args:
        what: the network.
        plain: its ONNX file in FP32.
        path: where the INT8 graph is written; for TensorRT, the FP16 graph beside it.
        batches: (N, H, W, 3) uint8 inputs that show the ranges; they are not remembered.
        dialect: of INT8.

    Raises:
        BuildError: there is nothing to quantise, or it cannot be done.
    """
    ranges = measured_ranges(plain, KINDS, batches)
    floats = Floats(plain, ranges, dialect)
    if dialect == "tensorrt":
        halved = path.with_name(SECOND)
        halve(what, halved, lambda line: None)
        floats = Floats(halved, carried(ranges, onnx.load(plain), onnx.load(halved), KINDS), dialect)
    model = onnx.load(floats.path)
    write(model, floats, path, kept_in_floats(model))

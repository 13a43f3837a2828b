"""A session whose engine is a model of the Triton server that the caller runs in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ....engines.batching import calls_of
from ....engines.bundle.io_spec import IOSpec
from ....engines.errors import EngineError
from ....engines.session import CLOSED, LayerTime, Output, concatenated, in_order
from .layout import sized_name

Infer = Callable[[str, Mapping[str, NDArray[Any]], Sequence[str]], list[NDArray[Any]]]
"""Runs a model of the server: its name, its inputs, and the names of the outputs that are returned in this order."""


@dataclass(frozen=True)
class ServedModel:
    """A bundle that was exported to a model repository.

    Args:
        name: of the model.
        is_sized: one model for each size, see `sized_name`, instead of one for all.
        input: name of the pixels.
        outputs: names of the outputs, the residual last.
        max_batch: largest batch of a call.
        precision: of its graph.
        backend: of the server.
    """

    name: str
    is_sized: bool
    input: str
    outputs: tuple[str, ...]
    max_batch: int
    precision: str
    backend: str

    def __post_init__(self) -> None:
        ordered = in_order(self.outputs)
        if not ordered:
            raise EngineError(f"expected one output and a residual, {self.name} has {', '.join(self.outputs)}")
        object.__setattr__(self, "outputs", ordered)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> ServedModel:
        """Of the values of `to_dict`."""
        return ServedModel(**{**values, "outputs": tuple(values["outputs"])})


class TritonSession:
    """A model of a Triton server; implements `Session`.

    Args:
        io_spec: of the card.
        model: that is called.
        infer: calls a model of the server.
    """

    def __init__(self, io_spec: IOSpec, model: ServedModel, infer: Infer) -> None:
        batches = tuple(count for count in io_spec.batches if count <= model.max_batch)
        self.io_spec = replace(io_spec, batches=batches)
        self.precision, self.runtime = model.precision, f"Triton ({model.backend})"
        self._model, self._infer, self._closed = model, infer, False

    def infer(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """See `Session.infer`."""
        return self.infer_batches([batch])[0].tensor

    def infer_batches(self, batches: Sequence[NDArray[np.uint8]]) -> list[Output]:
        """See `Session.infer_batches`."""
        if self._closed:
            raise EngineError(CLOSED)
        return [concatenated([self._call(batch[rows]) for rows in calls_of(batch, self.io_spec)]) for batch in batches]

    def _call(self, batch: NDArray[np.uint8]) -> Output:
        model, (_, height, width, _) = self._model, batch.shape
        name = sized_name(model.name, height, width) if model.is_sized else model.name
        outputs = self._infer(name, {model.input: np.ascontiguousarray(batch)}, model.outputs)
        self.io_spec.check_output(batch, outputs[0])
        return Output(outputs[0], outputs[1].reshape(-1) if len(outputs) > 1 else None)

    def warm_up(self) -> None:
        """Nothing: the server warms its models up."""

    def layer_times(self, batch: NDArray[np.uint8], runs: int = 10) -> tuple[LayerTime, ...]:
        """See `Session.layer_times`; the server does not report them."""
        raise EngineError("Triton does not report the times of layers; profile the bundle itself")

    def close(self) -> None:
        """See `Session.close`; the server keeps its models."""
        self._closed = True

"""The consistency projection of a super-resolution graph: which part of the input its output reproduces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from ..errors import BundleError

PREFIX = "projection."
"""Of the names of its weights and nodes in a graph."""
Kind = Literal["full", "low-pass", "adaptive"]


@dataclass(frozen=True)
class Projection:
    """The part of the difference between the input and the downscaled output that is added back to the output.

    Args:
        kind: "full", all of it; "low-pass", its low frequencies; "adaptive", its low frequencies, and of a crop whose
            output agrees well with the input the others too.
        sigma: standard deviation of the Gaussian low-pass filter in low-resolution pixels; 0 for "full".
        threshold: of "adaptive", 0 for the others: the largest part of the input's high frequencies that a network
            changes in a clean crop, as the ratio of two root mean squares, see `converters.export.projection`.
    """

    kind: Kind = "full"
    sigma: float = 0.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise BundleError(f"the kind of a projection is {', '.join(get_args(Kind))}, not {self.kind!r}")
        for value, used in ((self.sigma, self.kind != "full"), (self.threshold, self.kind == "adaptive")):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or (value > 0) != used:
                raise BundleError(f"a projection of kind {self.kind} cannot have {asdict(self)}")

    def __str__(self) -> str:
        """What the output reproduces of the input, for people."""
        if self.kind == "full":
            return "full: the output reproduces the input at all frequencies"
        low = f"the output reproduces low frequencies of the input (sigma {self.sigma:g} px)"
        if self.kind == "low-pass":
            return f"low-pass: {low}"
        return f"adaptive: {low}, of clean crops all (threshold {self.threshold:g})"


FULL = Projection()
BY_DEGRADATION = {
    "camera": Projection("low-pass", sigma=2.0),
    "recorded": Projection("adaptive", sigma=2.0, threshold=0.07),
}
"""Degradation of the training -> projection. Removed noise and artifacts must not come back: on degraded faces, a
larger sigma does not improve PSNR, and a smaller one or a larger threshold reduces it."""


def default_projection(training: Mapping[str, Any]) -> Projection:
    """The projection of a network with this training record; full unless it is in `BY_DEGRADATION`."""
    return BY_DEGRADATION.get(str(training.get("degradation")), FULL)

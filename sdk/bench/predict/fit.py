"""Coefficients of the roofline model from published measurements, and their leave-one-out error.

Sources of the measurements, `source` in anchors.csv, with addresses in docs/jetson.md: `trtutils` (TensorRT engines
without copies), `ultralytics` (Python calls of engines), `hokwangchoi` and `idein` (trtexec).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Hashable, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from importlib.resources import files
from typing import cast

import numpy as np

from ....converters.kernels import Precision
from .devices import DEVICES, Device
from .reference_networks import REFERENCE_NETWORKS
from .roofline import Array, Coefficients, Work, work_of

HOST_SOURCES = ("ultralytics",)
"""Sources whose times contain the host's part of a call."""
START = Coefficients(0.7, 0.6, 10.0, 10.0, 0.5, 0.5)
"""Start of the fit, from experience with other GPUs."""
MAX_STEPS, STEP, TOLERANCE = 60, 1e-4, 1e-5
"""Of the Gauss-Newton iteration, in the logarithm of the coefficients."""


@dataclass(frozen=True)
class Anchor:
    """A published measurement of a batch of one.

    Args:
        network: key of `REFERENCE_NETWORKS`.
        side: of the square image, in pixels.
        precision: of the engine.
        device: key of `DEVICES`.
        ms: measured time.
        source: see the module.
    """

    network: str
    side: int
    precision: Precision
    device: str
    ms: float
    source: str

    @property
    def family(self) -> str:
        """Architecture without its size, e.g. "yolov8"."""
        return self.network[:-1]

    @property
    def on(self) -> Device:
        """The device."""
        return DEVICES[self.device]


def read_anchors() -> tuple[Anchor, ...]:
    """The measurements of anchors.csv."""
    text = files(__package__).joinpath("anchors.csv").read_text("utf-8")
    return tuple(
        Anchor(
            row["network"],
            int(row["side"]),
            cast(Precision, row["precision"]),
            row["device"],
            float(row["ms"]),
            row["source"],
        )
        for row in csv.DictReader(text.splitlines())
    )


@dataclass(frozen=True, eq=False)
class AnchorWork:
    """The kernels of several anchors in one set of arrays."""

    anchors: tuple[Anchor, ...]

    @cached_property
    def _works(self) -> list[Work]:
        return [work_of(REFERENCE_NETWORKS[a.network](a.side, a.precision), a.on) for a in self.anchors]

    @cached_property
    def _joined(self) -> Work:
        columns = ([getattr(work, field.name) for work in self._works] for field in fields(Work))
        return Work(*(np.concatenate(column) for column in columns))

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *np.cumsum([len(work.tiles) for work in self._works])[:-1].tolist()]

    def predicted_ms(self, c: Coefficients) -> Array:
        """Predicted time of each anchor, (A,)."""
        host = np.array([c.host_ms_ghz / a.on.cpu_ghz if a.source in HOST_SOURCES else 0 for a in self.anchors])
        return np.asarray(np.add.reduceat(self._joined.times_ms(c), self._starts) + host, float)

    def log_ratios(self, c: Coefficients) -> Array:
        """Natural logarithm of predicted over measured, (A,)."""
        return np.asarray(np.log(self.predicted_ms(c) / [a.ms for a in self.anchors]), float)


def fit(anchors: Sequence[Anchor], start: Coefficients = START) -> Coefficients:
    """Coefficients with the least squared logarithm of predicted over measured, by damped Gauss-Newton.

    A weak pull to `start` (a tenth of the weight of one anchor) keeps a coefficient that the anchors do not determine.
    """
    work, origin = AnchorWork(tuple(anchors)), np.log(astuple(start))
    pull, theta = 0.1 * np.eye(len(origin)), origin.copy()
    for _ in range(MAX_STEPS):
        residual = work.log_ratios(Coefficients(*np.exp(theta)))
        slopes = [work.log_ratios(Coefficients(*np.exp(theta + STEP * e))) - residual for e in np.eye(len(theta))]
        matrix = np.vstack([np.transpose(slopes) / STEP, pull])
        target = np.concatenate([-residual, pull @ (origin - theta)])
        step = np.clip(np.linalg.lstsq(matrix, target, rcond=None)[0], -0.3, 0.3)
        theta = theta + step
        if np.abs(step).max() < TOLERANCE:
            break
    return Coefficients(*np.exp(theta).tolist())


def held_out_log_ratios(anchors: Sequence[Anchor], group: Callable[[Anchor], Hashable]) -> dict[Anchor, float]:
    """Error of each anchor under a fit to the anchors of all other groups: log of predicted over measured."""
    errors: dict[Anchor, float] = {}
    for held_out in dict.fromkeys(map(group, anchors)):
        test = tuple(a for a in anchors if group(a) == held_out)
        c = fit([a for a in anchors if group(a) != held_out])
        errors |= dict(zip(test, AnchorWork(test).log_ratios(c).tolist(), strict=True))
    return errors


def factor(log_ratios: Sequence[float], share: float) -> float:
    """Factor f so that `share` of the predictions lie within ×/÷ f of the measurement."""
    return float(np.exp(np.quantile(np.abs(list(log_ratios)), share)))

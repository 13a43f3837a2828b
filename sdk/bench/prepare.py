"""A network of a table -> the bundles that are timed, through the converters that every build goes through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ...engines.bundle import ONNX, SECOND, WEIGHTS, Bundle, open_bundle, write_bundle
from ...engines.card import Card, Precision
from ...engines.contract import super_resolution
from ...zoo import catalogue
from .paper import SCALE, SIDE, config

if TYPE_CHECKING:
    from torch import nn

    from ...converters.convert import Subject

Dialect = Literal["cpu", "tensorrt"]
Kind = tuple[Precision, Dialect]
"""What tells two graphs of one network apart; the dialect is INT8's, and "cpu" for the others."""
RANDOM = "random"
"""Name of weights that nobody trained: time does not depend on them."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network, ready to be timed.

    Args:
        size: depth and width.
        weights: the model of the zoo that they are of, or `RANDOM`.
        macs: multiply-adds of its convolutions for one face, counted in the graph.
        bundles: one for each kind that was asked for.
        faces: (N, SIDE, SIDE, 3) uint8 BGR to time it on.
    """

    size: tuple[int, int]
    weights: str
    macs: int
    bundles: dict[Kind, Bundle]
    faces: NDArray[np.uint8]


def prepare(size: tuple[int, int], kinds: Iterable[Kind], folder: Path) -> Prepared:
    """Convert a network.

    Args:
        size: depth and width.
        kinds: graphs to make of it.
        folder: where their bundles go.

    Raises:
        BuildError, ParityError, MissingDependencyError: a conversion failed.
    """
    from ...calibration.sample import sample_faces
    from ...converters.arithmetic import macs_of
    from ...converters.convert import convert, subject
    from ...converters.ungated import quantise_ungated

    shipped = _shipped(size)
    network = _network(size, shipped)
    what = subject(network, super_resolution(SCALE), sample_faces())
    workshop = folder / "workshop-{}x{}".format(*size)
    workshop.mkdir(parents=True)
    plain = shipped.onnx if shipped else workshop / ONNX
    if not shipped:
        convert(what, plain, lambda line: None)
    bundles: dict[Kind, Bundle] = {}
    for kind in kinds:
        precision, dialect = kind
        graph = plain
        if precision == "fp16":
            graph = _halved(what, workshop / "half.onnx")
        elif precision == "int8":
            graph = workshop / f"{dialect}.onnx"
            quantise_ungated(what, plain, graph, [what.pixels], dialect)
        contents = {ONNX: graph.read_bytes()}
        if precision == "int8" and dialect == "tensorrt":
            contents |= {SECOND: (workshop / SECOND).read_bytes(), WEIGHTS: _weights(network, size)}
        card = Card("idrn-{}x{}".format(*size), super_resolution(SCALE), precision, "idrn", config(size))
        bundles[kind] = write_bundle(folder / f"{card.name}-{precision}-{dialect}", card, contents)
    return Prepared(size, shipped.card.name if shipped else RANDOM, macs_of(plain, SIDE), bundles, what.pixels)


def _shipped(size: tuple[int, int]) -> Bundle | None:
    """The model of the zoo that is this network in FP32, if there is one."""
    models = (open_bundle(catalogue.FOLDER / name) for name in catalogue.names())
    return next(
        (b for b in models if (b.card.network, b.card.config, b.card.precision) == ("idrn", config(size), "fp32")), None
    )


def _network(size: tuple[int, int], shipped: Bundle | None) -> nn.Module:
    from ...converters.checkpoint import network_from, read_weights
    from ...networks import build_network

    if shipped:
        return network_from(read_weights(shipped.folder / WEIGHTS), "idrn", config(size))
    return build_network("idrn", config(size)).eval()


def _halved(what: Subject, path: Path) -> Path:
    from ...converters.convert import halve

    halve(what, path, lambda line: None)
    return path


def _weights(network: nn.Module, size: tuple[int, int]) -> bytes:
    from ...converters.checkpoint import Origin, weights_bytes

    return weights_bytes(network, "idrn", config(size), Origin({"data": "none: for its time alone"}))

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
    from ...converters.checkpoint import Origin, network_from, read_weights, weights_bytes
    from ...converters.convert import convert, subject
    from ...networks import build_network

    name, settings, shipped = "idrn-{}x{}".format(*size), config(size), _shipped(size)
    if shipped:
        network = network_from(read_weights(shipped.folder / WEIGHTS), "idrn", settings)
    else:
        network = build_network("idrn", settings).eval()
    what = subject(network, super_resolution(SCALE), sample_faces())
    workshop = folder / f"{name}-workshop"
    workshop.mkdir(parents=True)
    plain = shipped.onnx if shipped else workshop / ONNX
    if not shipped:
        convert(what, plain, lambda line: None)
    bundles: dict[Kind, Bundle] = {}
    for kind in kinds:
        contents = {ONNX: _graph(what, plain, kind, workshop).read_bytes()}
        if kind == ("int8", "tensorrt"):  # beside it, what its device takes where INT8 is no faster
            origin = Origin({"data": "none: for its time alone"})
            contents |= {SECOND: (workshop / SECOND).read_bytes()}
            contents |= {WEIGHTS: weights_bytes(network, "idrn", settings, origin)}
        card = Card(name, super_resolution(SCALE), kind[0], "idrn", settings)
        bundles[kind] = write_bundle(folder / "-".join((name, *kind)), card, contents)
    return Prepared(
        size, shipped.card.name if shipped else RANDOM, macs_of(plain, SIDE, ["Conv"]), bundles, what.pixels
    )


def _graph(what: Subject, plain: Path, kind: Kind, workshop: Path) -> Path:
    """The ONNX file of a kind."""
    from ...converters.convert import halve
    from ...converters.ungated import quantise_ungated

    precision, dialect = kind
    if precision == "fp32":
        return plain
    path = workshop / f"{precision}-{dialect}.onnx"
    if precision == "fp16":
        halve(what, path, lambda line: None)
    else:
        quantise_ungated(what, plain, path, [what.pixels], dialect)
    return path


def _shipped(size: tuple[int, int]) -> Bundle | None:
    """The model of the zoo that is this network in FP32, if there is one."""
    models = (open_bundle(catalogue.FOLDER / name) for name in catalogue.names())
    return next(
        (b for b in models if (b.card.network, b.card.config, b.card.precision) == ("idrn", config(size), "fp32")), None
    )

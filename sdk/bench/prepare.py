"""A network of a table -> the bundles that are timed, through the converters that every build goes through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
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
    from ...converters.checkpoint import Origin, weights_bytes
    from ...converters.convert import convert, subject
    from ...networks import build_network

    name, settings, shipped = "idrn-{}x{}".format(*size), config(size), _shipped(size)
    if shipped:
        bundles = of_model(shipped, kinds, folder)
        return Prepared(size, shipped.card.name, macs_of(shipped.onnx, SIDE, ["Conv"]), bundles, _faces())
    network = build_network("idrn", settings).eval()
    what = subject(network, super_resolution(SCALE), sample_faces())
    workshop = folder / f"{name}-workshop"
    workshop.mkdir(parents=True)
    plain = workshop / ONNX
    convert(what, plain, lambda line: None)
    card = Card(name, super_resolution(SCALE), "fp32", "idrn", settings)
    weights = weights_bytes(network, "idrn", settings, Origin({"data": "none: for its time alone"}))
    bundles = {kind: _bundle(what, plain, kind, card, weights, folder) for kind in kinds}
    return Prepared(size, RANDOM, macs_of(plain, SIDE, ["Conv"]), bundles, _faces())


def of_model(model: Bundle, kinds: Iterable[Kind], folder: Path) -> dict[Kind, Bundle]:
    """A model of the zoo in other kinds; INT8 is what a build tries first, whatever that costs.

    Args:
        model: a super-resolution network in FP32 that borrows from no references.
        kinds: graphs to make of it.
        folder: where their bundles go.

    Raises:
        BuildError, MissingDependencyError: a conversion failed.
    """
    from ...calibration.sample import sample_faces
    from ...converters.convert import subject_of

    what, card = subject_of(model, sample_faces()), model.card
    weights = (model.folder / WEIGHTS).read_bytes()
    return {kind: _bundle(what, model.onnx, kind, card, weights, folder) for kind in kinds}


def _faces() -> NDArray[np.uint8]:
    """(N, SIDE, SIDE, 3) faces to time a network on."""
    from ...calibration.crops import low_resolution
    from ...calibration.evaluate import centres
    from ...calibration.sample import sample_faces

    return low_resolution(centres(sample_faces(), SCALE), SCALE)


def _bundle(what: Subject, plain: Path, kind: Kind, card: Card, weights: bytes, folder: Path) -> Bundle:
    """A network in one kind."""
    workshop = folder / "-".join((card.name, *kind, "workshop"))
    workshop.mkdir(parents=True)
    contents = {ONNX: _graph(what, plain, kind, workshop).read_bytes(), WEIGHTS: weights}
    second = workshop / SECOND
    if second.exists():  # what the device takes where INT8 is no faster
        contents[SECOND] = second.read_bytes()
    return write_bundle(folder / "-".join((card.name, *kind)), replace(card, precision=kind[0]), contents)


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

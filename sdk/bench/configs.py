"""Who takes part: each runtime that this machine has, in each precision, each network in its own session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ...calibration.timing import interleaved, latency_stats
from ...engines.bundle.bundle import FP16_ONNX, ONNX, WEIGHTS, Bundle, open_bundle, write_bundle
from ...engines.bundle.card import PRECISIONS, Card, Precision
from ...engines.bundle.io_spec import super_resolution
from ...engines.errors import UnknownNameError, UsageError
from ...engines.openvino.session import installed
from ...engines.registry import open_session
from ...engines.session import Session
from ...zoo import catalogue
from .paper import SCALE, SIDE, config

if TYPE_CHECKING:
    from ...converters.export.convert import ExportTarget


TRIAL_ROUNDS = 5
"""Rounds that decide whether FP16 takes part where nobody asked for it."""


@dataclass(frozen=True)
class Backend:
    """A runtime in a precision.

    Args:
        engine: a key of `ENGINES`.
        precision: of the network's arithmetic.
    """

    engine: str
    precision: Precision

    @property
    def kind(self) -> Kind:
        """The graph that it runs."""
        return self.precision, "tensorrt" if (self.engine, self.precision) == ("tensorrt", "int8") else "cpu"

    def __str__(self) -> str:
        names = {"onnxruntime": "ONNX Runtime", "tensorrt": "TensorRT", "openvino": "OpenVINO"}
        return f"{names.get(self.engine, self.engine)} {self.precision.upper()}"


def select_backends(text: str | None) -> tuple[Precision, ...]:
    """Precisions out of "fp32,int8"; all of them where nothing is said.

    Raises:
        UnknownNameError: a name that is none.
        UsageError: one that is named twice.
    """
    if text is None:
        return tuple(PRECISIONS)
    names = [name.strip().lower() for name in text.split(",")]
    for name in names:
        if name not in PRECISIONS:
            raise UnknownNameError("precision", name, PRECISIONS)
    if len(set(names)) < len(names):
        raise UsageError(f"expected each precision once, got {text}")
    return tuple(one for one in PRECISIONS if one in names)


def backends(precisions: Sequence[Precision]) -> list[Backend]:
    """Every runtime that can be used here, in every precision."""
    from ...converters.compile import why_not_tensorrt

    there = {"onnxruntime": True, "openvino": installed(), "tensorrt": not why_not_tensorrt()}
    engines = [engine for engine, usable in there.items() if usable]
    return [Backend(engine, precision) for engine in engines for precision in precisions]


def opened(bundle: Bundle, who: Backend, threads: int, folder: Path) -> Session | None:
    """A session of a network; none where the device keeps FP16 because INT8 is no faster: FP16 is timed as such.

    Args:
        bundle: of the network, in the contestant's kind.
        who: runs it.
        threads: CPU threads of a call; 0 for one a core.
        folder: where a compiled engine goes.
    """
    if who.engine == "tensorrt":
        from ...converters.compile import compile_bundle

        bundle = compile_bundle(bundle, "tensorrt", folder=folder / f"{bundle.folder.name}-compiled")
        if bundle.card.precision != who.precision:
            return None
    return open_session(bundle, who.engine, threads)


def slow_halves(network: Prepared, sessions: dict[Backend, Session]) -> dict[Backend, str]:
    """FP16 that is slower than FP32 of the same runtime on a network -> what to say of it."""
    told: dict[Backend, str] = {}
    for half in [who for who in sessions if who.precision == "fp16"]:
        full = Backend(half.engine, "fp32")
        if full not in sessions:
            continue
        pair = (sessions[half], sessions[full])
        taken = interleaved([partial(session.infer, network.faces[:1]) for session in pair], TRIAL_ROUNDS)
        half_ms, full_ms = (latency_stats(ms).best for ms in taken)
        if half_ms > full_ms:
            told[half] = (
                f"{half} is left out: {half_ms:.1f} ms where FP32 takes {full_ms:.1f} ms at depth {network.size[0]}, "
                f"width {network.size[1]}; --precision fp32,fp16,int8 brings it"
            )
    return told


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
    from ...calibration.data.faces import sample_faces
    from ...converters.export.convert import convert, export_target
    from ...converters.macs import macs_of
    from ...networks import build_network
    from ...networks.weights import Provenance, weights_bytes

    name, settings, shipped = "idrn-{}x{}".format(*size), config(size), _shipped(size)
    if shipped:
        bundles = of_model(shipped, kinds, folder)
        return Prepared(size, shipped.card.name, macs_of(shipped.onnx, SIDE, ["Conv"]), bundles, _faces())
    network = build_network("idrn", settings).eval()
    what = export_target(network, super_resolution(SCALE), sample_faces())
    workshop = folder / f"{name}-workshop"
    workshop.mkdir(parents=True)
    plain = workshop / ONNX
    convert(what, plain, lambda line: None)
    card = Card(name, super_resolution(SCALE), "fp32", "idrn", settings)
    weights = weights_bytes(network, "idrn", settings, Provenance({"data": "none: for its time alone"}))
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
    from ...calibration.data.faces import sample_faces
    from ...converters.export.convert import export_target_from_bundle

    what, card = export_target_from_bundle(model, sample_faces()), model.card
    weights = (model.folder / WEIGHTS).read_bytes()
    return {kind: _bundle(what, model.onnx, kind, card, weights, folder) for kind in kinds}


def _faces() -> NDArray[np.uint8]:
    """(N, SIDE, SIDE, 3) faces to time a network on."""
    from ...calibration.data.faces import low_resolution, sample_faces
    from ...calibration.metrics.evaluate import centres

    return low_resolution(centres(sample_faces(), SCALE), SCALE)


def _bundle(what: ExportTarget, plain: Path, kind: Kind, card: Card, weights: bytes, folder: Path) -> Bundle:
    """A network in one kind."""
    workshop = folder / "-".join((card.name, *kind, "workshop"))
    workshop.mkdir(parents=True)
    contents = {ONNX: _graph(what, plain, kind, workshop).read_bytes(), WEIGHTS: weights}
    second = workshop / FP16_ONNX
    if second.exists():  # what the device takes where INT8 is no faster
        contents[FP16_ONNX] = second.read_bytes()
    return write_bundle(folder / "-".join((card.name, *kind)), replace(card, precision=kind[0]), contents)


def _graph(what: ExportTarget, plain: Path, kind: Kind, workshop: Path) -> Path:
    """The ONNX file of a kind."""
    from ...converters.export.convert import export_fp16
    from ...converters.quantization.ptq import ptq_unchecked

    precision, dialect = kind
    if precision == "fp32":
        return plain
    path = workshop / f"{precision}-{dialect}.onnx"
    if precision == "fp16":
        export_fp16(what, path, lambda line: None)
    else:
        ptq_unchecked(what, plain, path, [what.pixels], dialect)
    return path


def _shipped(size: tuple[int, int]) -> Bundle | None:
    """The model of the zoo that is this network in FP32, if there is one."""
    models = (open_bundle(catalogue.FOLDER / name) for name in catalogue.names())
    return next(
        (b for b in models if (b.card.network, b.card.config, b.card.precision) == ("idrn", config(size), "fp32")), None
    )

"""The card of a bundle, ``card.json``: I/O specification, file hashes, evaluations, training and licence."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, get_args

from ..errors import BundleError
from ..json_input import newer_field, parse_json
from . import card_format_1
from .engine_info import EngineInfo
from .io_spec import IOSpec
from .projection import Projection, default_projection

FORMAT = 2
"""Version of the card's layout. Format 1 is converted on reading; any other version is rejected."""

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS = get_args(Precision)
ENGINE_CHECK = card_format_1.ENGINE_CHECK
"""Dataset name of the comparison of a compiled engine with ONNX Runtime."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a network on one dataset.

    Args:
        dataset: name of the dataset, e.g. the name of its folder.
        n: number of faces (super-resolution) or images (detection).
        degradation: how the inputs were made from the ground truth: "bicubic" or "camera"; "none" for detection.
        precision: of the network that was evaluated.
        metrics: name -> value, ready for JSON.
    """

    dataset: str
    n: int
    degradation: str
    precision: str
    metrics: dict[str, Any]

    def __post_init__(self) -> None:
        texts = (self.dataset, self.degradation, self.precision)
        if not all(isinstance(text, str) for text in texts) or not isinstance(self.n, int):
            raise BundleError("an evaluation needs text for dataset, degradation and precision, and an integer n")
        if not isinstance(self.metrics, dict):
            raise BundleError("the metrics of an evaluation must be an object")

    @property
    def key(self) -> tuple[str, str, str]:
        """Dataset, degradation and precision: a card holds one evaluation for each combination."""
        return self.dataset, self.degradation, self.precision

    @property
    def title(self) -> str:
        """E.g. "test (127), camera, fp32"."""
        degradation = "" if self.degradation in ("bicubic", "none") else f", {self.degradation}"
        return f"{self.dataset}{f' ({self.n})' if self.n else ''}{degradation}, {self.precision}"


@dataclass(frozen=True)
class Card:
    """Metadata of a bundle, stored as ``card.json``.

    Args:
        name: e.g. "idrn-x4".
        io_spec: input and output shapes.
        precision: of the layers between the uint8 input and output.
        network: key of the network registry.
        config: keyword arguments of the network.
        files: name -> SHA-256 of every other file of the bundle.
        parity: error or PSNR of each conversion step against the step before, measured on real faces.
        evaluations: metrics on held-out data.
        training: data, recipe, steps.
        licence: of the weights.
        limitations: known limitations of the network, one sentence each.
        build_versions: package -> version at build time.
        notes: messages of the build, e.g. that the engine has to be compiled on the device.
        calibration: SHA-256 of the INT8 calibration inputs; "" for other precisions.
        projection: consistency projection of the graph; None for a detector.
        engine: device and software that the compiled engine was built for; None without an engine.
        format: version of this layout.
    """

    name: str
    io_spec: IOSpec
    precision: Precision
    network: str
    config: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    parity: dict[str, float] = field(default_factory=dict)
    evaluations: tuple[Evaluation, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    limitations: tuple[str, ...] = ()
    build_versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    calibration: str = ""
    projection: Projection | None = None
    engine: EngineInfo | None = None
    format: int = FORMAT

    @property
    def fingerprint(self) -> str:
        """Short hash of the hashes of all files."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """The text of ``card.json``."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"


def with_evaluation(card: Card, evaluation: Evaluation) -> Card:
    """Add an evaluation; one of the same dataset, degradation and precision is replaced."""
    by_key = {one.key: one for one in card.evaluations} | {evaluation.key: evaluation}
    return replace(card, evaluations=tuple(by_key.values()))


def with_metrics(card: Card, evaluation: Evaluation) -> Card:
    """Add the metrics of an evaluation to those of the same dataset, degradation and precision, if there are any."""
    metrics = find_metrics(card, evaluation) | evaluation.metrics
    return with_evaluation(card, replace(evaluation, metrics=metrics))


def find_metrics(card: Card, evaluation: Evaluation) -> dict[str, Any]:
    """Metrics on the card for the dataset, degradation and precision of `evaluation`; empty if there are none."""
    return next((one.metrics for one in card.evaluations if one.key == evaluation.key), {})


def evaluation_from_title(title: str, precision: str, metrics: dict[str, Any]) -> Evaluation:
    """Make an evaluation from the printed name of a dataset.

    Args:
        title: e.g. "127 faces of test", "127 faces of test, camera" or "272 pictures of detect".
        precision: of the network.
        metrics: see `Evaluation`; a "precision" and a face count equal to the one in the title are dropped.
    """
    return Evaluation(**card_format_1.evaluation(title, {**metrics, "precision": precision}))


_FIELD_TYPES: dict[str, type] = {
    **dict.fromkeys(("name", "network", "licence", "calibration"), str),
    **dict.fromkeys(("config", "files", "parity", "training", "build_versions"), dict),
    **dict.fromkeys(("limitations", "notes"), tuple),
}


def card_from_json(text: str, path: str = "card.json") -> Card:
    """Read a card of format 1 or 2; `path` is for the error message.

    Raises:
        BundleError: not a card, or one of an unknown format.
    """
    try:
        values = parse_json(text)
        version = values["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BundleError(f"{path} is not a card; rebuild the bundle: facesr-edge build") from None
    if version not in (1, FORMAT) or isinstance(version, bool):
        raise BundleError(
            f"{path} has card format {version}, this release reads 1 and {FORMAT}; upgrade facesr-edge or rebuild"
        )
    try:
        if version == 1:
            return _card_from_dict(card_format_1.converted(values))
        _check_fields(values)
        return _card_from_dict(values)
    except NewerCardError as error:
        raise BundleError(f"{path} {error}") from None
    except (TypeError, KeyError, AttributeError, BundleError) as error:
        raise BundleError(
            f"{path} is invalid ({error}); rebuild the bundle: facesr-edge build, or upgrade facesr-edge if a newer "
            "version made it"
        ) from None


def _card_from_dict(values: dict[str, Any]) -> Card:
    values = {"projection": None, **values}  # absent from earlier cards
    values = {f.name: _tuples(values[f.name]) for f in fields(Card)}
    values["io_spec"] = IOSpec(**{key: _tuples(value) for key, value in values["io_spec"].items()})
    values["evaluations"] = tuple(Evaluation(**one) for one in values["evaluations"])
    values["engine"] = EngineInfo(**values["engine"]) if values["engine"] else None
    values["projection"] = _projection(values)
    card = Card(**{**values, "format": FORMAT})
    wrong = [name for name, kind in _FIELD_TYPES.items() if not isinstance(getattr(card, name), kind)]
    wrong += [] if card.precision in PRECISIONS else ["precision"]
    for name in () if wrong else ("files", "build_versions", "limitations", "notes"):
        values = getattr(card, name)
        texts = values.values() if isinstance(values, dict) else values
        wrong += [] if all(isinstance(text, str) for text in texts) else [name]
    if wrong:
        raise BundleError(f"wrong type or value of {', '.join(wrong)}")
    return card


def _projection(values: dict[str, Any]) -> Projection | None:
    """The projection on a card; that of the training, as graphs always had it, on a card without."""
    if values["projection"] is not None:
        return Projection(**values["projection"])
    return default_projection(values["training"]) if values["io_spec"].task == "super-resolution" else None


def _check_fields(values: dict[str, Any]) -> None:
    """Raise an error if a card has fields that this release would ignore."""
    parts = ((values, Card), (values["io_spec"], IOSpec), (values["engine"] or {}, EngineInfo))
    for part, kind in (*parts, (values.get("projection") or {}, Projection)):
        _check_known(part, kind)
    for evaluation in values["evaluations"]:
        _check_known(evaluation, Evaluation)


def _check_known(values: dict[str, Any], kind: type[Any]) -> None:
    if name := newer_field(values, kind):
        raise NewerCardError(f"has the field '{name}', made by a newer version; upgrade facesr-edge")


class NewerCardError(BundleError):
    """A card with fields that this release does not know."""


def _tuples(value: Any) -> Any:
    """A list as a tuple, its lists too; other values unchanged."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value

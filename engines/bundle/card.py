"""What is known of a bundle: contract, precision, hashes, parity, quality, training, licence, limits."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from ..errors import BundleError
from .engine_info import EngineInfo
from .io_spec import IOSpec

FORMAT = 1
"""Version of the card's layout; a card of a newer one is refused."""

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS = get_args(Precision)


@dataclass(frozen=True)
class Card:
    """The sidecar of a bundle, ``card.json``.

    Args:
        name: e.g. "idrn-x4".
        contract: shapes in and out.
        precision: of the arithmetic between the uint8 pixels.
        network: key of the network registry.
        config: keyword arguments of the network.
        files: name -> SHA-256 of every other file of the bundle.
        parity: how far each conversion step departs from the one before, measured on real faces.
        quality: metrics on held-out faces, with the protocol.
        training: data, recipe, steps.
        licence: of the weights.
        limits: what it must not be trusted with, in words.
        made_with: package -> version at build.
        notes: what the build had to say, e.g. that the engine is still to be compiled on the device.
        calibration: SHA-256 of what INT8 was calibrated on; "" for other precisions.
        engine: what the compiled engine beside the graph was made for; none where there is none.
        format: version of this layout.
    """

    name: str
    io_spec: IOSpec
    precision: Precision
    network: str
    config: dict[str, Any]
    files: dict[str, str] = field(default_factory=dict)
    parity: dict[str, float] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    limits: tuple[str, ...] = ()
    build_versions: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    calibration: str = ""
    engine: EngineInfo | None = None
    format: int = FORMAT

    def to_json(self) -> str:
        """The text of ``card.json``."""
        return json.dumps(asdict(self), indent=2, allow_nan=False) + "\n"


_LATER = {"calibration": ""}
"""What cards of format 1 did not have from the beginning -> what its absence means."""
_KINDS: dict[str, type] = {
    **dict.fromkeys(("name", "network", "licence", "calibration"), str),
    **dict.fromkeys(("config", "files", "parity", "quality", "training", "made_with"), dict),
    **dict.fromkeys(("limits", "notes"), tuple),
}
"""Field -> what it must be, in a card that was read."""


def card_from_json(text: str, where: str = "card.json") -> Card:
    """Read a card.

    Args:
        text: the content of ``card.json``.
        where: its path, for the error.

    Raises:
        BundleError: not a card, or one of a newer format.
    """
    try:
        values = json.loads(text)
        version = values["format"]
    except (ValueError, KeyError, TypeError):
        raise BundleError(f"{where} is not a card; build the bundle again: facesr-edge build") from None
    if version != FORMAT:
        raise BundleError(
            f"{where} has card format {version}, this release reads {FORMAT}; upgrade facesr-edge or rebuild"
        )
    try:
        io_spec: dict[str, Any] = {key: _frozen(value) for key, value in values.pop("contract").items()}
        if "size_hw" in io_spec:  # what it was called while there could be but one
            size = io_spec.pop("size_hw")
            io_spec["sizes_hw"] = (size,) if size else ()
        made_for = values.pop("engine", None)
        plain = [f.name for f in fields(Card) if f.name not in ("contract", "engine")]
        rest: dict[str, Any] = {name: _frozen({**_LATER, **values}[name]) for name in plain}
        card = Card(io_spec=IOSpec(**io_spec), engine=EngineInfo(**made_for) if made_for else None, **rest)
    except (TypeError, KeyError, AttributeError, BundleError) as error:
        raise BundleError(f"{where} is incomplete ({error}); build the bundle again: facesr-edge build") from None
    odd = sorted(name for name, kind in _KINDS.items() if not isinstance(getattr(card, name), kind))
    if odd or card.precision not in PRECISIONS or not all(isinstance(digest, str) for digest in card.files.values()):
        raise BundleError(
            f"{where} says what no card says, look at {', '.join(odd) or 'precision and files'}; "
            "build the bundle again: facesr-edge build"
        )
    return card


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value

"""What is to be built, from what the user said: which network, which configuration, which weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engines.bundle import WEIGHTS, open_bundle
from ..engines.card import Card
from ..engines.errors import BuildError, UnknownNameError, UsageError
from ..networks import NETWORKS
from ..zoo import catalogue
from .checkpoint import Weights, read_weights

DEFAULTS: dict[str, dict[str, Any]] = {"idrn": {"depth": 8, "width": 64, "scale": 4, "bicubic_skip": True}}
"""What is built where nothing else is said."""


@dataclass(frozen=True)
class Blueprint:
    """What to build.

    Args:
        name: of the bundle, e.g. "idrn-x4".
        network: key of the network registry.
        config: its keyword arguments.
        weights: file of the weights.
        known: the card of the zoo's weights, for the quality that was measured before.
    """

    name: str
    network: str
    config: dict[str, Any]
    weights: Path
    known: Card | None = None


def blueprint(model: str, weights: Path | None = None, **options: int | None) -> Blueprint:
    """Find out what to build.

    Args:
        model: a network ("idrn") or a model of the zoo ("idrn-x4").
        weights: file of trained weights; without it, those of the zoo.
        options: scale, depth, width; none for the network's own.

    Raises:
        UnknownNameError: no network or model of that name.
        UsageError: an option that the network has not, or that contradicts the model or the file.
        InputError: the weights cannot be read.
        BuildError: there are no weights for this configuration, or the file's are of another one.
    """
    wanted = {key: value for key, value in options.items() if value is not None}
    if model in catalogue.names() and (weights is None or model not in NETWORKS):
        card = open_bundle(catalogue.FOLDER / model).card
        _agree(wanted, card.config, f"model {model}")
        if weights is None:
            return Blueprint(model, card.network, card.config, catalogue.FOLDER / model / WEIGHTS, card)
        _fit(weights, read_weights(weights), card.network, card.config)
        return Blueprint(model, card.network, card.config, weights)
    if model not in NETWORKS:
        raise UnknownNameError("model", model, {*NETWORKS, *catalogue.names()})
    if weights is None:
        return _from_zoo(model, wanted)
    said = read_weights(weights)
    if said.config is not None:
        _agree(wanted, said.config, str(weights))
    config = {**DEFAULTS.get(model, {}), **(said.config or {}), **wanted}
    _fit(weights, said, model, config)
    return Blueprint(_name(model, config), model, config, weights)


def _from_zoo(network: str, wanted: dict[str, int]) -> Blueprint:
    config = {**DEFAULTS.get(network, {}), **wanted}
    cards = [open_bundle(catalogue.FOLDER / name).card for name in catalogue.names()]
    for card in cards:
        if card.network == network and {**card.config, **config} == card.config:
            return Blueprint(card.name, network, card.config, catalogue.FOLDER / card.name / WEIGHTS, card)
    trained = [card.name for card in cards if card.network == network]
    raise BuildError(
        f"no weights for {network} with {wanted} ship in the package (it has {', '.join(trained) or 'none'}); "
        f"train them: facesr-edge train --model {network}, then give --weights FILE"
    )


def _fit(weights: Path, said: Weights, network: str, config: dict[str, Any]) -> None:
    """Shapes alone would not tell: with and without the bicubic picture, the tensors are the same."""
    if said.network not in ("", network):
        raise BuildError(f"{weights} holds weights of {said.network}, not of {network}; say --model {said.network}")
    for key, value in (said.config or {}).items():
        if config.get(key) != value:
            raise BuildError(
                f"{weights} was trained with {key} {value}, not {config.get(key)}; say --model {network} to build it"
            )


def _agree(wanted: dict[str, int], config: dict[str, Any], whose: str) -> None:
    for key, value in wanted.items():
        if config.get(key) != value:
            has = f"has {key} {config[key]}" if key in config else f"has no {key}"
            raise UsageError(f"{whose} {has}, not {value}; leave --{key} out or choose another model")


def _name(network: str, config: dict[str, Any]) -> str:
    return f"{network}-x{config['scale']}" if "scale" in config else network

"""What is to be built, from what the user said: which network, which configuration, which weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engines.bundle.bundle import WEIGHTS, open_bundle
from ..engines.bundle.card import Card
from ..engines.errors import BuildError, UnknownNameError, UsageError
from ..networks import NETWORKS, defaults
from ..networks.weights import Weights, read_weights
from ..zoo import catalogue


@dataclass(frozen=True)
class BuildSpec:
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


def build_spec(model: str, weights: Path | None = None, name: str | None = None, /, **options: int | None) -> BuildSpec:
    """Find out what to build.

    Args:
        model: a network ("idrn") or a model of the zoo ("idrn-x4").
        weights: file of trained weights; without it, those of the zoo.
        name: what to call the bundle; none for the model's name, or the network's with its scale.
        options: scale, depth, width, and whatever else the network's class takes; none for the network's own.

    Raises:
        UnknownNameError: no network or model of that name.
        UsageError: an option that the network has not, or that contradicts the model or the file.
        InputError: the weights cannot be read.
        BuildError: there are no weights for this configuration, or the file's are of another one.
    """
    wanted = {key: value for key, value in options.items() if value is not None}
    if model in catalogue.names() and (weights is None or model not in NETWORKS):
        card = open_bundle(catalogue.FOLDER / model).card
        _agree(wanted, card.config, card.training, f"model {model}")
        if weights is None:
            return _of_the_zoo(card, wanted, name)
        _fit(weights, read_weights(weights), card.network, card.config)
        return BuildSpec(name or model, card.network, card.config, weights)
    if model not in NETWORKS:
        raise UnknownNameError("model", model, {*NETWORKS, *catalogue.names()})
    _known(model, wanted)
    if weights is None:
        return _found(model, wanted, name)
    said = read_weights(weights)
    if said.config is not None:
        _agree(wanted, said.config, said.origin.training, str(weights))
    config = _typed(model, {**defaults(model), **(said.config or {}), **wanted})
    _fit(weights, said, model, config)
    return BuildSpec(name or _name(model, config), model, config, weights)


def merge_options(sizes: Mapping[str, int | None], more: Mapping[str, int]) -> dict[str, int | None]:
    """A network's options: those with a name of their own, and those that were set.

    Raises:
        UsageError: one was given twice.
    """
    given = {key for key, value in sizes.items() if value is not None}
    if twice := given & more.keys():
        raise UsageError(f"{', '.join(sorted(twice))} is given twice, by an option and by --set; leave one out")
    return {**sizes, **more}


def _found(network: str, wanted: dict[str, int], name: str | None) -> BuildSpec:
    """The zoo's weights that fit best what was asked: of the usual size, and for clean pictures."""
    cards = [open_bundle(catalogue.FOLDER / name).card for name in catalogue.names()]
    cards = [card for card in cards if card.network == network]
    fitting = [card for card in cards if all(_has(card.config, card.training, *each) for each in wanted.items())]
    if not fitting:
        trained = ", ".join(card.name for card in cards) or "none"
        raise BuildError(
            f"no weights for {network} with {wanted} ship in the package (it has {trained}); "
            f"train them: facesr-edge train --model {network}, then give --weights FILE"
        )
    usual = {**defaults(network), **wanted}

    def oddity(card: Card) -> tuple[int, bool]:
        departs = sum(card.config.get(key) != value for key, value in usual.items())
        return departs, card.training.get("degradation", "bicubic") != "bicubic"

    return _of_the_zoo(min(fitting, key=oddity), wanted, name)


def _of_the_zoo(card: Card, wanted: dict[str, int], name: str | None) -> BuildSpec:
    weights = catalogue.FOLDER / card.name / WEIGHTS
    if wanted.get("scale", card.config.get("scale")) == card.config.get("scale"):
        return BuildSpec(name or card.name, card.network, card.config, weights, card)
    config = {**card.config, "scale": wanted["scale"]}
    return BuildSpec(name or _name(card.network, config), card.network, config, weights)


def _known(network: str, wanted: dict[str, int]) -> None:
    own = defaults(network)
    for key in wanted:
        if key not in own:
            raise UsageError(f"{network} has no {key}, it has {', '.join(own)}; leave {_spelt(key)} out")


def _typed(network: str, config: dict[str, Any]) -> dict[str, Any]:
    """Switches are given as 0 and 1."""
    own = defaults(network)
    return {key: bool(value) if isinstance(own.get(key), bool) else value for key, value in config.items()}


def _has(config: dict[str, Any], training: dict[str, Any], key: str, value: int) -> bool:
    """Whether weights are good for an option: of their own configuration, or of the scales they were trained for."""
    return bool(config.get(key) == value or (key == "scale" and value in training.get("scales", ())))


def _fit(weights: Path, said: Weights, network: str, config: dict[str, Any]) -> None:
    """Shapes alone would not tell: with and without the bicubic picture, the tensors are the same."""
    if said.network not in ("", network):
        raise BuildError(f"{weights} holds weights of {said.network}, not of {network}; say --model {said.network}")
    for key, value in (said.config or {}).items():
        if not _has({key: value}, said.origin.training, key, config.get(key, value)):
            raise BuildError(
                f"{weights} was trained with {key} {value}, not {config.get(key)}; say --model {network} to build it"
            )


def _agree(wanted: dict[str, int], config: dict[str, Any], training: dict[str, Any], whose: str) -> None:
    for key, value in wanted.items():
        if not _has(config, training, key, value):
            has = f"has {key} {config[key]}" if key in config else f"has no {key}"
            raise UsageError(f"{whose} {has}, not {value}; leave {_spelt(key)} out or choose another model")


def _spelt(key: str) -> str:
    return f"--{key}" if key in ("scale", "depth", "width") else f"--set {key}"


def _name(network: str, config: dict[str, Any]) -> str:
    return f"{network}-x{config['scale']}" if "scale" in config else network

"""Build specification: network, configuration and weights, resolved from a model name and options."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..engines.bundle.bundle import WEIGHTS, open_bundle, read_card
from ..engines.bundle.card import Card
from ..engines.bundle.io_spec import FRAMES, IOSpec, super_resolution
from ..engines.errors import BuildError, UnknownNameError, UsageError
from ..networks import NETWORKS, defaults, network_class
from ..networks.edge.track import EdgeTrack
from ..networks.fit import check_config
from ..networks.msrnet.network import REFERENCES, MSRNet
from ..networks.weights import Weights, read_weights
from ..zoo import catalogue


@dataclass(frozen=True)
class BuildSpec:
    """What to build.

    Args:
        name: of the bundle, e.g. "idrn-x4".
        network, config: key of the network registry, and keyword arguments of the network.
        weights: weights file.
        zoo_card: card of the zoo model that the weights belong to, for its earlier evaluations; None for other weights.
    """

    name: str
    network: str
    config: dict[str, Any]
    weights: Path
    zoo_card: Card | None = None

    @property
    def io_spec(self) -> IOSpec:
        """Input and output specification of the network."""
        return io_spec_of(self.network, self.config)


def io_spec_of(name: str, config: Mapping[str, Any]) -> IOSpec:
    """Input and output specification of a network: key of the network registry, and its keyword arguments."""
    if name == "detector":
        return IOSpec("face-detection", multiple=32)
    network, config = network_class(name), {**defaults(name), **config}
    scale, max_crop = int(config["scale"]), getattr(network, "max_crop", sys.maxsize)
    if "side" in config:
        return super_resolution(scale, (int(config["side"]),), REFERENCES if issubclass(network, MSRNet) else 0)
    crop_sizes = tuple(size for size in super_resolution(scale).crop_sizes if size <= max_crop)
    return super_resolution(scale, crop_sizes, frames=FRAMES if issubclass(network, EdgeTrack) else 1)


def resolve(model: str, weights: Path | None = None, name: str | None = None, /, **config: int | None) -> BuildSpec:
    """Resolve a model name and options to a build specification.

    Args:
        model: a network ("idrn") or a zoo model ("idrn-x4").
        weights: weights file; None for the weights of the zoo.
        name: of the bundle; None for the zoo model's name, or the network's name and scale.
        config: scale, depth, width and other keyword arguments of the network; None for the default.

    Raises:
        UnknownNameError: no network or zoo model of that name.
        UsageError: an option that the network does not have, or that contradicts the model or the weights.
        InputError: the weights cannot be read.
        BuildError: no weights for this configuration, or the weights have another configuration.
    """
    requested = {key: value for key, value in config.items() if value is not None}
    if model in catalogue.built() and (weights is None or model not in NETWORKS):
        card = open_bundle(catalogue.FOLDER / model).card
        _check_config(requested, card.config, card.training, f"model {model}")
        if weights is None:
            return _zoo_spec(card, requested, name)
        _check_weights(weights, read_weights(weights), card.network, card.config)
        return BuildSpec(name or model, card.network, card.config, weights)
    if model not in NETWORKS:
        raise UnknownNameError("model", model, {*NETWORKS, *catalogue.built()})
    _check_options(model, requested)
    if weights is None:
        return _zoo_spec(_closest_zoo_card(model, requested), requested, name)
    stored = read_weights(weights)
    if stored.config is not None:
        _check_config(requested, stored.config, stored.origin.training, str(weights))
    full = _with_bools(model, {**defaults(model), **(stored.config or {}), **requested})
    _check_weights(weights, stored, model, full)
    check_config(model, full)
    return BuildSpec(name or _default_name(model, full), model, full, weights)


def merge_options(sizes: Mapping[str, int | None], more: Mapping[str, int]) -> dict[str, int | None]:
    """Merge the options --scale, --depth and --width with those of --set.

    Raises:
        UsageError: an option is given twice.
    """
    given = {key for key, value in sizes.items() if value is not None}
    if duplicates := given & more.keys():
        raise UsageError(f"{', '.join(sorted(duplicates))} is given twice, as an option and with --set; remove one")
    return {**sizes, **more}


def _closest_zoo_card(network: str, requested: dict[str, int]) -> Card:
    """Zoo model that matches the requested options and is closest to the defaults, bicubic degradation preferred."""
    cards = [read_card(catalogue.FOLDER / name) for name in catalogue.built()]
    cards = [card for card in cards if card.network == network]
    matches = [card for card in cards if all(_supports(card.config, card.training, *one) for one in requested.items())]
    if not matches:
        trained = ", ".join(card.name for card in cards) or "none"
        raise BuildError(
            f"the zoo has no weights for {network} with {requested} (available: {trained}); "
            f"train them: facesr-edge train --model {network}, then give --weights FILE"
        )
    expected = {**defaults(network), **requested}

    def distance(card: Card) -> tuple[int, bool]:
        differences = sum(card.config.get(key) != value for key, value in expected.items())
        return differences, card.training.get("degradation", "bicubic") != "bicubic"

    return open_bundle(catalogue.FOLDER / min(matches, key=distance).name).card


def _zoo_spec(card: Card, requested: dict[str, int], name: str | None) -> BuildSpec:
    weights = catalogue.FOLDER / card.name / WEIGHTS
    if requested.get("scale", card.config.get("scale")) == card.config.get("scale"):
        return BuildSpec(name or card.name, card.network, card.config, weights, card)
    config = {**card.config, "scale": requested["scale"]}
    return BuildSpec(name or _default_name(card.network, config), card.network, config, weights)


def _check_options(network: str, requested: dict[str, int]) -> None:
    known = defaults(network)
    for key in requested:
        if key not in known:
            raise UsageError(f"{network} has no option {key}, only {', '.join(known)}; remove {_flag(key)}")


def _with_bools(network: str, config: dict[str, Any]) -> dict[str, Any]:
    """Convert 0 and 1 of boolean options, as the command line gives them, to bool."""
    known = defaults(network)
    return {key: bool(value) if isinstance(known.get(key), bool) else value for key, value in config.items()}


def _supports(config: dict[str, Any], training: dict[str, Any], key: str, value: int) -> bool:
    """Whether weights support an option: their own configuration, or one of the scales they were trained for."""
    return bool(config.get(key) == value or (key == "scale" and value in training.get("scales", ())))


def _check_weights(path: Path, stored: Weights, network: str, config: dict[str, Any]) -> None:
    """Compare configurations, as tensor shapes are not enough: they are equal with and without the bicubic skip."""
    if stored.network not in ("", network):
        raise BuildError(f"{path} holds weights of {stored.network}, not of {network}; use --model {stored.network}")
    for key, value in (stored.config or {}).items():
        if not _supports({key: value}, stored.origin.training, key, config.get(key, value)):
            raise BuildError(
                f"{path} was trained with {key} {value}, not {config.get(key)}; build it with --model {network}"
            )


def _check_config(requested: dict[str, int], config: dict[str, Any], training: dict[str, Any], source: str) -> None:
    for key, value in requested.items():
        if not _supports(config, training, key, value):
            actual = f"has {key} {config[key]}" if key in config else f"has no {key}"
            raise UsageError(f"{source} {actual}, not {value}; remove {_flag(key)} or choose another model")


def _flag(key: str) -> str:
    return f"--{key}" if key in ("scale", "depth", "width") else f"--set {key}"


def _default_name(network: str, config: dict[str, Any]) -> str:
    return f"{network}-x{config['scale']}" if "scale" in config else network

"""Networks, one file or folder per paper. Importing the registry does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from ..engines.errors import UnknownNameError

if TYPE_CHECKING:
    from torch import nn

NETWORKS: dict[str, str] = {
    "crl": "crl:CRL",
    "edge": "edge.network:Edge",
    "edge-track": "edge.track:EdgeTrack",
    "idrn": "idrn:IDRN",
    "mffcn": "mffcn:MFFCN",
    "msrnet": "msrnet.network:MSRNet",
    "sisn": "sisn:SISN",
    "srcnn": "srcnn:SRCNN",
    "srresnet": "srresnet:SRResNet",
    "vdsr": "vdsr:VDSR",
    "detector": "detector:Detector",
}
"""Network name -> ``module:class`` below this package."""
_RENAMED_OPTIONS = {"seeing": "global_channels"}
"""Configuration keys of older weights files and cards -> today's."""


def network_class(name: str) -> type[nn.Module]:
    """The class of a network; its signature has the defaults of the configuration.

    Raises:
        UnknownNameError: unknown network.
    """
    if name not in NETWORKS:
        raise UnknownNameError("network", name, NETWORKS)
    module, _, class_name = NETWORKS[name].partition(":")
    cls: type[nn.Module] = getattr(import_module(f".{module}", __name__), class_name)
    return cls


def defaults(name: str) -> dict[str, Any]:
    """Default configuration of a network.

    Raises:
        UnknownNameError: unknown network.
    """
    parameters = signature(network_class(name)).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not Parameter.empty}


def current_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the keys of older weights files and cards renamed to today's."""
    return {_RENAMED_OPTIONS.get(key, key): value for key, value in config.items()}


def build_network(name: str, config: Mapping[str, Any]) -> nn.Module:
    """Build a network with random weights.

    Args:
        name: key of `NETWORKS`.
        config: keyword arguments of the network's class, e.g. ``{"depth": 8, "width": 64, "scale": 4}``.

    Returns:
        The network in training mode, FP32, on the CPU.

    Raises:
        UnknownNameError: unknown network.
    """
    return network_class(name)(**current_config(config))

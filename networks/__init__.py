"""One paper, one file. The registry names them; torch is imported only when a network is built."""

from __future__ import annotations

from importlib import import_module
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any

from ..engines.errors import UnknownNameError

if TYPE_CHECKING:
    from torch import nn

NETWORKS: dict[str, str] = {
    "crl": "crl:CRL",
    "edge": "edge.network:Edge",
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


def network_class(name: str) -> type[nn.Module]:
    """The class of a network; its signature has the defaults of the configuration.

    Raises:
        UnknownNameError: there is no network of that name.
    """
    if name not in NETWORKS:
        raise UnknownNameError("network", name, NETWORKS)
    module, _, cls = NETWORKS[name].partition(":")
    found: type[nn.Module] = getattr(import_module(f".{module}", __name__), cls)
    return found


def defaults(name: str) -> dict[str, Any]:
    """The configuration that a network has where nothing is said.

    Raises:
        UnknownNameError: there is no network of that name.
    """
    known = signature(network_class(name)).parameters.values()
    return {parameter.name: parameter.default for parameter in known if parameter.default is not Parameter.empty}


def build_network(name: str, config: dict[str, Any]) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: a key of `NETWORKS`.
        config: keyword arguments of the network's class, e.g. ``{"depth": 8, "width": 64, "scale": 4}``.

    Returns:
        The network in training mode, FP32, on the CPU.

    Raises:
        UnknownNameError: there is no network of that name.
    """
    return network_class(name)(**config)

"""One paper, one file. The registry names them; torch is imported only when a network is built."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..engines.errors import UnknownNameError

if TYPE_CHECKING:
    from torch import nn

NETWORKS: dict[str, str] = {
    "crl": "crl:CRL",
    "idrn": "idrn:IDRN",
    "mffcn": "mffcn:MFFCN",
    "sisn": "sisn:SISN",
    "srcnn": "srcnn:SRCNN",
    "srresnet": "srresnet:SRResNet",
    "vdsr": "vdsr:VDSR",
    "detector": "detector:Detector",
}
"""Network name -> ``module:class`` below this package."""


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
    if name not in NETWORKS:
        raise UnknownNameError("network", name, NETWORKS)
    module, _, cls = NETWORKS[name].partition(":")
    network: nn.Module = getattr(import_module(f".{module}", __name__), cls)(**config)
    return network

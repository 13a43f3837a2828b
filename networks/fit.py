"""Whether weights fit a network, found without building it, and the network that they fit."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from ..engines.errors import BuildError
from . import NETWORKS, build_network, current_config, defaults
from .detector import with_landmark_heads

MAX_OPTION = 1 << 16
"""Limit of a network's options."""
ANY_SCALE = ("mffcn", "srcnn", "vdsr")
"""Networks whose weights have the same shapes at every scale."""
Shapes = Mapping[str, tuple[int, ...]]


class _TooManyError(Exception):
    """A network has more parameters than the weights."""


def check_config(name: str, config: Mapping[str, Any]) -> None:
    """Check the names and types of a network's options, which may come from a file.

    Raises:
        BuildError: an option is unknown or has a value of another type than its default.
    """
    known = defaults(name)
    for key, value in current_config(config).items():
        if key not in known:
            raise BuildError(f"{name} has no option {key}; upgrade facesr-edge if a newer version made the weights")
        if type(value) is not type(known[key]):
            raise BuildError(f"{key} of {name} must be {type(known[key]).__name__}, got {value!r}; correct the options")
        if value > MAX_OPTION:
            raise BuildError(f"{key} of {name} must be at most {MAX_OPTION}, got {value}; correct the options")


def check_fit(tensors: Mapping[str, Tensor], name: str, config: Mapping[str, Any]) -> None:
    """Check that weights fit a network. The network gets no memory, and no more layers than the weights have tensors.

    Args:
        tensors: parameter name -> values.
        name, config: key of the network registry, and keyword arguments of the network.

    Raises:
        BuildError: the network cannot be built, or the weights are of another one; the message names one that fits.
    """
    check_config(name, config)
    if name == "detector":
        tensors = with_landmark_heads(tensors)
    given = {key: tuple(value.shape) for key, value in tensors.items()}
    try:
        expected = _shapes(name, config, len(given))
    except _TooManyError:
        problem = f"they have only {len(given)} tensors"
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:  # beyond 64 bits: RuntimeError
        raise BuildError(f"{name} cannot be built with {_listed(config)}: {error}") from None
    else:
        keys = sorted(key for key in expected.keys() | given.keys() if expected.get(key) != given.get(key))
        if not keys:
            return
        of, instead = (shapes.get(keys[0], "missing") for shapes in (given, expected))
        problem = f"{len(keys)} tensors differ, e.g. {keys[0]} is {of}, expected {instead}"
    raise BuildError(f"the weights do not fit {name} with {_listed(config)}: {problem}; {_advice(tensors)}")


def fitting_network(tensors: Mapping[str, Tensor]) -> tuple[str, dict[str, Any]] | None:
    """Network and options that weights fit, as far as the shapes of the tensors tell them; None if there is none."""
    for name in NETWORKS:
        converted = with_landmark_heads(tensors) if name == "detector" else tensors
        shapes = {key: tuple(value.shape) for key, value in converted.items()}
        config = _OPTIONS[name](shapes) if name in _OPTIONS else {}
        try:
            if _shapes(name, config, len(shapes)) == shapes:
                return name, config
        except (_TooManyError, ValueError, TypeError, RuntimeError, OverflowError):
            continue
    return None


def _advice(tensors: Mapping[str, Tensor]) -> str:
    fitting = fitting_network(tensors)
    if fitting is None:
        return f"they fit no network of this package ({', '.join(NETWORKS)})"
    name, config = fitting
    options = (f"--{k} {v}" if k in ("scale", "depth", "width") else f"--set {k}={int(v)}" for k, v in config.items())
    scale = "" if name not in ANY_SCALE else " --scale N, the scale that they were trained for"
    return f"they fit {name} with {_listed(config)}: {' '.join(('--model', name, *options))}{scale}"


def _listed(config: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in config.items()) or "the default options"


def _shapes(name: str, config: Mapping[str, Any], max_parameters: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of a network's tensors, from the meta device, whose tensors have no memory."""
    thread, registered = get_ident(), 0

    def count(module: nn.Module, key: str, parameter: nn.Parameter) -> None:
        nonlocal registered
        registered += get_ident() == thread  # the hook is called for the networks of all threads
        if registered > max_parameters:
            raise _TooManyError

    hook = register_module_parameter_registration_hook(count)
    try:
        with torch.device("meta"):
            return {key: tuple(value.shape) for key, value in build_network(name, config).state_dict().items()}
    finally:
        hook.remove()


def _count(shapes: Shapes, pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in shapes)


def _channels(shapes: Shapes, key: str, axis: int = 0) -> int:
    """Output (axis 0) or input (axis 1) channels of a convolution; 0 if there is none of that name."""
    shape = shapes.get(key, ())
    return shape[axis] if len(shape) == 4 else 0


def _scale(shapes: Shapes) -> int:
    steps = [key for key in shapes if re.fullmatch(r"upsampling\.\d+\.weight", key) and _channels(shapes, key, 1)]
    return math.prod(math.isqrt(_channels(shapes, key) // _channels(shapes, key, 1)) for key in steps)


def _residual(head: str, unit: str) -> Callable[[Shapes], dict[str, Any]]:
    """Options of a network of equal units between a head and sub-pixel steps."""
    return lambda shapes: {
        "depth": _count(shapes, unit),
        "width": _channels(shapes, head),
        "scale": _scale(shapes),
    }


def _groups(shapes: Shapes) -> dict[str, Any]:
    groups = _count(shapes, r"groups\.\d+\.gather\.weight")
    blocks = _count(shapes, r"groups\.0\.texture\.\d+\.convolution\.weight")
    return {"groups": groups, "blocks": blocks, "width": _channels(shapes, "head.weight"), "scale": _scale(shapes)}


def _edge(shapes: Shapes) -> dict[str, Any]:
    branches = "body.0.square.weight" in shapes
    return {
        "width": _channels(shapes, "head.weight"),
        "depth": _count(shapes, r"body\.\d+\.square\.weight" if branches else r"body\.\d+\.weight"),
        "scale": math.isqrt(_channels(shapes, "tail.weight") // 3),
        "branches": branches,
    }


_OPTIONS: dict[str, Callable[[Shapes], dict[str, Any]]] = {
    "crl": _residual("head.weight", r"blocks\.\d+\.first\.weight"),
    "edge": _edge,
    "edge-track": _edge,
    "idrn": _residual("head.weight", r"units\.\d+\.first\.weight"),
    "mffcn": lambda shapes: {"width": _channels(shapes, "tail.weight", 1)},
    "sisn": _groups,
    "srresnet": _residual("head.0.weight", r"blocks\.\d+\.body\.0\.weight"),
    "vdsr": lambda shapes: {
        "depth": _count(shapes, r"body\.\d+\.weight"),
        "width": _channels(shapes, "body.0.weight"),
    },
    "detector": lambda shapes: {
        "width": _channels(shapes, "stages.0.0.mix.weight"),
        "landmark_width": _channels(shapes, "landmark_branch.stages.0.0.mix.weight"),
    },
}
"""Network -> its options from the shapes of its tensors; without an entry, the default options."""

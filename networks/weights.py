"""Weights in and out: safetensors, and PyTorch files that hold nothing but tensors."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..engines.errors import BuildError, InputError
from ..networks import build_network

PICKLES = (".pth", ".pt")


@dataclass(frozen=True)
class Provenance:
    """Where weights come from; it travels in their file and goes to the card.

    Args:
        training: data, recipe, scores.
        licence: of the weights.
        limits: what they must not be trusted with, in words.
    """

    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Weights:
    """Trained weights, and what their file says of the network they belong to.

    Args:
        tensors: parameter name -> values.
        network: key of the network registry; "" if the file does not say.
        config: the network's keyword arguments; none if the file does not say.
        origin: where they come from, as far as the file says.
    """

    tensors: dict[str, Tensor]
    network: str = ""
    config: dict[str, Any] | None = None
    origin: Provenance = Provenance()


def read_weights(path: Path) -> Weights:
    """Read weights without running any code that they may hold.

    Args:
        path: ``.safetensors``, or ``.pth``/``.pt`` holding a state dict, which is read with ``weights_only=True``.

    Raises:
        InputError: missing, damaged, or a pickle of more than tensors.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; give trained weights as .safetensors")
    if path.suffix in PICKLES:
        return Weights(_read_pickle(path))
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            said = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a safetensors file ({error}); convert the checkpoint to safetensors first"
        ) from None
    config = _told(path, said, "config") if "config" in said else None
    origin = _told(path, said, "origin") if "origin" in said else {}
    kinds = {"training": dict, "licence": str, "limits": list}
    if not all(isinstance(origin.get(key, kind()), kind) for key, kind in kinds.items()):
        raise InputError(f"{path} has an odd note of its origin; save its tensors again, without metadata")
    return Weights(
        tensors,
        said.get("network", ""),
        config,
        Provenance(origin.get("training", {}), origin.get("licence", ""), tuple(map(str, origin.get("limits", ())))),
    )


def _told(path: Path, said: dict[str, str], key: str) -> dict[str, Any]:
    """What a file says of its network or its origin; anybody may have written it."""
    try:
        value = json.loads(said[key], parse_constant=_refuse)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise InputError(f"{path} has an odd note of its {key}; save its tensors again, without metadata")
    return value


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the unpickler about odd files: they are refused below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage shows in any way: KeyError, IndexError, UnicodeDecodeError, ...
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{path} holds more than tensors, or is damaged ({reason}); save its state_dict as .safetensors"
        ) from None
    for key in ("params_ema", "params", "state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise InputError(f"{path} holds no state dict; save the network's state_dict as .safetensors")
    return state


def weights_bytes(
    network: nn.Module, name: str, config: dict[str, Any], origin: Provenance, dtype: torch.dtype = torch.float32
) -> bytes:
    """The content of a safetensors file with the network's weights, its name and configuration, and their origin.

    Args:
        network: whose.
        name: key of the network registry.
        config: its keyword arguments.
        origin: of the weights.
        dtype: that they are kept in.
    """
    from safetensors.torch import save

    said = {"network": name, "config": json.dumps(config), "origin": json.dumps(asdict(origin))}
    state = network.state_dict().items()
    tensors = {key: (v.to(dtype) if v.is_floating_point() else v).detach().contiguous() for key, v in state}
    return _in_order(bytes(save(tensors, metadata=said)))


def _in_order(content: bytes) -> bytes:
    """A safetensors file with its notes sorted: the library's order differs from call to call, and so would hashes."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def network_from(weights: Weights, name: str, config: dict[str, Any]) -> nn.Module:
    """Build a network and give it weights.

    Args:
        weights: as read.
        name: key of the network registry.
        config: its keyword arguments.

    Returns:
        The network in evaluation mode.

    Raises:
        BuildError: the weights belong to another network or configuration, or hold a value that is not finite.
    """
    try:
        network = build_network(name, config)
    except (ValueError, TypeError) as error:
        raise BuildError(f"{name} cannot be built with {config}: {error}") from None
    expected = network.state_dict()
    odd = [
        key for key in expected.keys() | weights.tensors.keys() if _shape(expected, key) != _shape(weights.tensors, key)
    ]
    if odd:
        key = sorted(odd)[0]
        raise BuildError(
            f"the weights do not fit {name} with {config}: {len(odd)} tensors differ, e.g. {key} is "
            f"{_shape(weights.tensors, key)}, expected {_shape(expected, key)}; check --depth, --width and --scale"
        )
    broken = [key for key, value in weights.tensors.items() if not torch.isfinite(value).all()]
    if broken:
        raise BuildError(f"the weights hold values that are not finite, e.g. in {sorted(broken)[0]}; train again")
    network.load_state_dict(weights.tensors)
    return network.eval()


def _shape(tensors: dict[str, Tensor], key: str) -> tuple[int, ...] | str:
    return tuple(tensors[key].shape) if key in tensors else "missing"

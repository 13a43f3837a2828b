"""Read and write trained weights: safetensors, and PyTorch files that contain only tensors."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..engines.bundle.card_format_1 import training
from ..engines.errors import BuildError, InputError, first_line
from ..engines.json_input import parse_json
from ..networks import build_network, current_config
from ..networks.detector import Detector, with_landmark_heads

PICKLES = (".pth", ".pt")


@dataclass(frozen=True)
class Provenance:
    """Origin of weights; stored in the metadata of their file and on the card of bundles built from them.

    Args:
        training: data, recipe, scores.
        licence: licence of the weights.
        limits: limitations of use, as sentences.
    """

    training: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Weights:
    """Trained weights and the metadata of their file.

    Args:
        tensors: parameter name -> values.
        network: key of the network registry; "" if unknown.
        config: keyword arguments of the network; None if unknown.
        origin: provenance, as far as the file has it.
    """

    tensors: dict[str, Tensor]
    network: str = ""
    config: dict[str, Any] | None = None
    origin: Provenance = Provenance()


def read_weights(path: Path) -> Weights:
    """Read weights without executing code that the file may contain.

    Args:
        path: ``.safetensors``, or ``.pth``/``.pt`` with a state dict, which is read with ``weights_only=True``.

    Raises:
        InputError: the file is missing, damaged, or a pickle of more than tensors.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; give trained weights as .safetensors")
    if path.suffix in PICKLES:
        return Weights(_read_pickle(path))
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a safetensors file ({error}); convert the checkpoint to safetensors first"
        ) from None
    config = current_config(_metadata_dict(path, metadata, "config")) if "config" in metadata else None
    origin = _metadata_dict(path, metadata, "origin") if "origin" in metadata else {}
    types = {"training": dict, "licence": str, "limits": list}
    if not all(isinstance(origin.get(key, cls()), cls) for key, cls in types.items()):
        raise _invalid_metadata(path, "origin")
    limits = tuple(map(str, origin.get("limits", ())))
    provenance = Provenance(training(origin.get("training", {})), origin.get("licence", ""), limits)
    return Weights(tensors, metadata.get("network", ""), config, provenance)


def _metadata_dict(path: Path, metadata: dict[str, str], key: str) -> dict[str, Any]:
    """Parse a JSON object of the metadata, which is untrusted input."""
    try:
        value = parse_json(metadata[key])
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise _invalid_metadata(path, key)
    return value


def _invalid_metadata(path: Path, key: str) -> InputError:
    return InputError(f"{path} has invalid metadata '{key}'; save its tensors again without metadata")


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of the unpickler about files that are rejected below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damage raises any type: KeyError, IndexError, UnicodeDecodeError, ...
        raise InputError(
            f"{path} contains more than tensors, or is damaged ({first_line(error)}); "
            "save its state_dict as .safetensors"
        ) from None
    for key in ("params_ema", "params", "state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise InputError(f"{path} contains no state dict; save the network's state_dict as .safetensors")
    return state


def weights_bytes(
    network: nn.Module, name: str, config: dict[str, Any], origin: Provenance, dtype: torch.dtype = torch.float32
) -> bytes:
    """Content of a safetensors file with the weights of a network, its name, configuration and provenance.

    Args:
        network: network to save.
        name: key of the network registry.
        config: keyword arguments of the network.
        origin: provenance of the weights.
        dtype: dtype of the floating-point tensors in the file.
    """
    from safetensors.torch import save

    metadata = {"network": name, "config": json.dumps(current_config(config)), "origin": json.dumps(asdict(origin))}
    state = network.state_dict().items()
    tensors = {key: (v.to(dtype) if v.is_floating_point() else v).detach().contiguous() for key, v in state}
    return _sort_metadata(bytes(save(tensors, metadata=metadata)))


def _sort_metadata(content: bytes) -> bytes:
    """Sort the metadata of a safetensors file: the library's order is random, and hashes must be reproducible."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def network_from(weights: Weights, name: str, config: dict[str, Any]) -> nn.Module:
    """Build a network with trained weights.

    Args:
        weights: result of `read_weights`.
        name: key of the network registry.
        config: keyword arguments of the network.

    Returns:
        The network in evaluation mode.

    Raises:
        BuildError: the weights are of another network or configuration, or are not finite.
    """
    try:
        network = build_network(name, config)
    except (ValueError, TypeError) as error:
        raise BuildError(f"{name} cannot be built with {config}: {error}") from None
    tensors = with_landmark_heads(weights.tensors) if isinstance(network, Detector) else weights.tensors
    expected = network.state_dict()
    keys = sorted(expected.keys() | tensors.keys())
    mismatches = [key for key in keys if _shape(expected, key) != _shape(tensors, key)]
    if mismatches:
        key = mismatches[0]
        raise BuildError(
            f"the weights do not fit {name} with {config}: {len(mismatches)} tensors differ, e.g. {key} is "
            f"{_shape(tensors, key)}, expected {_shape(expected, key)}; check --depth, --width and --scale"
        )
    not_finite = sorted(key for key, value in tensors.items() if not torch.isfinite(value).all())
    if not_finite:
        raise BuildError(f"the weights contain values that are not finite, e.g. in {not_finite[0]}; train again")
    network.load_state_dict(tensors)
    return network.eval()


def _shape(tensors: dict[str, Tensor], key: str) -> tuple[int, ...] | str:
    return tuple(tensors[key].shape) if key in tensors else "missing"

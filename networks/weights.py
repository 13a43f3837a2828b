"""Read and write trained weights: safetensors, and PyTorch files that contain only tensors."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..engines.bundle.bundle import WEIGHTS, Bundle
from ..engines.bundle.card_format_1 import training
from ..engines.errors import BuildError, InputError, first_line
from ..engines.files import read_regular
from ..engines.json_input import parse_json
from . import build_network, current_config
from .checkpoint import find_state_dict, unsupported, unwrapped
from .detector import Detector, with_landmark_heads
from .fit import check_fit

PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".tar")
MAX_BYTES = 8 << 30
"""Limit of the size of a safetensors file."""


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


def read_weights(path: Path, content: bytes | None = None) -> Weights:
    """Read weights without executing code that the file may contain.

    Args:
        path: ``.safetensors``; or ``.pth``, ``.pt``, ``.ckpt``, ``.bin`` or ``.tar`` with a state dict, see
            `find_state_dict`, which is read with ``weights_only=True``.
        content: of a safetensors file, if it was read before: `path` is then for messages only.

    Raises:
        InputError: the file is missing, damaged, a pickle of more than tensors, or has tensors that are not weights.
    """
    if content is None and not path.is_file():
        raise InputError(f"there is no file {path}; give trained weights as .safetensors")
    if content is None and path.suffix.lower() in PICKLES:
        return Weights(_checked(path, _read_pickle(path)))
    tensors, metadata = _read_safetensors(path, content)
    tensors = _checked(path, tensors)
    config = current_config(_metadata_dict(path, metadata, "config")) if "config" in metadata else None
    origin = _metadata_dict(path, metadata, "origin") if "origin" in metadata else {}
    types = {"training": dict, "licence": str, "limits": list}
    if not all(isinstance(origin.get(key, cls()), cls) for key, cls in types.items()):
        raise _invalid_metadata(path, "origin")
    limits = tuple(map(str, origin.get("limits", ())))
    provenance = Provenance(training(origin.get("training", {})), origin.get("licence", ""), limits)
    return Weights(tensors, metadata.get("network", ""), config, provenance)


def bundle_weights(bundle: Bundle) -> Weights:
    """The verified weights of a bundle, see `Bundle.read`."""
    return read_weights(bundle.folder / WEIGHTS, bundle.read(WEIGHTS))


def _read_safetensors(path: Path, content: bytes | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata; control characters of the metadata are escaped."""
    from safetensors.torch import load

    try:
        content = read_regular(path, MAX_BYTES) if content is None else content
        tensors = load(content)
        header = parse_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except Exception as error:  # types that torch does not know raise KeyError, AttributeError, ...
        raise InputError(
            f"{path} is not a safetensors file ({first_line(error)}); convert the checkpoint to safetensors first"
        ) from None
    return tensors, header.get("__metadata__", {})


def _checked(path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the network's names, see `unwrapped`; an InputError if one of them holds no weights."""
    tensors = unwrapped(tensors)
    if problem := unsupported(tensors):
        raise InputError(
            f"{path}: {problem}; expected dense tensors of float16, bfloat16, float32 or float64: convert them before "
            "they are saved"
        )
    return tensors


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
    tensors = find_state_dict(state)
    if tensors is None:
        raise InputError(f"{path} contains no state dict; save the network's state_dict as .safetensors")
    return tensors


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
    check_fit(weights.tensors, name, config)
    network = build_network(name, config)
    tensors = with_landmark_heads(weights.tensors) if isinstance(network, Detector) else weights.tensors
    network.load_state_dict(tensors)
    not_finite = sorted(key for key, value in network.state_dict().items() if not torch.isfinite(value).all())
    if not_finite:
        raise BuildError(f"the weights contain values that are not finite, e.g. in {not_finite[0]}; train again")
    return network.eval()

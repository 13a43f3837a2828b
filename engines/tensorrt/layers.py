"""Layers of a compiled engine as TensorRT reports them: how many kernels a call takes, and in which precisions."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

PRECISION_OF = {"int8": "int8", "fp16": "fp16", "half": "fp16", "bf16": "bf16", "bfloat16": "bf16", "fp8": "fp8"}
PRECISION_OF |= {"fp32": "fp32", "float": "fp32", "uint8": "uint8", "int32": "int32", "int64": "int64", "bool": "bool"}
"""Data type in TensorRT's texts, in lower case -> name."""
_TYPE = re.compile("|".join(rf"\b{name}\b" for name in PRECISION_OF), re.IGNORECASE)
_CONTROL = frozenset(("shape_call", "signal", "wait", "constant", "noop"))
"""Kinds of layers that launch no kernel."""
_WEIGHTED = re.compile("correlation|conv|gemm|matmul|matrixmultiply|runtime_fusion", re.IGNORECASE)
"""Kinds of convolutions and matrix products; a "runtime_fusion" is one with the operations around it."""
LOG_TITLE = "Layers:"
"""First line of the message in the verbose log that lists the layers of a new engine."""


@dataclass(frozen=True)
class EngineLayer:
    """One layer of an engine.

    Args:
        name: of the layer; for fused layers, the names of all.
        kind: TensorRT's type, e.g. "CaskConvolution", "correlation" or "kgen".
        precision: of its first input, e.g. "fp16"; "" if TensorRT does not tell.
    """

    name: str
    kind: str
    precision: str

    @property
    def is_kernel(self) -> bool:
        """Whether it launches a kernel; the others synchronize or compute shapes."""
        return self.kind.lower() not in _CONTROL

    @property
    def is_opaque(self) -> bool:
        """Whether it is a part of the network whose layers TensorRT does not tell."""
        return "foreignnode" in self.name.lower() or self.kind.lower() == "myelin"

    @property
    def has_weights(self) -> bool:
        """Whether it is a convolution or a matrix product, whose precision decides accuracy and speed."""
        return bool(_WEIGHTED.search(self.kind))


def layers_from_inspector(text: str) -> tuple[EngineLayer, ...]:
    """Read the JSON of the engine inspector; layers without details, and unknown texts, are left out."""
    try:
        listed = json.loads(text).get("Layers", [])
    except (ValueError, AttributeError):
        return ()
    return tuple(_layer_from_json(layer) for layer in listed if isinstance(layer, dict))


def layers_from_log(message: str) -> tuple[EngineLayer, ...]:
    """Read the message of the verbose log that begins with `LOG_TITLE`."""
    lines = re.findall(r"^Name: (.*?), LayerType: (\w+), Inputs: (\[.*?\]), Constants:", message, re.MULTILINE)
    return tuple(EngineLayer(name, kind, _precision(inputs)) for name, kind, inputs in lines)


def count_layers(layers: Iterable[EngineLayer]) -> dict[str, int]:
    """Count the kernels of a call, and its convolutions and matrix products by precision.

    Returns:
        E.g. {"kernels": 16, "fp16": 10, "fp32": 2}.
    """
    kernels = [layer for layer in layers if layer.is_kernel]
    precisions = Counter(layer.precision for layer in kernels if layer.has_weights and layer.precision)
    return {"kernels": len(kernels), **dict(sorted(precisions.items()))}


def layers_json(layers: dict[str, tuple[EngineLayer, ...]]) -> str:
    """The text of ``layers.json``: input size, e.g. "64x64" -> its layers."""
    return json.dumps({size: [asdict(layer) for layer in listed] for size, listed in layers.items()}, indent=1) + "\n"


def _layer_from_json(layer: dict[str, Any]) -> EngineLayer:
    inputs = layer.get("Inputs") or layer.get("Outputs") or []
    return EngineLayer(str(layer.get("Name", "")), str(layer.get("LayerType", "")), _precision(_formats(inputs)))


def _formats(tensors: Any) -> str:
    """The texts of the first tensor that may name its data type, e.g. "Channel major FP16 format"."""
    first = tensors[0] if isinstance(tensors, list) and tensors else {}
    return " ".join(str(first.get(key, "")) for key in ("Datatype", "Format/Datatype", "Format")) if first else ""


def _precision(text: str) -> str:
    """The first data type that a text names, e.g. "Datatype: Half"."""
    named = re.search(r"Datatype: (\w+)", text)
    match = _TYPE.search(named[1] if named else text)
    return PRECISION_OF[match[0].lower()] if match else ""


def promised_layers(trt: Any, network: Any) -> dict[str, int]:
    """Count the convolutions and matrix products of a parsed `INetworkDefinition` by precision.

    The network is strongly typed: an engine must run them so. A convolution whose pixels and weights are dequantized
    runs in INT8.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    dequantized = {
        layer.get_output(0).name for layer in layers if layer.type == trt.LayerType.DEQUANTIZE and layer.num_outputs
    }
    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION, trt.LayerType.MATRIX_MULTIPLY)
    counts: Counter[str] = Counter()
    for layer in (layer for layer in layers if layer.type in kinds):
        inputs = [layer.get_input(index) for index in range(min(2, layer.num_inputs))]
        int8 = len(inputs) == 2 and all(tensor is not None and tensor.name in dequantized for tensor in inputs)
        counts["int8" if int8 else PRECISION_OF[layer.get_output(0).dtype.name.lower()]] += 1
    return dict(sorted(counts.items()))

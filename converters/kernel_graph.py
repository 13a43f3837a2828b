"""Kernels that TensorRT would launch for a bundle's graph, after its usual fusions.

A convolution takes its bias, activation, residual addition and quantization along; connected elementwise operators are
one kernel; reshapes are free; casts, transposes and concatenations move memory. What depends on the size alone is a
constant.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx

from ..engines.bundle.bundle import Bundle
from ..engines.bundle.projection import PREFIX
from ..engines.inputs import SAMPLES
from ..engines.onnxruntime.session import OrtGraph
from .kernels import Kernel, Precision, memory_kernel
from .macs import MACS

Shape = tuple[int, ...]
Shapes = dict[str, Shape]
SIZED = frozenset({"Shape", "Size"})
"""Operators whose output depends on the size of their input only."""
FREE = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand", "Identity", "DequantizeLinear"})
"""Operators without a kernel: another view of the same memory, or part of the kernel that reads them."""
ELEMENTWISE = frozenset(
    {
        *("Abs", "Add", "Cast", "Clip", "Div", "Exp", "Less", "Mul", "PRelu", "Pow", "QuantizeLinear", "Reciprocal"),
        *("Relu", "Round", "Sigmoid", "Sqrt", "Sub", "Where"),
    }
)
EPILOGUE = frozenset({"Add", "Cast", "Clip", "PRelu", "QuantizeLinear", "Relu"})
"""Elementwise operators that a convolution takes along."""
STEP = 8
"""Between the sizes that are run for their shapes, in pixels; small, since attention grows with the fourth power."""


@dataclass(frozen=True, eq=False)
class KernelGraph:
    """A graph, for the kernels that it launches at any input size.

    Args:
        path: of the ONNX file.
        half: FP32 activations between the first and the last convolution of the network count as FP16.
    """

    path: Path
    half: bool = True

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The graph, with its weights and with inferred element types."""
        return onnx.shape_inference.infer_shapes(onnx.load(self.path))

    def shapes(self, height: int, width: int) -> Shapes:
        """Shape of every tensor for one image, from a run in ONNX Runtime."""
        exposed = onnx.ModelProto()
        exposed.CopyFrom(self.model)
        del exposed.graph.output[:], exposed.graph.value_info[:]
        names = [name for node in self.model.graph.node for name in node.output if name]
        for n, name in enumerate(names):
            exposed.graph.node.append(onnx.helper.make_node("Shape", [name], [f"shape of {n}"]))
            exposed.graph.output.append(onnx.ValueInfoProto(name=f"shape of {n}"))
        with TemporaryDirectory() as folder:
            path = Path(folder) / "exposed.onnx"
            onnx.save(exposed, path)
            with closing(OrtGraph(path)) as graph:
                shapes = graph.run(np.zeros((1, height, width, 3), np.uint8))
        known = {tensor.name: tuple(tensor.dims) for tensor in self.model.graph.initializer}
        inputs = {
            value.name: tuple(dim.dim_value or 1 for dim in value.type.tensor_type.shape.dim)
            for value in self.model.graph.input
        }
        inputs[self.model.graph.input[0].name] = (1, height, width, 3)
        if SAMPLES in inputs:
            inputs[SAMPLES] = (1, inputs[SAMPLES][1], height, width)
        return known | inputs | {n: tuple(map(int, s)) for n, s in zip(names, shapes, strict=True)}

    @cached_property
    def _nodes(self) -> list[onnx.NodeProto]:
        """Nodes that compute with pixels, in order."""
        tainted, nodes = set(self._graph_inputs), []
        for node in self.model.graph.node:
            if node.op_type not in SIZED and tainted.intersection(node.input):
                tainted |= set(node.output)
                nodes.append(node)
        return nodes

    @cached_property
    def _roots(self) -> dict[str, str]:
        """Tensor -> the tensor in memory that it is a view of."""
        roots: dict[str, str] = {}
        for node in self._nodes:
            for name in node.output:
                roots[name] = roots.get(node.input[0], node.input[0]) if node.op_type in FREE else name
        return roots

    @cached_property
    def _graph_inputs(self) -> set[str]:
        return {value.name for value in self.model.graph.input}

    def _inputs(self, node: onnx.NodeProto) -> list[str]:
        """Tensors with pixels that a node reads, as they lie in memory."""
        names = (self._roots.get(name, name) for name in node.input)
        return list(dict.fromkeys(name for name in names if name in self._roots or name in self._graph_inputs))

    @cached_property
    def _producers(self) -> dict[str, int]:
        """Tensor -> index of its node."""
        return {name: n for n, node in enumerate(self._nodes) if node.op_type not in FREE for name in node.output}

    @cached_property
    def _consumers(self) -> dict[str, list[int]]:
        """Tensor -> indices of the nodes that read it; -1 for an output of the graph."""
        consumers: dict[str, list[int]] = defaultdict(list)
        for n, node in enumerate(self._nodes):
            for name in self._inputs(node) if node.op_type not in FREE else ():
                consumers[name].append(n)
        for value in self.model.graph.output:
            consumers[self._roots[value.name]].append(-1)
        return consumers

    @cached_property
    def _groups(self) -> list[list[int]]:
        """Elementwise nodes that are one kernel: connected, with the same number of other kernels before them."""
        stage: dict[int, int] = {}
        group: dict[int, list[int]] = {}
        for n, node in enumerate(self._nodes):
            if node.op_type in FREE:
                continue
            before = [self._producers[name] for name in self._inputs(node) if name in self._producers]
            stage[n] = max((stage[m] for m in before), default=0) + (node.op_type not in ELEMENTWISE)
            if node.op_type not in ELEMENTWISE:
                continue
            group[n] = [n]
            for m in before:
                if m in group and stage[m] == stage[n] and group[m] is not group[n]:
                    group[m] += group[n]
                    for k in group[n]:
                        group[k] = group[m]
        return [sorted(nodes) for nodes in {id(nodes): nodes for nodes in group.values()}.values()]

    @cached_property
    def _fused(self) -> dict[int, list[int]]:
        """Convolution or matrix product -> the elementwise nodes that it takes along."""
        fused: dict[int, list[int]] = {}
        for group in self._groups:
            if not EPILOGUE.issuperset(self._nodes[n].op_type for n in group):
                continue
            for name in reversed(self._read(group)):
                producer = self._producers.get(name, -1)
                if self._nodes[producer].op_type in MACS and set(self._consumers[name]) <= set(group):
                    fused[producer] = group
                    break
        return fused

    def _read(self, group: Iterable[int]) -> list[str]:
        """Tensors that a group of nodes reads from memory, in the order of their producers."""
        members = set(group)
        names = dict.fromkeys(name for n in group for name in self._inputs(self._nodes[n]))
        outside = [name for name in names if self._producers.get(name, -1) not in members]
        return sorted(outside, key=lambda name: self._producers.get(name, -1))

    def _written(self, group: Iterable[int]) -> list[str]:
        """Tensors of a group of nodes that others read."""
        members = set(group)
        names = (name for n in group for name in self._nodes[n].output if name)
        return [name for name in names if set(self._consumers[name]) - members]

    @cached_property
    def _half_nodes(self) -> set[int]:
        """Nodes between convolutions of the network, in FP16 when the projection is not."""
        indices = range(len(self._nodes))
        network = {n for n in indices if self._nodes[n].op_type in MACS and self._learnt(self._nodes[n])}
        after, before = set(network), set(network)
        for n in indices:
            if any(self._producers.get(name) in after for name in self._inputs(self._nodes[n])):
                after.add(n)
        for n in reversed(indices):
            if any(m in before for name in self._nodes[n].output for m in self._consumers[name]):
                before.add(n)
        return after & before

    def _learnt(self, node: onnx.NodeProto) -> bool:
        weights = [name for name in node.input[1:] if name not in self._roots]
        return bool(weights) and not weights[0].startswith(PREFIX) and node.op_type != "MatMul"

    @cached_property
    def _typed_bytes(self) -> dict[str, int]:
        """Tensor -> bytes of an element of its type in the graph."""
        values = (*self.model.graph.value_info, *self.model.graph.input, *self.model.graph.output)
        types = {value.name: value.type.tensor_type.elem_type for value in values}
        return {
            name: np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)).itemsize for name, kind in types.items() if kind
        }

    @cached_property
    def _element_bytes(self) -> dict[str, int]:
        """Tensor -> bytes of an element, with FP16 between the convolutions of the network."""
        sizes = dict(self._typed_bytes)
        for n in self._half_nodes if self.half else ():
            sizes |= {name: min(sizes.get(name, 4), 2) for name in self._nodes[n].output}
        return sizes

    def kernels(self, shapes: Shapes) -> list[Kernel]:
        """Kernels for one image, in the order of their first node."""
        return list(self._kernels(shapes))

    def _kernels(self, shapes: Shapes) -> Iterator[Kernel]:
        taken = {n for group in self._fused.values() for n in group}
        first = {group[0]: group for group in self._groups if group[0] not in taken}
        for n, node in enumerate(self._nodes):
            if node.op_type in MACS:
                yield self._product(n, shapes)
            elif node.op_type not in ELEMENTWISE | FREE:
                yield self._memory(node.op_type, [n], shapes)
            elif n in first:
                yield self._memory("elementwise", first[n], shapes)

    def _traffic(self, group: list[int], shapes: Shapes) -> int:
        names = (*self._read(group), *self._written(group))
        return sum(prod(shapes[name]) * self._element_bytes.get(name, 4) for name in names)

    def _memory(self, name: str, group: list[int], shapes: Shapes) -> Kernel:
        return memory_kernel(name, self._traffic(group, shapes))

    def _product(self, n: int, shapes: Shapes) -> Kernel:
        """A convolution or matrix product with what it takes along."""
        node, out = self._nodes[n], shapes[self._nodes[n].output[0]]
        traffic = self._traffic([n, *self._fused.get(n, [])], shapes)
        data = self._roots.get(node.input[0], node.input[0])
        is_half = self._typed_bytes.get(node.output[0]) == 2 or (self.half and n in self._half_nodes)
        precision: Precision = "fp16" if is_half else "fp32"
        if data in self._producers and self._element_bytes.get(data) == 1:
            precision = "int8"
        constants = [name for name in node.input if name not in self._roots]
        weights = sum(prod(shapes.get(name, ())) for name in constants[:1])
        if node.op_type == "Conv":
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            channels, inputs, *window = shapes[node.input[1]]
            rows = out[0] * prod(out[2:])
            return Kernel("Conv", rows, channels, inputs * prod(window), inputs, groups, precision, weights, traffic)
        rows, depth = prod(out[:-1]), MACS[node.op_type](node, shapes) // prod(out)
        return Kernel(node.op_type, rows, out[-1], depth, depth, 1, precision, weights, traffic)


def interpolated(known: dict[int, Shapes], side: int) -> Shapes:
    """Shapes at a side from those at up to three others: a dimension is a polynomial of the side, at most quadratic."""
    if side in known:
        return known[side]
    sides = list(known)
    weights = [
        prod((side - other) / (this - other) for other in sides if other != this) for this in sides
    ]  # of Lagrange's polynomial

    def shape(name: str) -> Shape:
        return tuple(round(float(np.dot(weights, dims))) for dims in zip(*(known[s][name] for s in sides), strict=True))

    return {name: shape(name) for name in known[sides[0]]}


def crop_kernels(bundle: Bundle, path: Path) -> dict[int, list[Kernel]]:
    """Kernels of a super-resolution graph for one face, by crop size."""
    graph, sides = KernelGraph(path), bundle.card.io_spec.crop_sizes
    runs = [min(sides) + n * STEP for n in range(3)] if len(sides) > 1 else sides
    known = {side: graph.shapes(side, side) for side in runs}
    return {side: graph.kernels(interpolated(known, side)) for side in sides}


def frame_kernels(path: Path, sizes_hw: Iterable[tuple[int, int]]) -> dict[tuple[int, int], list[Kernel]]:
    """Kernels of a detector for one frame, by (height, width)."""
    graph = KernelGraph(path)
    return {size: graph.kernels(graph.shapes(*size)) for size in sizes_hw}

"""Super-resolution graphs for TensorRT: the output of `Uint8SRWrapper` in few kernels, without FP32 matrix products.

Each kernel launch of a small network costs as much as its arithmetic. Here D and U (see `projection`) are one
convolution each. Border factors and the Gaussian matrix are slices of constants of the largest crop, which TensorRT
folds if the crop size is fixed. Products with narrow banded matrices are sums of shifted crops, which it fuses into the
kernels around them, where FP32 costs nothing. Means of squares are FP32 too.

In FP16, numbers near 0 are exact to 1/1000 of their value, and gray levels near 255 to 1/8 only. Gray levels are
therefore centered to -128..127, and D is applied to differences: with a base image B lr (U lr, or lr repeated k × k
times), lr - D B lr is a high-pass filter of lr, so that of lr - D(R + B lr) only small numbers are computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...engines.bundle.projection import PREFIX
from .projection import MIN_DETAIL, PEAK
from .trt_constants import Array, ProjectionConstants

CENTER = 128
"""Subtracted from gray levels."""
FLOATS = {np.dtype(np.float16): TensorProto.FLOAT16, np.dtype(np.float32): TensorProto.FLOAT}
LAST = int(np.iinfo(np.int64).max)
"""End of a slice up to the end."""


def trt_graph(core: onnx.ModelProto, constants: ProjectionConstants) -> onnx.ModelProto:
    """Complete the graph of a network.

    Args:
        core: graph of `SubPixelCore`, in FP16 or FP32; inputs besides the first are kept.
        constants: of the projection.

    Returns:
        A graph with the input and outputs of `Uint8SRWrapper`, for square crops of at most `constants.max_side`.
    """
    model = onnx.ModelProto()
    model.CopyFrom(core)
    dtype = helper.tensor_dtype_to_np_dtype(core.graph.input[0].type.tensor_type.elem_type)
    builder = _Builder(dtype, constants)
    lr = builder.inputs(core.graph.input[0].name)
    builder.nodes += core.graph.node
    builder.outputs(lr, core.graph.output[0].name)
    graph = model.graph
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(builder.nodes)
    graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in builder.initializers.items())
    side = core.graph.input[0].type.tensor_type.shape.dim[2].dim_value  # 0 if it is dynamic
    shapes: tuple[list[str | int | None], ...] = (
        ["batch", side or "side", side or "side", 3],
        ["batch", constants.scale * side or "large", constants.scale * side or "large", 3],
    )
    graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.UINT8, shapes[0]))
    graph.input.extend(core.graph.input[1:])
    graph.output.append(helper.make_tensor_value_info("enlarged", TensorProto.UINT8, shapes[1]))
    graph.output.append(helper.make_tensor_value_info("residual", TensorProto.FLOAT, ["batch"]))
    return model


class _Builder:
    """Nodes around the network; tensors are given by their names, constants as arrays or numbers."""

    def __init__(self, dtype: Any, constants: ProjectionConstants) -> None:
        self.dtype, self.constants = np.dtype(dtype), constants
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, Array] = {}

    def inputs(self, x: str) -> str:
        """The network's input x in 0..1; returns the crops in centered gray levels, both (N, 3, H, W) BGR."""
        levels = self.op("Transpose", self.op("Cast", "pixels", to=FLOATS[self.dtype]), perm=[0, 3, 1, 2])
        self.op("Div", levels, PEAK, name=x)
        shape = self.op("Shape", levels)
        self.size, self.side = self.cut(shape, 2, 4, 0), self.cut(shape, 2, 3, 0)
        self.half = self.op("Div", self.side, _index(2))
        # the second part of values along a side starts there
        self.rest = self.op("Add", self.op("Sub", _index(self.constants.max_side), self.side), self.half)
        return self.op("Sub", levels, CENTER)

    def outputs(self, lr: str, residual: str) -> None:
        """The graph's outputs for a network's residual (N, 3·k², H, W) in 0..1."""
        levels = self.op("Clip", self.op("Round", self.projected(lr, residual)), -CENTER, PEAK - CENTER)
        k = self.constants.scale
        blocks = self.op("Concat", _index(-1, k, 3 * k), self.size, axis=0)
        large = self.op("Concat", _index(-1), self.op("Mul", self.size, _index(k)), _index(3), axis=0)
        pixels = self.op("Reshape", self.op("Add", levels, CENTER), blocks)  # (N, k, 3k, H, W)
        pixels = self.op("Reshape", self.op("Transpose", pixels, perm=[0, 3, 1, 4, 2]), large)
        self.op("Cast", pixels, to=TensorProto.UINT8, name="enlarged")
        down = self.convolution(self.op("Sub", levels, self.repeat(lr)), self.constants.down_kernel, "down")
        error = self.op("Sub", self.detail(lr, bicubic=False), self.op("Mul", down, self.border()))
        self.mean(self.square(error), "residual", keepdims=0)

    def projected(self, lr: str, residual: str) -> str:
        """Consistent sub-pixels in centered gray levels before rounding, (N, 3·k², H, W)."""
        one = self.constants
        if not one.bicubic:
            residual = self.op("Sub", residual, self.op("Div", self.op("Add", self.repeat(lr), CENTER), PEAK))
        detail = self.pair(self.detail(lr, one.bicubic), lr)
        # A factor with a batch axis is fused into the convolution, one without is not.
        ones = self.op("Max", self.op("Min", detail, 1.0), 1.0)
        down = self.convolution(residual, one.difference_kernel, "difference")
        down = self.op("Mul", down, self.op("Mul", ones, self.border()))
        both = self.op("Add", down, detail)  # (N, 8, H, W): the error lr - D(R + B lr), and lr
        rows, columns = (self.along_side(values, axis) for values, axis in zip(one.up_border, (1, 2), strict=True))
        part = self.op("Mul", self.enlarged_part(both, lr), self.op("Mul", rows, columns))
        if not one.bicubic:
            part = self.op("Add", part, self.repeat(lr))
        return self.op("Add", self.op("Mul", residual, PEAK), part)

    def enlarged_part(self, both: str, lr: str) -> str:
        """U, without border factors, of the projected part of the error, and of lr if U lr is the base image."""
        one = self.constants
        if one.projected.kind == "full":
            return self.convolution(both, one.up_both_kernel, "up")
        low = self.low_pass(both)
        if one.projected.kind == "low-pass":
            return self.convolution(self.pair(self.cut(low, 0, 3, 1), lr), one.up_both_kernel, "up")
        rest = self.op("Sub", both, low)  # high frequencies of the error, and of lr
        weight = self.op("Cast", self.weight(rest), to=FLOATS[self.dtype])
        image, count = self.cut(low, 0, 3, 1), len(one.up_kernel)
        image = self.op("Add", image, lr) if one.bicubic else image
        images = self.convolution(self.pair(image, self.cut(rest, 0, 3, 1)), one.up_each_kernel, "up")
        high = self.op("Mul", weight, self.cut(images, count, LAST, 1))
        return self.op("Add", self.cut(images, 0, count, 1), high)

    def weight(self, rest: str) -> str:
        """The weight of the high frequencies of the error, (N, 1, 1, 1) FP32."""
        squares = self.square(rest)
        error, detail = (self.mean(self.cut(squares, start, start + 3, 1)) for start in (0, 3))
        limit = self.op("Mul", detail, self.fp32(self.constants.projected.threshold**2))
        ratio = self.op("Div", error, self.op("Add", limit, self.fp32(PEAK**2 * MIN_DETAIL)))
        for _ in range(3):
            ratio = self.op("Mul", ratio, ratio)
        return self.op("Div", self.fp32(1), self.op("Add", ratio, self.fp32(1)))

    def detail(self, lr: str, bicubic: bool) -> str:
        """lr - D B lr, B being U or the repetition: (N, 3, H, W) -> (N, 3, H, W)."""
        bands = self.constants.detail_bands(bicubic)
        radius = len(bands) // 2
        pads = [0, 0, radius, radius] * 2
        wide = self.op("Cast", self.op("Pad", lr, np.array(pads), 0.0), to=TensorProto.FLOAT)
        # With P = 1 - D B along a side: 1 - (1 - P) ⊗ (1 - P) = 1 ⊗ P + P ⊗ (1 - P).
        columns = self.banded_product(wide, bands, 3)
        rest = self.op("Sub", self.cut(wide, radius, -radius, 3), columns)
        result = self.op("Add", self.cut(columns, radius, -radius, 2), self.banded_product(rest, bands, 2))
        return self.op("Cast", result, to=FLOATS[self.dtype])

    def banded_product(self, wide: str, bands: Array, axis: int) -> str:
        """Product of a banded matrix with crops that are padded by its radius along an axis, in FP32."""
        terms = []
        for index, band in enumerate(bands.astype(np.float32)):
            end = index - len(bands) + 1
            neighbor = self.cut(wide, index, end or LAST, axis)
            weights = self.along_side(band[:, None] if axis == 2 else band[None], axis - 2, ".fp32")
            terms.append(self.op("Mul", neighbor, weights))
        result = terms[0]
        for term in terms[1:]:
            result = self.op("Add", result, term)
        return result

    def low_pass(self, x: str) -> str:
        """Gaussian low-pass filter; with channels last, as in the convolutions around it, it is two matrix products."""
        matrix = self.constant(self.constants.gaussian)
        start = self.op("Sub", _index(self.constants.max_side), self.side)
        parts = [
            self.cut(self.cut(matrix, 0, self.half, 0), 0, self.side, 1),
            self.cut(self.cut(matrix, self.rest, LAST, 0), start, LAST, 1),
        ]
        matrix = self.op("Concat", *parts, axis=0)
        last = self.op("Transpose", x, perm=[0, 2, 3, 1])  # (N, H, W, C)
        flat = self.op("Reshape", last, _index(0, 0, -1))
        rows = self.op("Reshape", self.op("MatMul", matrix, flat), self.op("Shape", last))
        return self.op("Transpose", self.op("MatMul", matrix, rows), perm=[0, 3, 1, 2])

    def border(self) -> str:
        """Factors of D, (H, W)."""
        values = self.constants.down_border
        return self.op("Mul", self.along_side(values[:, None], 0), self.along_side(values[None], 1))

    def repeat(self, lr: str) -> str:
        """Each pixel k × k times: (N, 3, H, W) -> (N, 3·k², H, W)."""
        return self.op("Tile", lr, _index(1, self.constants.scale**2, 1, 1))

    def pair(self, first: str, second: str) -> str:
        """Two images (N, 3, H, W) and two channels of zeros: (N, 8, H, W), as TensorRT would pad them in a kernel."""
        return self.op("Pad", self.op("Concat", first, second, axis=1), _index(0, 0, 0, 0, 0, 2, 0, 0), 0.0)

    def along_side(self, values: Array, axis: int, suffix: str = "") -> str:
        """Values along a side of `max_side`, for the side of the crop."""
        whole = self.constant(values, suffix)
        return self.op("Concat", self.cut(whole, 0, self.half, axis), self.cut(whole, self.rest, LAST, axis), axis=axis)

    def square(self, x: str) -> str:
        """Squares in FP32."""
        x = self.op("Cast", x, to=TensorProto.FLOAT)
        return self.op("Mul", x, x)

    def mean(self, x: str, name: str = "", keepdims: int = 1) -> str:
        """Mean of each face."""
        return self.op("ReduceMean", x, _index(1, 2, 3), keepdims=keepdims, name=name)

    def convolution(self, x: str, kernel: Array, name: str) -> str:
        """5 × 5 convolution."""
        self.initializers[f"{PREFIX}{name}"] = kernel.astype(self.dtype)
        return self.op("Conv", x, f"{PREFIX}{name}", pads=[2] * 4)

    def fp32(self, value: float) -> str:
        """An FP32 constant."""
        return self.constant(np.float32(value), ".fp32")

    def constant(self, values: Any, suffix: str = "") -> str:
        """Add an array of indices, or values and numbers, which get the dtype of the graph unless they are FP32."""
        name = f"{PREFIX}constant_{len(self.initializers)}{suffix}"
        keep = suffix or (isinstance(values, np.ndarray) and values.dtype == np.int64)
        self.initializers[name] = np.asarray(values) if keep else np.asarray(values, self.dtype)
        return name

    def cut(self, x: str, start: int | str, end: int | str, axis: int) -> str:
        """Slice along an axis."""
        bounds = [one if isinstance(one, str) else _index(one) for one in (start, end)]
        return self.op("Slice", x, *bounds, _index(axis))

    def op(self, kind: str, *inputs: Any, name: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output."""
        names = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        name = name or f"{PREFIX}{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [name], name=name, **attributes))
        return name


def _index(*values: int) -> Array:
    return np.array(values, np.int64)

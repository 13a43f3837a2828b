"""Kernels of the networks that the anchors were measured with, from their published architectures.

TensorRT fuses a convolution with its activation and residual addition; concatenations and splits copy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from ....converters.kernels import BYTES, Kernel, Precision, memory_kernel

CLASSES = 80
"""Of COCO."""
BOX_BINS = 64
"""Channels of the box distribution in YOLOv8 and YOLO11."""


@dataclass(frozen=True)
class FeatureMap:
    """Channels and size of an activation."""

    channels: int
    height: int
    width: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return self.channels * self.height * self.width


@dataclass
class NetworkBuilder:
    """Collects kernels while a network is described layer by layer."""

    precision: Precision
    kernels: list[Kernel] = field(default_factory=list)

    def conv(self, x: FeatureMap, channels: int, k: int = 1, stride: int = 1, depthwise: bool = False) -> FeatureMap:
        """Convolution with folded batch normalization and fused activation."""
        y = FeatureMap(channels, x.height // stride, x.width // stride)
        inputs, groups = (1, channels) if depthwise else (x.channels, 1)
        depth = inputs * k * k
        traffic = (x.elements + y.elements) * BYTES[self.precision]
        shape = (y.height * y.width, channels, depth, inputs, groups)
        self.kernels.append(Kernel("conv", *shape, self.precision, channels * depth, traffic))
        return y

    def matmul(self, rows: int, channels: int, depth: int) -> None:
        """Product of two activations, (rows, depth) and (depth, channels)."""
        traffic = (rows * depth + depth * channels + rows * channels) * BYTES[self.precision]
        self.kernels.append(Kernel("matmul", rows, channels, depth, depth, 1, self.precision, 0, traffic))

    def copy(self, name: str, read: int, written: int, size: int = 0) -> None:
        """A kernel that reads and writes elements; `size` is their bytes, 0 for those of the precision."""
        self.kernels.append(memory_kernel(name, (read + written) * (size or BYTES[self.precision])))

    def concat(self, *maps: FeatureMap) -> FeatureMap:
        """Concatenation of channels: one copy, the other inputs are written in place by their producers."""
        self.copy("concat", maps[-1].elements, maps[-1].elements)
        return FeatureMap(sum(x.channels for x in maps), maps[0].height, maps[0].width)

    def upsample(self, x: FeatureMap) -> FeatureMap:
        """Nearest-neighbour upsampling by 2."""
        y = FeatureMap(x.channels, 2 * x.height, 2 * x.width)
        self.copy("resize", x.elements, y.elements)
        return y

    def image(self, side: int) -> FeatureMap:
        """The float32 input, reformatted."""
        x = FeatureMap(3, side, side)
        self.copy("reformat", 2 * x.elements, x.elements)
        return x


Block = Callable[[NetworkBuilder, FeatureMap], FeatureMap]


def _bottleneck(net: NetworkBuilder, x: FeatureMap, hidden: int, k: int = 3, depthwise: bool = False) -> FeatureMap:
    y = net.conv(x, hidden, k)
    if depthwise:
        return net.conv(net.conv(y, hidden, 3, depthwise=True), x.channels)
    return net.conv(y, x.channels, 3)


def _c2f(net: NetworkBuilder, x: FeatureMap, channels: int, hidden: int, count: int, block: Block) -> FeatureMap:
    """Split after a 1x1 convolution, `count` blocks in a row, all outputs concatenated."""
    y = net.conv(x, 2 * hidden)
    last = FeatureMap(hidden, y.height, y.width)
    net.copy("split", last.elements, last.elements)
    for _ in range(count):
        last = block(net, last)
    net.concat(last)
    return net.conv(FeatureMap((2 + count) * hidden, y.height, y.width), channels)


def _csp(
    net: NetworkBuilder, x: FeatureMap, channels: int, count: int, k: int = 1, depthwise: bool = False
) -> FeatureMap:
    """Two branches of half the channels, `count` bottlenecks in one of them."""
    hidden = channels // 2
    y, other = net.conv(x, hidden), net.conv(x, hidden)
    for _ in range(count):
        y = _bottleneck(net, y, hidden, k, depthwise)
    return net.conv(net.concat(other, y), channels)


def _c3k(net: NetworkBuilder, x: FeatureMap) -> FeatureMap:
    return _csp(net, x, x.channels, 2, k=3)


def _whole(net: NetworkBuilder, x: FeatureMap) -> FeatureMap:
    return _bottleneck(net, x, x.channels)


def _half(net: NetworkBuilder, x: FeatureMap) -> FeatureMap:
    return _bottleneck(net, x, x.channels // 2)


def _sppf(net: NetworkBuilder, x: FeatureMap, channels: int) -> FeatureMap:
    y = net.conv(x, x.channels // 2)
    for _ in range(3):
        net.copy("pool", y.elements, y.elements)
    net.concat(y)
    return net.conv(FeatureMap(4 * y.channels, y.height, y.width), channels)


def _attention(net: NetworkBuilder, x: FeatureMap) -> FeatureMap:
    """Position-sensitive attention block of YOLO11: heads of 64 channels with keys of 32."""
    positions, heads = x.height * x.width, max(x.channels // 64, 1)
    net.conv(x, 2 * x.channels)
    net.matmul(heads * positions, positions, 32)
    net.copy("softmax", heads * positions**2, heads * positions**2)
    net.matmul(heads * positions, 64, positions)
    net.conv(x, x.channels, 3, depthwise=True)
    net.conv(x, x.channels)
    return net.conv(net.conv(x, 2 * x.channels), x.channels)


def _decode(net: NetworkBuilder, maps: list[FeatureMap], channels: int) -> None:
    """Concatenation of the outputs, box distribution and final activations, on all cells."""
    cells = sum(x.height * x.width for x in maps)
    for name in ("concat", "concat", "slice", "softmax", "sigmoid", "boxes", "boxes", "output"):
        net.copy(name, cells * channels // 2, cells * channels // 2)


def _detect(net: NetworkBuilder, maps: list[FeatureMap], separable: bool) -> None:
    boxes, scores = max(16, maps[0].channels // 4, BOX_BINS), max(maps[0].channels, CLASSES)
    for x in maps:
        net.conv(net.conv(net.conv(x, boxes, 3), boxes, 3), BOX_BINS)
        if separable:
            y = net.conv(net.conv(x, x.channels, 3, depthwise=True), scores)
            y = net.conv(net.conv(y, scores, 3, depthwise=True), scores)
        else:
            y = net.conv(net.conv(x, scores, 3), scores, 3)
        net.conv(y, CLASSES)
    _decode(net, maps, BOX_BINS + CLASSES)


def _scaled(width: float, limit: int) -> Callable[[int], int]:
    return lambda channels: 8 * -(-int(min(channels, limit) * width) // 8)


def _feature_pyramid(
    net: NetworkBuilder, p3: FeatureMap, p4: FeatureMap, p5: FeatureMap, stages: list[Block], c: Callable[[int], int]
) -> list[FeatureMap]:
    """Top-down and bottom-up paths of YOLOv8 and YOLO11; `stages` follow the four concatenations."""
    n4 = stages[0](net, net.concat(p4, net.upsample(p5)))
    n3 = stages[1](net, net.concat(p3, net.upsample(n4)))
    m4 = stages[2](net, net.concat(n4, net.conv(n3, c(256), 3, 2)))
    m5 = stages[3](net, net.concat(p5, net.conv(m4, c(512), 3, 2)))
    return [n3, m4, m5]


def yolov8(side: int, precision: Precision, *, depth: float, width: float, limit: int) -> list[Kernel]:
    """YOLOv8 for a square image; see ``ultralytics/cfg/models/v8/yolov8.yaml``."""
    net, c = NetworkBuilder(precision), _scaled(width, limit)

    def stage(x: FeatureMap, channels: int, count: int) -> FeatureMap:
        return _c2f(net, x, c(channels), c(channels) // 2, max(round(count * depth), 1), _whole)

    x = net.conv(net.conv(net.image(side), c(64), 3, 2), c(128), 3, 2)
    x = net.conv(stage(x, 128, 3), c(256), 3, 2)
    p3 = stage(x, 256, 6)
    p4 = stage(net.conv(p3, c(512), 3, 2), 512, 6)
    p5 = _sppf(net, stage(net.conv(p4, c(1024), 3, 2), 1024, 3), c(1024))
    necks: list[Block] = [
        lambda net, x, channels=channels: stage(x, channels, 3)  # type: ignore[misc]
        for channels in (512, 256, 512, 1024)
    ]
    _detect(net, _feature_pyramid(net, p3, p4, p5, necks, c), separable=False)
    return net.kernels


def yolo11(side: int, precision: Precision, *, depth: float, width: float, limit: int, large: bool) -> list[Kernel]:
    """YOLO11 for a square image; see ``ultralytics/cfg/models/11/yolo11.yaml``. `large` is for the sizes m, l and x."""
    net, c = NetworkBuilder(precision), _scaled(width, limit)
    count = max(round(2 * depth), 1)

    def stage(x: FeatureMap, channels: int, c3k: bool, ratio: float = 0.5) -> FeatureMap:
        return _c2f(net, x, c(channels), int(c(channels) * ratio), count, _c3k if c3k or large else _half)

    x = net.conv(net.conv(net.image(side), c(64), 3, 2), c(128), 3, 2)
    x = net.conv(stage(x, 256, False, 0.25), c(256), 3, 2)
    p3 = stage(x, 512, False, 0.25)
    p4 = stage(net.conv(p3, c(512), 3, 2), 512, True)
    p5 = _sppf(net, stage(net.conv(p4, c(1024), 3, 2), 1024, True), c(1024))
    y = net.conv(p5, p5.channels)
    for _ in range(count):
        _attention(net, FeatureMap(p5.channels // 2, y.height, y.width))
    p5 = net.conv(y, p5.channels)
    necks: list[Block] = [
        lambda net, x, channels=channels, c3k=c3k: stage(x, channels, c3k)  # type: ignore[misc]
        for channels, c3k in ((512, False), (256, False), (512, False), (1024, True))
    ]
    _detect(net, _feature_pyramid(net, p3, p4, p5, necks, c), separable=True)
    return net.kernels


def yolox(side: int, precision: Precision, *, depth: float, width: float, separable: bool = False) -> list[Kernel]:
    """YOLOX for a square image; see ``yolox/models`` of Megvii-BaseDetection/YOLOX. `separable` is for nano."""
    net, base, count = NetworkBuilder(precision), int(64 * width), max(round(3 * depth), 1)

    def conv3(x: FeatureMap, channels: int, stride: int = 1) -> FeatureMap:
        if separable:
            return net.conv(net.conv(x, x.channels, 3, stride, depthwise=True), channels)
        return net.conv(x, channels, 3, stride)

    def stage(x: FeatureMap, channels: int, count: int) -> FeatureMap:
        return _csp(net, x, channels, count, depthwise=separable)

    image = net.image(side)
    net.copy("focus", image.elements, image.elements)
    x = net.conv(FeatureMap(12, side // 2, side // 2), base, 3)
    x = stage(conv3(x, 2 * base, 2), 2 * base, count)
    p3 = stage(conv3(x, 4 * base, 2), 4 * base, 3 * count)
    p4 = stage(conv3(p3, 8 * base, 2), 8 * base, 3 * count)
    p5 = stage(_sppf(net, conv3(p4, 16 * base, 2), 16 * base), 16 * base, count)
    f0 = net.conv(p5, 8 * base)
    f1 = net.conv(stage(net.concat(p4, net.upsample(f0)), 8 * base, count), 4 * base)
    n3 = stage(net.concat(p3, net.upsample(f1)), 4 * base, count)
    n4 = stage(net.concat(f1, conv3(n3, 4 * base, 2)), 8 * base, count)
    n5 = stage(net.concat(f0, conv3(n4, 8 * base, 2)), 16 * base, count)
    for x in (n3, n4, n5):
        x = net.conv(x, 4 * base)
        net.conv(conv3(conv3(x, 4 * base), 4 * base), CLASSES)
        net.conv(conv3(conv3(x, 4 * base), 4 * base), 5)
    _decode(net, [n3, n4, n5], CLASSES + 5)
    return net.kernels


REFERENCE_NETWORKS: dict[str, Callable[[int, Precision], list[Kernel]]] = {
    "yolov8n": partial(yolov8, depth=0.33, width=0.25, limit=1024),
    "yolov8s": partial(yolov8, depth=0.33, width=0.5, limit=1024),
    "yolov8m": partial(yolov8, depth=0.67, width=0.75, limit=768),
    "yolo11n": partial(yolo11, depth=0.5, width=0.25, limit=1024, large=False),
    "yolo11s": partial(yolo11, depth=0.5, width=0.5, limit=1024, large=False),
    "yolo11m": partial(yolo11, depth=0.5, width=1.0, limit=512, large=True),
    "yolo11l": partial(yolo11, depth=1.0, width=1.0, limit=512, large=True),
    "yolo11x": partial(yolo11, depth=1.0, width=1.5, limit=512, large=True),
    "yoloxn": partial(yolox, depth=0.33, width=0.25, separable=True),
    "yoloxt": partial(yolox, depth=0.33, width=0.375),
    "yoloxs": partial(yolox, depth=0.33, width=0.5),
    "yoloxm": partial(yolox, depth=0.67, width=0.75),
}
"""Name -> function of the side of the image in pixels and the precision that returns the kernels."""

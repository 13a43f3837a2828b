"""Roofline of ``facesr-edge bench predict`` on this CPU: predicted against measured times of the zoo's FP32 graphs.

A check of the method, without any fit: multiply-adds per second, bandwidth and the time of an operator are measured
with graphs of one operator; every network is then predicted from its kernels as they are for a Jetson.

    python -m facesr_edge.benchmarks.roofline_cpu --side 64
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from functools import partial
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ..calibration.timing import interleaved
from ..converters.kernel_graph import KernelGraph
from ..converters.kernels import Kernel
from ..engines.onnxruntime.session import OrtGraph
from ..sdk.doctor.machine import this_machine
from ..zoo import catalogue

CHANNELS, SIDE, LARGE = 64, 128, 2048
OPERATORS = 200
"""In the graph that measures the time of an operator."""


def write_graph(path: Path, nodes: list[onnx.NodeProto], shape: list[int], *weights: onnx.TensorProto) -> Path:
    """Write a graph of one float32 input "x" and one output "y"."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "roofline", values[:1], values[1:], list(weights))
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def rates(folder: Path, rounds: int) -> tuple[float, float, float]:
    """Multiply-adds/ms of a 3x3 convolution, bytes/ms of a negation, and ms of an operator on one element."""
    weight = numpy_helper.from_array(np.ones((CHANNELS, CHANNELS, 3, 3), np.float32), "w")
    maps, plane = [1, CHANNELS, SIDE, SIDE], [1, 16, LARGE, LARGE // 4]
    names = ["x", *(f"t{n}" for n in range(OPERATORS - 1)), "y"]
    chain = [helper.make_node("Sin", [names[n]], [names[n + 1]]) for n in range(OPERATORS)]
    graphs = [
        (
            write_graph(
                folder / "conv.onnx", [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)], maps, weight
            ),
            maps,
        ),
        (write_graph(folder / "copy.onnx", [helper.make_node("Neg", ["x"], ["y"])], plane), plane),
        (write_graph(folder / "chain.onnx", chain, [1]), [1]),
    ]
    conv_ms, copy_ms, chain_ms = measured([(path, np.zeros(shape, np.float32)) for path, shape in graphs], rounds)
    return 9 * CHANNELS**2 * SIDE**2 / conv_ms, 8 * prod(plane) / copy_ms, chain_ms / OPERATORS


def measured(graphs: list[tuple[Path, NDArray[Any]]], rounds: int) -> list[float]:
    """Minimum time of a call of each graph on one thread, interleaved."""
    with ExitStack() as stack:
        opened = [(stack.enter_context(closing(OrtGraph(path, 1))), batch) for path, batch in graphs]
        samples = interleaved([partial(graph.run, batch) for graph, batch in opened], rounds)
    return [min(ms) for ms in samples]


def predicted_ms(kernels: list[Kernel], macs_per_ms: float, bytes_per_ms: float, operator_ms: float) -> float:
    """Sum over kernels of the longer of computing and moving memory, plus the time of an operator."""
    return sum(max(k.macs / macs_per_ms, k.bytes / bytes_per_ms) + operator_ms for k in kernels)


def main() -> None:
    """Print predicted and measured times, and the factor that 80 % of the predictions are within."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", type=int, default=64, help="crop size in pixels")
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    side = options.side
    bundles = [catalogue.find(name) for name in catalogue.names()]
    bundles = [b for b in bundles if side in b.card.io_spec.crop_sizes]
    with TemporaryDirectory() as folder:
        roof = rates(Path(folder), options.rounds)
    times = measured([(b.onnx, np.zeros((1, side, side, 3), np.uint8)) for b in bundles], options.rounds)
    print(f"{roof[0] / 1e6:.1f} GMAC/s, {roof[1] / 1e6:.1f} GB/s, {1e3 * roof[2]:.1f} µs an operator; {this_machine()}")
    ratios = []
    for bundle, ms in zip(bundles, times, strict=True):
        graph = KernelGraph(bundle.onnx, half=False)
        expected = predicted_ms(graph.kernels(graph.shapes(side, side)), *roof)
        ratios.append(expected / ms)
        print(f"{bundle.card.name:24} predicted {expected:8.2f} ms, measured {ms:8.2f} ms, ratio {ratios[-1]:.2f}")
    errors = np.abs(np.log(ratios))
    print(f"80 % within ×/÷ {np.exp(np.quantile(errors, 0.8)):.2f}, all within ×/÷ {np.exp(errors.max()):.2f}")


if __name__ == "__main__":
    main()

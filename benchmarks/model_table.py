"""The model table of README: size, quality and latency of every model, as Markdown.

    python -m facesr_edge.benchmarks.model_table [--rounds 60] [--cpu-time]

Parameters and file sizes are read from the files, PSNR gains from the cards. Latency is measured in this run: ONNX
Runtime FP32, one thread, one crop of the smallest size that the model takes (for the detector one 640x384 frame),
median of interleaved rounds.
"""

from __future__ import annotations

import argparse
import json
import struct
import time
from math import prod
from pathlib import Path

import numpy as np
from facesr_edge.calibration.timing import interleaved, latency_stats
from facesr_edge.engines.bundle.bundle import WEIGHTS, Bundle
from facesr_edge.engines.registry import open_session
from facesr_edge.sdk.describe import size_mb
from facesr_edge.sdk.doctor.machine import this_machine
from facesr_edge.zoo import catalogue

DETECTOR_HW = (384, 640)
NOT_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked")
"""Buffers of batch normalization, which the weight files hold too."""


def parameters(weights: Path) -> int:
    """Number of parameters in a safetensors file, from the shapes in its header."""
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if not name.endswith(NOT_PARAMETERS))


def quality(bundle: Bundle) -> str:
    """PSNR gain over bicubic by degradation; average precision of a detector."""
    by_degradation = {one.degradation: one.metrics for one in bundle.card.evaluations if one.precision == "fp32"}
    if "bicubic" not in by_degradation:
        return f"AP {by_degradation['none']['average_precision']:.2f}"
    gain = f"{by_degradation['bicubic']['gain_db']:+.2f} dB"
    camera = bundle.card.training.get("degradation", "bicubic")
    return gain if camera == "bicubic" else f"{gain}; {camera} {by_degradation[camera]['gain_db']:+.2f} dB"


def input_hw(bundle: Bundle) -> tuple[int, int]:
    """Height and width of the input that is timed."""
    sizes = bundle.card.io_spec.crop_sizes
    return (min(sizes), min(sizes)) if sizes else DETECTOR_HW


def row(bundle: Bundle, latency_ms: float) -> str:
    """One line of the table."""
    card, (height, width) = bundle.card, input_hw(bundle)
    scale = f"×{card.io_spec.scale}" if card.io_spec.scale > 1 else ""
    size = f"{size_mb(bundle):.1f} MB"
    cells = [f"`{card.name}`", scale, f"{parameters(bundle.folder / WEIGHTS):,}", size, quality(bundle)]
    return " | ".join([*cells, f"{width}x{height}", f"{latency_ms:.1f} ms"])


def order(bundle: Bundle) -> tuple[bool, int, str]:
    """Sort key: super-resolution before detection, then by scale and name."""
    return not bundle.card.io_spec.crop_sizes, bundle.card.io_spec.scale, bundle.card.name


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60, help="interleaved rounds (default: 60)")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of the calling thread, for a busy machine")
    args = parser.parse_args()
    bundles = sorted(map(catalogue.find, catalogue.names()), key=order)
    sessions = [open_session(bundle, "onnxruntime", 1, bundle.card.precision) for bundle in bundles]
    rng = np.random.default_rng(0)
    inputs = [rng.integers(0, 256, (1, *input_hw(bundle), 3), np.uint8) for bundle in bundles]
    calls = [lambda s=session, x=pixels: s.infer(x) for session, pixels in zip(sessions, inputs, strict=True)]
    clock = time.thread_time if args.cpu_time else time.perf_counter
    taken = interleaved(calls, args.rounds, clock=clock)
    kind = "CPU time" if args.cpu_time else "wall time"
    print(f"{this_machine()}; ONNX Runtime FP32, 1 thread, median {kind} of {args.rounds} interleaved rounds\n")
    print("| name | scale | parameters | files | PSNR gain | input | latency |\n|---|---|---|---|---|---|---|")
    for bundle, taken_ms in zip(bundles, taken, strict=True):
        print(f"| {row(bundle, latency_stats(taken_ms).p50)} |")


if __name__ == "__main__":
    main()

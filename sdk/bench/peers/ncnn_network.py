"""A network in ncnn, converted from ONNX by pnnx. Only this file imports ncnn."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ....engines.errors import EngineError, MissingDependencyError

NO_SPINNING = ("OMP_WAIT_POLICY", "PASSIVE")
"""Read by ncnn's OpenMP library when it is loaded. By default its threads spin while they wait for each other: on two
threads of a busy machine a face took 48 to 300 ms instead of 24."""


def ncnn_network(
    onnx: Path, side: int, threads: int, folder: Path
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Load a network in FP32, on the CPU.

    Args:
        onnx: network of one float input and output, (1, 3, side, side) -> (1, 3, k·side, k·side).
        side: height and width of the input.
        threads: CPU threads; 0 for one per core.
        folder: for the converted network.

    Returns:
        Function of one image, (3, side, side) -> (3, k·side, k·side).

    Raises:
        MissingDependencyError: ncnn or pnnx is not installed.
        EngineError: pnnx cannot convert the network, or ncnn cannot load it.
    """
    if find_spec("ncnn") is None:
        raise MissingDependencyError("ncnn", "peers", "the comparison with ncnn")
    param, weights = _convert(onnx, side, folder)
    os.environ.setdefault(*NO_SPINNING)
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = threads or os.cpu_count() or 1
    network.opt.use_vulkan_compute = False
    for name in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(network.opt, name, False)
    if network.load_param(str(param)) or network.load_model(str(weights)):
        raise EngineError(f"ncnn {ncnn.__version__} cannot load {param}")

    def run(image: NDArray[np.float32]) -> NDArray[np.float32]:
        extractor = network.create_extractor()
        extractor.input("in0", ncnn.Mat(image).clone())  # without a copy, ncnn reads memory that is no longer valid
        _, output = extractor.extract("out0")
        return np.array(output)

    return run


def _convert(onnx: Path, side: int, folder: Path) -> tuple[Path, Path]:
    """Convert an ONNX file; returns the files of layers and weights."""
    package = find_spec("pnnx")
    if package is None or not package.submodule_search_locations:
        raise MissingDependencyError("pnnx", "peers", "the conversion for ncnn")
    program = Path(package.submodule_search_locations[0]) / ("pnnx.exe" if os.name == "nt" else "pnnx")
    source = folder / "ncnn" / "network.onnx"  # pnnx writes beside its input
    source.parent.mkdir(exist_ok=True)
    source.write_bytes(onnx.read_bytes())
    command = [str(program), str(source), f"inputshape=[1,3,{side},{side}]f32", "fp16=0"]
    try:
        done = subprocess.run(command, cwd=source.parent, capture_output=True, text=True, check=False)
    except OSError as error:
        raise EngineError(f"{program} cannot be run: {error.strerror or error}; install pnnx again") from None
    param, weights = source.with_suffix(".ncnn.param"), source.with_suffix(".ncnn.bin")
    if done.returncode or not param.exists():
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise EngineError(f"pnnx cannot convert the network: {lines[-1][:200]}")
    return param, weights

"""What this machine has for networks on a GPU: the board, the GPU and its driver, CUDA, and TensorRT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...engines.cuda.device import Gpu
from ...engines.errors import EngineError, MissingDependencyError
from ...engines.jetson import ROOT, Jetson, run_tool, this_jetson
from ...engines.tensorrt.api import version as tensorrt_version
from .checks import NVRTC, TENSORRT, Check

NVIDIA, DISPLAY = "0x10de", "0x03"
"""Vendor and class of a graphics card, as PCI has them."""
EXTRA = "pip install 'facesr-edge[tensorrt]'"
JETPACK = "sudo apt install nvidia-jetpack"
ON_JETSON = "sudo apt install python3-libnvinfer && python3 -m venv --system-site-packages .venv"


def gpu_checks(root: Path = ROOT) -> Iterator[Check]:
    """Look at everything that a network on a GPU needs; a machine without a GPU has one line.

    Args:
        root: of the file system; files and tools are looked for below it.
    """
    board = this_jetson(root)
    if board:
        yield from _board(board)
    told = smi_says(root)
    gpu = _asked()
    if not (board or told or gpu.name):
        yield _no_gpu(root)
        if TENSORRT.version:
            yield _tensorrt(None)
        return
    yield Check("NVIDIA GPU", "ok", gpu.name or told or "the Jetson's own; it tells more with CUDA bindings")
    yield _bindings(gpu, board)
    yield _nvrtc(root, board)
    yield _tensorrt(board)


def smi_says(root: Path = ROOT) -> str:
    """Name, compute capability, memory and driver of the first GPU, as nvidia-smi says; "" without one."""
    query = "--query-gpu=name,compute_cap,memory.total,driver_version"
    lines = run_tool("nvidia-smi", query, "--format=csv,noheader", root=root).splitlines()
    fields = [field.strip() for field in lines[0].split(",")] if lines else []
    if len(fields) != 4:
        return ""
    words = ("{}", "compute capability {}", "{}", "driver {}")
    return ", ".join(word.format(field) for word, field in zip(words, fields, strict=True) if "N/A" not in field)


@dataclass(frozen=True)
class _Asked:
    """What a GPU said when it was opened through the CUDA bindings.

    Args:
        name: what it is; "" where it could not be opened.
        bindings: those in use, and what the driver serves; "" without bindings.
        graphs: whether these bindings capture CUDA graphs.
        problem: why it could not be opened.
    """

    name: str = ""
    bindings: str = ""
    graphs: bool = True
    problem: str = ""


def _asked() -> _Asked:
    """Open the first GPU, ask it, and close it again."""
    try:
        with Gpu() as gpu:
            name = f"{gpu.name}, compute capability {gpu.compute_capability}, {gpu.memory_bytes / 1e9:.0f} GB"
            return _Asked(name, f"driver for CUDA {gpu.driver}, {gpu.runtime}", gpu.graphs)
    except MissingDependencyError:
        return _Asked()
    except EngineError as error:
        return _Asked(problem=str(error).partition(";")[0])


def _no_gpu(root: Path) -> Check:
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        with suppress(OSError):
            vendor, kind = ((device / name).read_text("ascii").strip() for name in ("vendor", "class"))
            if vendor == NVIDIA and kind.startswith(DISPLAY):
                return Check("NVIDIA GPU", "missing", "there, without a driver", "sudo ubuntu-drivers install")
    return Check("NVIDIA GPU", "missing", "none; networks run on the CPU")


def _board(board: Jetson) -> Iterator[Check]:
    software = f"JetPack {board.jetpack}, " if board.jetpack else "no JetPack packages, "
    detail = f"{board.model or 'unknown model'}, {software}Jetson Linux {board.l4t}"
    yield Check("Jetson", "ok", detail, "" if board.jetpack else JETPACK)
    clocks = [", ".join(map(str, board.clocks))] if board.clocks else []
    settings = "; ".join([board.power_mode or "not known (sudo nvpmodel -q)", *clocks])
    steady = "" if board.locked or not board.clocks else "sudo jetson_clocks"
    yield Check("power mode", "ok", settings + (", not locked" if steady else ""), steady)
    cores = {0: "none", 1: "1 core"}.get(board.dla_cores, f"{board.dla_cores} cores")
    yield Check("DLA", "ok" if board.dla_cores else "missing", cores)


def cuda_python_for(board: Jetson | None) -> str:
    """The command that installs CUDA bindings; on a Jetson those of its CUDA: 12 up to JetPack 6, 13 from 7 on."""
    if board is None:
        return EXTRA
    release = re.match(r"\d+", board.l4t)
    major = 13 if release and int(release.group()) >= 38 else 12
    return f"pip install 'cuda-python=={major}.*'"


def _bindings(gpu: _Asked, board: Jetson | None) -> Check:
    if gpu.bindings and not gpu.graphs:
        return Check("CUDA", "ok", f"{gpu.bindings}: no CUDA graphs", cuda_python_for(board))
    if gpu.bindings:
        return Check("CUDA", "ok", gpu.bindings)
    detail = gpu.problem or "no bindings; for running on the GPU"
    return Check("CUDA", "missing", detail, "" if gpu.problem else cuda_python_for(board))


def _nvrtc(root: Path, board: Jetson | None) -> Check:
    """NVRTC compiles the kernels for the GPU at hand; it comes as a package, or with the CUDA toolkit."""
    if NVRTC.version:
        return Check("NVRTC", "ok", NVRTC.version)
    places = ("usr/local/cuda*/lib64", "usr/local/cuda*/targets/*/lib", "usr/lib/*-linux-gnu")
    found = sorted(path.resolve().name for place in places for path in root.glob(f"{place}/libnvrtc.so.*"))
    if found:
        return Check("NVRTC", "ok", f"{found[-1].partition('.so.')[2]}, of the CUDA toolkit")
    return Check("NVRTC", "missing", "no libnvrtc; for kernels", JETPACK if board else EXTRA)


def _tensorrt(board: Jetson | None) -> Check:
    """Whether TensorRT can be imported, and why not."""
    try:
        return Check("TensorRT", "ok", f"{tensorrt_version()}, for engines")
    except MissingDependencyError:
        remedy = ON_JETSON if board else EXTRA
        return Check("TensorRT", "missing", "not installed; for engines on this GPU", remedy)
    except EngineError as error:
        problem, _, remedy = str(error).partition("; ")
        return Check("TensorRT", "missing", f"{TENSORRT.version or 'there'}: {problem} ({remedy})")

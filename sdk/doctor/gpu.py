"""Checks of what networks on a GPU need: Jetson software, GPU and driver, CUDA bindings, NVRTC and TensorRT."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ...engines.cuda.device import Gpu
from ...engines.cuda.extra import MAJORS, driver_cuda, gpu_extra
from ...engines.errors import EngineError, MissingDependencyError
from ...engines.jetson import ROOT, TENSORRT_COMMAND, Jetson, run_tool, this_jetson
from ...engines.tensorrt.api import version as tensorrt_version
from .checks import CUDA_PYTHON, NVRTC, TENSORRT, Check

NVIDIA_VENDOR, DISPLAY_CLASS = "0x10de", "0x03"
"""PCI vendor ID, and prefix of the PCI class of display controllers."""
DRIVER = "sudo ubuntu-drivers install"
JETPACK = "sudo apt install nvidia-jetpack"


def gpu_checks(root: Path = ROOT) -> Iterator[Check]:
    """Check what networks on a GPU need; without a GPU there is one result.

    Args:
        root: of the file system in which files and tools are looked up.
    """
    jetson = this_jetson(root)
    if jetson:
        yield from _jetson_checks(jetson)
    smi = nvidia_smi(root)
    gpu = _open_gpu()
    if not (jetson or smi or gpu.name):
        yield _no_gpu(root)
        if TENSORRT.version:
            yield _tensorrt(None, 0)
        return
    yield Check("NVIDIA GPU", "ok", gpu.name or smi or "integrated GPU of the Jetson; CUDA bindings report more")
    cuda = driver_cuda()
    yield _bindings(gpu, jetson, cuda)
    yield _nvrtc(root, jetson, cuda)
    yield _tensorrt(jetson, cuda)


def nvidia_smi(root: Path = ROOT) -> str:
    """Name, compute capability, memory and driver of the first GPU from nvidia-smi; "" without one."""
    query = "--query-gpu=name,compute_cap,memory.total,driver_version"
    lines = run_tool("nvidia-smi", query, "--format=csv,noheader", root=root).splitlines()
    fields = [field.strip() for field in lines[0].split(",")] if lines else []
    if len(fields) != 4:
        return ""
    labels = ("{}", "compute capability {}", "{}", "driver {}")
    return ", ".join(label.format(field) for label, field in zip(labels, fields, strict=True) if "N/A" not in field)


class _GpuInfo(NamedTuple):
    """Properties of the GPU, read through the CUDA bindings."""

    name: str = ""  # with compute capability and memory; "" if the GPU could not be opened
    bindings: str = ""  # driver and bindings; "" without bindings
    graphs: bool = True  # whether the bindings support CUDA graphs
    problem: str = ""  # why the GPU could not be opened


def _open_gpu() -> _GpuInfo:
    """Open the first GPU, read its properties, and close it."""
    try:
        with Gpu() as gpu:
            name = f"{gpu.name}, compute capability {gpu.compute_capability}, {gpu.memory_bytes / 1e9:.0f} GB"
            return _GpuInfo(name, f"driver for CUDA {gpu.driver}, {gpu.runtime}", gpu.graphs)
    except MissingDependencyError:
        return _GpuInfo()
    except EngineError as error:
        return _GpuInfo(problem=str(error).partition(";")[0])


def _no_gpu(root: Path) -> Check:
    for device in sorted((root / "sys/bus/pci/devices").glob("*")):
        with suppress(OSError):
            vendor, pci_class = ((device / name).read_text("ascii").strip() for name in ("vendor", "class"))
            if vendor == NVIDIA_VENDOR and pci_class.startswith(DISPLAY_CLASS):
                return Check("NVIDIA GPU", "missing", "no driver installed", DRIVER)
    return Check("NVIDIA GPU", "missing", "none; networks run on the CPU")


def _jetson_checks(jetson: Jetson) -> Iterator[Check]:
    software = f"JetPack {jetson.jetpack}, " if jetson.jetpack else "no JetPack packages, "
    detail = f"{jetson.model or 'unknown model'}, {software}Jetson Linux {jetson.l4t}"
    yield Check("Jetson", "ok", detail, "" if jetson.jetpack else JETPACK)
    clocks = [", ".join(map(str, jetson.clocks))] if jetson.clocks else []
    settings = "; ".join([jetson.power_mode or "not known (sudo nvpmodel -q)", *clocks])
    unlocked = bool(jetson.clocks) and not jetson.locked
    yield Check("power mode", "ok", settings + (", not locked" if unlocked else ""), _faster(jetson, unlocked))
    cores = {0: "none", 1: "1 core"}.get(jetson.dla_cores, f"{jetson.dla_cores} cores")
    yield Check("DLA", "ok" if jetson.dla_cores else "missing", cores)
    if not jetson.encodes_video:
        yield Check("video encoder", "missing", "no NVENC: videos are encoded on the CPU; --json writes faces only")


def _faster(jetson: Jetson, unlocked: bool) -> str:
    """The command that sets the fastest power mode and locks the clocks, as far as they are not."""
    fastest = jetson.fastest_mode
    slower = fastest and jetson.power_mode and fastest.name != jetson.power_mode
    commands = [f"sudo nvpmodel -m {fastest.id}"] if fastest and slower else []
    commands += ["sudo jetson_clocks"] if unlocked or slower else []  # a new mode has other clocks
    return " && ".join(commands) + (f"  # {fastest.name}" if fastest and slower else "")


def extra_command(cuda: int) -> str:
    """The command that installs TensorRT, CUDA bindings and NVRTC for a driver, or a newer driver if it is too old.

    Args:
        cuda: newest major version of CUDA that the driver supports; 0 if unknown.
    """
    return DRIVER if 0 < cuda < min(MAJORS) else f"pip install 'facesr-edge[{gpu_extra(cuda)}]'"


def cuda_python_for(jetson: Jetson | None, cuda: int) -> str:
    """The command that installs CUDA bindings; on a Jetson for its CUDA: 12 up to JetPack 6, 13 from JetPack 7."""
    if jetson is None:
        return extra_command(cuda)
    release = re.match(r"\d+", jetson.l4t)
    major = 13 if release and int(release.group()) >= 38 else 12
    return f"pip install 'cuda-python=={major}.*'"


def _bindings(gpu: _GpuInfo, jetson: Jetson | None, cuda: int) -> Check:
    if gpu.bindings and not gpu.graphs:
        return Check("CUDA", "ok", f"{gpu.bindings}: no CUDA graphs", cuda_python_for(jetson, cuda))
    if gpu.bindings:
        return Check("CUDA", "ok", gpu.bindings)
    too_new = 0 < cuda < int((CUDA_PYTHON.version or "0").partition(".")[0])
    remedy = cuda_python_for(jetson, cuda) if too_new or not gpu.problem else ""
    return Check("CUDA", "missing", gpu.problem or "no bindings; for running on the GPU", remedy)


def _nvrtc(root: Path, jetson: Jetson | None, cuda: int) -> Check:
    """NVRTC compiles the CUDA kernels; it is a Python package or part of the CUDA toolkit."""
    if NVRTC.version:
        return Check("NVRTC", "ok", NVRTC.version)
    folders = ("usr/local/cuda*/lib64", "usr/local/cuda*/targets/*/lib", "usr/lib/*-linux-gnu")
    names = sorted(path.resolve().name for folder in folders for path in root.glob(f"{folder}/libnvrtc.so.*"))
    if names:
        return Check("NVRTC", "ok", f"{names[-1].partition('.so.')[2]}, of the CUDA toolkit")
    return Check("NVRTC", "missing", "no libnvrtc; for CUDA kernels", JETPACK if jetson else extra_command(cuda))


def _tensorrt(jetson: Jetson | None, cuda: int) -> Check:
    """Whether TensorRT can be imported."""
    try:
        return Check("TensorRT", "ok", f"{tensorrt_version()}, for engines")
    except MissingDependencyError:
        remedy = TENSORRT_COMMAND if jetson else extra_command(cuda)
        return Check("TensorRT", "missing", "not installed; for engines on this GPU", remedy)
    except EngineError as error:
        problem, _, remedy = str(error).partition("; ")
        return Check("TensorRT", "missing", f"{TENSORRT.version or 'installed'}: {problem} ({remedy})")

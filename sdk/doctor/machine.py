"""Processor, memory, system and load of this machine, for reports of measurements."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...engines.jetson import ROOT, this_jetson

_INSTRUCTION_SETS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
"""Instruction sets that determine the speed of a network."""
MAX_LOAD = 0.5
"""Load average above which measured times are unreliable."""


@dataclass(frozen=True)
class Machine:
    """The machine of a measurement."""

    cpu: str  # name of the processor
    cores: int  # available to this process
    instructions: tuple[str, ...]  # relevant instruction sets
    memory_gb: float  # total memory
    system: str  # operating system and architecture
    python: str  # version
    jetson: str = ""  # release, power mode and clocks; "" if it is no Jetson

    def __str__(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        jetson = f", {self.jetson}" if self.jetson else ""
        return f"{self.cpu}, {cores}, {self.memory_gb:.0f} GB, {self.system}{jetson}"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def this_machine(root: Path = ROOT) -> Machine:
    """Describe this machine.

    Args:
        root: of the file system in which processor and Jetson are looked up.
    """
    import psutil  # not needed to import the package

    info = _cpuinfo(root)
    jetson = this_jetson(root)
    flags = set(info.get("flags", info.get("Features", "")).split())
    return Machine(
        cpu=info.get("model name") or _device_tree_model(root) or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        instructions=tuple(name for name in _INSTRUCTION_SETS if name in flags),
        memory_gb=psutil.virtual_memory().total / 1e9,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        jetson=str(jetson) if jetson else "",
    )


def _cpuinfo(root: Path) -> dict[str, str]:
    """The fields of the first processor in Linux's /proc/cpuinfo; empty on other systems.

    py-cpuinfo reads the same file, but its get_cpu_info() also runs CPUID in a subprocess: 1.2 s instead of 1 ms.
    """
    try:
        first = (root / "proc/cpuinfo").read_text("utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _device_tree_model(root: Path) -> str:
    """Name of an ARM board, whose /proc/cpuinfo has no processor name."""
    try:
        return (root / "proc/device-tree/model").read_text("utf-8").strip("\0 \n")
    except OSError:
        return ""


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process, in MB; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource  # psutil reports no peak on Linux

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def load_now() -> float:
    """Load average of the last minute."""
    import psutil

    return round(float(psutil.getloadavg()[0]), 2)


def busy(machine: Machine, load: float | None) -> tuple[str, ...]:
    """A note if other processes were running when a measurement started."""
    if load is None or load <= MAX_LOAD:
        return ()
    return (f"other processes were running (load {load:.1f} on {machine.cores} cores): measured times are too long",)

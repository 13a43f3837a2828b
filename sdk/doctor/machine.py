"""Processor, memory, system and load of this machine, for reports of measurements."""

from __future__ import annotations

import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...engines.cpu import cpuinfo, instruction_sets, usable_cores
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

    info = cpuinfo(root)
    jetson = this_jetson(root)
    flags = instruction_sets(root)
    return Machine(
        cpu=info.get("model name") or _device_tree_model(root) or platform.processor() or platform.machine(),
        cores=usable_cores(),
        instructions=tuple(name for name in _INSTRUCTION_SETS if name in flags),
        memory_gb=psutil.virtual_memory().total / 1e9,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        jetson=str(jetson) if jetson else "",
    )


def _device_tree_model(root: Path) -> str:
    """Name of an ARM board, whose /proc/cpuinfo has no processor name."""
    try:
        return (root / "proc/device-tree/model").read_text("utf-8").strip("\0 \n")
    except OSError:
        return ""


def peak_memory_mb() -> float | None:
    """Peak resident memory of this process, in MB; None if the system does not report it."""
    if sys.platform == "win32":
        return None
    if sys.platform == "linux":  # its ru_maxrss is at least the memory of the process that started this one
        status = Path("/proc/self/status").read_text("utf-8")
        peaks = (int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
        return next((kib * 1024 / 1e6 for kib in peaks), None)
    import resource  # psutil reports no peak

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

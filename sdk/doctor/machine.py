"""The machine that a number was measured on."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...engines.jetson import ROOT, this_jetson

_TELLING = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_bf16", "amx_int8", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
"""Instruction sets that decide how fast a network runs."""


BUSY = 0.5
"""Processes that want a core, from which on times are too long."""


@dataclass(frozen=True)
class Machine:
    """What runs here.

    Args:
        cpu: its name.
        cores: that this process may use.
        instructions: instruction sets that matter to networks.
        memory_gb: of the machine; 0 where nobody knows.
        system: operating system and architecture.
        python: version.
        board: of a Jetson, its release, power mode and clocks; "" elsewhere.
    """

    cpu: str
    cores: int
    instructions: tuple[str, ...]
    memory_gb: float
    system: str
    python: str
    board: str = ""

    def __str__(self) -> str:
        cores = "1 core" if self.cores == 1 else f"{self.cores} cores"
        memory = f", {self.memory_gb:.0f} GB" if self.memory_gb else ""
        board = f", {self.board}" if self.board else ""
        return f"{self.cpu}, {cores}{memory}, {self.system}{board}"

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def this_machine(root: Path = ROOT) -> Machine:
    """Look at the machine that this runs on.

    Args:
        root: of the file system, for what the kernel tells of processor and board.
    """
    info = _cpuinfo(root)
    board = this_jetson(root)
    flags = set(info.get("flags", info.get("Features", "")).split())
    return Machine(
        cpu=info.get("model name") or _model(root) or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        instructions=tuple(name for name in _TELLING if name in flags),
        memory_gb=_memory_gb(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        board=str(board) if board else "",
    )


def peak_memory_mb() -> float | None:
    """The most resident memory that this process ever had, in MB; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor's lines of Linux's /proc/cpuinfo; empty elsewhere."""
    try:
        first = (root / "proc/cpuinfo").read_text("utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _model(root: Path) -> str:
    """An ARM board's name, which its /proc/cpuinfo leaves out."""
    try:
        return (root / "proc/device-tree/model").read_text("utf-8").strip("\0 \n")
    except OSError:
        return ""


def _memory_gb() -> float:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return 0.0


def load_now() -> float | None:
    """Processes that wanted a core, mean of the last minute; none where the system does not say."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def busy(machine: Machine, load: float | None) -> tuple[str, ...]:
    """A note where other processes were at work as a measurement began."""
    if load is None or load <= BUSY:
        return ()
    return (f"other processes were at work (load {load:.1f} on {machine.cores} cores): times are too long",)

"""The processor: name, instruction sets and usable cores, from Linux's /proc/cpuinfo; other systems: unknown."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path("/")
VNNI = frozenset(("avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"))
"""Instruction sets that add products of 8-bit integers in 32 bits. Without them x86 adds pairs in 16 bits, which
saturate for weights of 8 bits; weights of 7 bits are safe everywhere."""
BF16 = frozenset(("avx512_bf16", "amx_bf16", "bf16"))


def cpuinfo(root: Path = ROOT) -> dict[str, str]:
    """The fields of the first processor in /proc/cpuinfo; empty on other systems.

    py-cpuinfo reads the same file, but its get_cpu_info() also runs CPUID in a subprocess: 1.2 s instead of 1 ms.

    Args:
        root: of the file system.
    """
    try:
        first = (root / "proc/cpuinfo").read_text("utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def instruction_sets(root: Path = ROOT) -> frozenset[str]:
    """Flags of the processor, e.g. "avx2" or "asimddp"; empty if unknown."""
    info = cpuinfo(root)
    return frozenset(info.get("flags", info.get("Features", "")).split())


def has_vnni(root: Path = ROOT) -> bool:
    """Whether 8-bit weights are safe and fast in INT8, see `VNNI`; False if unknown."""
    return bool(VNNI & instruction_sets(root))


def has_bf16(root: Path = ROOT) -> bool:
    """Whether the processor computes in bfloat16; False if unknown."""
    return bool(BF16 & instruction_sets(root))


def usable_cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

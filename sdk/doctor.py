"""What this machine can run, and what is missing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..engines.errors import BundleError
from ..zoo import catalogue
from .machine import this_machine
from .packages import PACKAGES

State = Literal["ok", "missing", "broken"]
REINSTALL = "pip install --force-reinstall --no-deps facesr-edge"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        name: of the thing.
        state: there; not there, which nothing needs that was asked for so far; or so that nothing runs.
        detail: in words.
        remedy: the command that helps; "" where none does or none is needed.
    """

    name: str
    state: State
    detail: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look at everything; takes no longer than to hash the models."""
    return [*_machine(), *_accelerators(), *_packages(), *_models()]


def _machine() -> Iterator[Finding]:
    machine = this_machine()
    yield Finding("facesr-edge", "ok", __version__)
    yield Finding("Python", "ok", f"{machine.python}, {machine.system}")
    yield Finding("processor", "ok", f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB of memory")
    yield Finding("instructions", "ok", " ".join(machine.instructions) or "not known on this system")


def _accelerators() -> Iterator[Finding]:
    tegra = Path("/etc/nv_tegra_release")
    if tegra.exists():
        yield Finding("Jetson", "ok", tegra.read_text("utf-8", errors="replace").splitlines()[0].lstrip("# "))
    gpu = nvidia_gpu()
    yield Finding("NVIDIA GPU", "ok", gpu) if gpu else Finding("NVIDIA GPU", "missing", "none; networks run on the CPU")


def nvidia_gpu() -> str:
    """Name, memory and driver of the first GPU, as nvidia-smi says; "" without one."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ""
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0]


def _packages() -> Iterator[Finding]:
    for package in PACKAGES:
        if package.version:
            yield Finding(package.name, "ok", f"{package.version}, for {package.purpose}")
        else:
            state: State = "missing" if package.extra else "broken"
            yield Finding(package.name, state, f"not installed; for {package.purpose}", package.remedy)


def _models() -> Iterator[Finding]:
    names = catalogue.names()
    for needed in (catalogue.DEFAULT_MODEL, catalogue.DEFAULT_DETECTOR):
        if needed not in names:
            yield Finding(f"model {needed}", "broken", "not in this installation", REINSTALL)
    for name in names:
        try:
            card = catalogue.find(name).card
        except BundleError as error:
            yield Finding(f"model {name}", "broken", str(error), REINSTALL)
        else:
            yield Finding(f"model {name}", "ok", f"{card.contract.task}, {card.precision}, hashes agree")

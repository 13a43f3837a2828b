"""What this machine can run, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ... import __version__
from ...engines.errors import BundleError
from ...engines.jetson import ROOT
from ...zoo import catalogue
from .checks import PACKAGES, Finding, State
from .gpu import gpu_findings
from .machine import this_machine

REINSTALL = "pip install --force-reinstall --no-deps facesr-edge"


def examine(root: Path = ROOT) -> list[Finding]:
    """Look at everything; takes no longer than to hash the models and to open a GPU.

    Args:
        root: of the file system that tells of board, driver and CUDA.
    """
    return [*_machine(), *gpu_findings(root), *_packages(), *_models()]


def _machine() -> Iterator[Finding]:
    machine = this_machine()
    yield Finding("facesr-edge", "ok", __version__)
    yield Finding("Python", "ok", f"{machine.python}, {machine.system}")
    yield Finding("processor", "ok", f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB of memory")
    yield Finding("instructions", "ok", " ".join(machine.instructions) or "not known on this system")


def _packages() -> Iterator[Finding]:
    for package in PACKAGES:
        if package.extra == "tensorrt":
            continue  # told of with the GPU, and of no use without one
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

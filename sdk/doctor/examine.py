"""All checks of ``facesr-edge doctor``: machine, GPU, packages and models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ... import __version__
from ...engines.errors import BundleError
from ...engines.jetson import ROOT
from ...engines.registry import choose_engine
from ...zoo import catalogue
from .checks import CUDA_PYTHON, PACKAGES, PYCUDA, TENSORRT, Check, State
from .gpu import gpu_checks
from .machine import this_machine

REINSTALL = "pip install --force-reinstall --no-deps facesr-edge"


def examine(root: Path = ROOT) -> list[Check]:
    """Run all checks. The slowest are hashing the models and opening the GPU.

    Args:
        root: of the file system in which Jetson, driver and CUDA are looked up.
    """
    return [*_machine_checks(), *gpu_checks(root), *_package_checks(), *_model_checks()]


def _machine_checks() -> Iterator[Check]:
    machine = this_machine()
    yield Check("facesr-edge", "ok", __version__)
    yield Check("Python", "ok", f"{machine.python}, {machine.system}")
    yield Check("processor", "ok", f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb:.0f} GB of memory")
    yield Check("instructions", "ok", " ".join(machine.instructions) or "not known on this system")


def _package_checks() -> Iterator[Check]:
    for package in PACKAGES:
        if package in (TENSORRT, CUDA_PYTHON, PYCUDA):
            continue  # covered by the GPU checks, and of no use without a GPU
        if package.version:
            yield Check(package.name, "ok", f"{package.version}, for {package.purpose}")
        else:
            state: State = "missing" if package.extra else "broken"
            yield Check(package.name, state, f"not installed; for {package.purpose}", package.remedy)


def _model_checks() -> Iterator[Check]:
    names = catalogue.names()
    for required in (catalogue.DEFAULT_MODEL, catalogue.DEFAULT_DETECTOR):
        if required not in names:
            yield Check(f"model {required}", "broken", "not in this installation", REINSTALL)
    for name in (*names, *catalogue.companions()):
        try:
            bundle = catalogue.find(name)
            card = bundle.card
        except BundleError as error:
            yield Check(f"model {name}", "broken", str(error), REINSTALL)
        else:
            precisions = ", ".join(bundle.precisions)
            yield Check(f"model {name}", "ok", f"{card.io_spec.task}, {precisions}, hashes match")
            if name in (catalogue.DEFAULT_MODEL, catalogue.DEFAULT_DETECTOR):
                yield Check(f"engine of {name}", "ok", str(choose_engine(bundle, measure=False)))

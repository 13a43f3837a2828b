"""A run of the tables, kept: its figures and its chart in a folder of its own."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ...engines.errors import OutputError
from .chart import draw
from .timing import Timing

RESULTS = Path("benchmarks/results")
JSON, PNG = "tables.json", "tables.png"


def default_folder(cpu: str, cores: int, when: str) -> Path:
    """``benchmarks/results/MACHINE-DATE``.

    Args:
        cpu: name of the processor.
        cores: that the process may use.
        when: ISO 8601; its day counts.
    """
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", cpu.lower())).strip("-")
    return RESULTS / f"{name or 'machine'}-{cores}-{'core' if cores == 1 else 'cores'}-{when[:10]}"


def make_folder(folder: Path) -> None:
    """Make it, for those who would find out after minutes that it cannot be made.

    Raises:
        OutputError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make {folder}: {error.strerror or error}; choose another folder with -o") from None


def save(timing: Timing, folder: Path) -> None:
    """Write figures and chart; those of an earlier run there are replaced.

    Raises:
        OutputError: they cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    make_folder(folder)
    try:
        (folder / JSON).write_text(json.dumps(timing.to_dict(), indent=2, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {folder / JSON}: {error.strerror or error}; choose another folder") from None
    draw(timing, folder / PNG)

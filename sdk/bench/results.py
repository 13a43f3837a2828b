"""Folders of stored benchmark results: their names, and the files in them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...engines.errors import OutputError

RESULTS = Path("benchmarks/results")


def default_folder(cpu: str, cores: int, when: str) -> Path:
    """``benchmarks/results/MACHINE-DATE``, with the date of `when`, ISO 8601."""
    name = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", cpu.lower())).strip("-")
    return RESULTS / f"{name or 'machine'}-{cores}-{'core' if cores == 1 else 'cores'}-{when[:10]}"


def make_folder(folder: Path) -> None:
    """Create a folder before the measurement, so that a failure does not cost minutes.

    Raises:
        OutputError: it cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create {folder}: {error.strerror or error}; choose another folder with -o") from None


def save_results(folder: Path, name: str, document: dict[str, Any], draw: Callable[[Path], None]) -> None:
    """Write ``NAME.json`` and ``NAME.png``; existing files are replaced.

    Args:
        folder: created if it does not exist.
        name: of both files, without suffix.
        document: content of the JSON file.
        draw: draws the chart into a file.

    Raises:
        OutputError: a file cannot be written.
        MissingDependencyError: matplotlib is not installed.
    """
    make_folder(folder)
    path = folder / f"{name}.json"
    try:
        path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another folder") from None
    draw(folder / f"{name}.png")

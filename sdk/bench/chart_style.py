"""What all benchmark charts have in common: colors, axes, texts, and the file."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ...engines.errors import MissingDependencyError, OutputError, UsageError
from ..doctor.machine import Machine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GRID, MUTED = "#222222", "#e3e3e3", "#8c8c8c"
"""Colors of texts, grid lines, and secondary texts."""


def check_chart_path(path: Path) -> None:
    """Check before the measurement that a chart can be written.

    Raises:
        UsageError: the file is not a PNG.
        OutputError: the folder does not exist.
        MissingDependencyError: matplotlib is not installed.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"expected a chart file that ends in .png, got {path}")
    if not path.absolute().parent.is_dir():
        raise OutputError(f"cannot write {path}: folder {path.parent} does not exist; create it or choose another file")
    if find_spec("matplotlib") is None:
        raise MissingDependencyError("matplotlib", "bench", "the chart")


def style(axes: Axes) -> None:
    """Remove ticks and all spines but the lower one."""
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def write_texts(figure: Figure, left: float, title: str, subtitle: str, footnote: str) -> None:
    """Write title and subtitle at the top of a figure, and the footnote at the bottom."""
    inch = 1 / figure.get_figheight()
    figure.text(left, 1 - 0.33 * inch, title, fontsize=14, fontweight="bold", color=INK)
    figure.text(left, 1 - 0.6 * inch, subtitle, fontsize=9, color=MUTED)
    figure.text(left, 0.14 * inch, footnote, fontsize=8, color=MUTED)


def run_description(machine: Machine, threads: int, when: str) -> str:
    """Processor, threads and date of a run in one line."""
    per_call = f"threads: {threads}" if threads else "one thread per core"
    return f"{machine.cpu}, cores: {machine.cores}, {per_call} · {when[:10]}"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None

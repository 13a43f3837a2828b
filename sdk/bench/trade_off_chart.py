"""Quality against time as a picture: a point for each network, runtime and precision, a line through the best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...engines.errors import OutputError
from .chart import COLOURS, FAINT, INK, OTHER, PAPER_INK, STEPS, about, check
from .trade_off import OPENCV, Point, TradeOff

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUICK = (0.005, 0.01, 0.02, 0.05)
"""More of them, for what is quicker than any network of the tables."""
NEAR_MS, NEAR_DB = 1.35, 0.09
"""Two names that are nearer than this factor and this difference would touch."""


def draw(measured: TradeOff, path: Path) -> None:
    """Draw it.

    Args:
        measured: what was measured.
        path: PNG file to write.

    Raises:
        UsageError, MissingDependencyError: see `check`.
        OutputError: the file cannot be written.
    """
    check(path)
    from matplotlib.figure import Figure  # without pyplot: no window, and nothing is left open

    figure = Figure(figsize=(10, 6.2), dpi=150, facecolor="white")
    figure.subplots_adjust(left=0.075, right=0.86, top=0.84, bottom=0.13)
    axes = figure.subplots()
    best = measured.frontier
    axes.step([p.taken.p50 for p in best], [p.gain_db for p in best], where="post", color=FAINT, lw=7, zorder=1)
    told: set[str] = set()
    for point in measured.points:
        colour = _colour(point)
        name = "bicubic, OpenCV" if point.who.engine == OPENCV else str(point.who)
        label = None if name in told else name
        told.add(name)
        filled = colour if point in best else "white"
        axes.plot([point.taken.p10, point.taken.p90], [point.gain_db] * 2, color=colour, lw=1.4, alpha=0.45, zorder=2)
        axes.plot(
            point.taken.p50, point.gain_db, "o", ms=7, color=colour, mfc=filled, mew=1.6, ls="", label=label, zorder=3
        )
    _names(axes, measured)
    _axes(axes, measured)
    axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=INK)
    faces = "one face" if measured.batch == 1 else f"{measured.batch} faces"
    size = f"{measured.side}x{measured.side}"
    title = f"x{measured.scale}: gain over bicubic against the time of a call with {faces} of {size} px"
    figure.text(0.075, 0.94, title, fontsize=14, fontweight="bold", color=INK)
    figure.text(0.075, 0.895, about(measured.machine, measured.threads, measured.when), fontsize=9, color=PAPER_INK)
    words = f"PSNR on the luma, {measured.faces}, shrunk by bicubic. Filled: nothing is both better and quicker."
    figure.text(0.075, 0.025, words, fontsize=8, color=PAPER_INK)
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None


def _colour(point: Point) -> str:
    return INK if point.who.engine == OPENCV else COLOURS.get(point.who, OTHER)


def _names(axes: Axes, measured: TradeOff) -> None:
    """Each network's name once, right of its slowest point, where no other name stands."""
    placed: list[tuple[float, float]] = []
    last = {point.model: point for point in measured.points}
    for point in sorted(last.values(), key=lambda p: p.gain_db):
        x, y = point.taken.p90, point.gain_db
        while any(1 / NEAR_MS < x / at < NEAR_MS and abs(y - up) < NEAR_DB for at, up in placed):
            y += NEAR_DB / 3
        placed.append((x, y))
        axes.annotate(point.model, (x, y), (6, 0), textcoords="offset points", va="center", fontsize=9, color=INK)


def _axes(axes: Axes, measured: TradeOff) -> None:
    ends = [ms for point in measured.points for ms in (point.taken.p10, point.taken.p90)]
    steps = (*QUICK, *STEPS)
    low = max((step for step in steps if step <= min(ends)), default=steps[0])
    high = min((step for step in steps if step >= max(ends)), default=steps[-1])
    axes.set_xscale("log")
    axes.set_xlim(low * 0.9, high * 1.1)
    axes.set_xticks([step for step in steps if low <= step <= high])
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("ms a call: median, with the range of four in five", fontsize=9, color=INK)
    axes.set_ylabel("dB over bicubic", fontsize=9, color=INK)
    axes.grid(color=FAINT, lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)

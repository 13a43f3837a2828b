"""Quality against time as a picture: a point for each network, runtime and precision, a line through the best."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...engines.errors import OutputError
from .pareto import OPENCV, ParetoResult, Point
from .table_chart import COLOURS, FAINT, INK, OTHER, PAPER_INK, STEPS, about, check

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

QUICK = (0.005, 0.01, 0.02, 0.05)
"""More of them, for what is quicker than any network of the tables."""
MARK = 7
"""Diameter of a point, in points of 1/72 inch."""
PLACES = tuple(
    (side, *offset)
    for far in (0, 11, 20, 30, 42)
    for side, offset in (("left", (7, far)), ("left", (7, -far)), ("right", (-7, far)), ("right", (-7, -far)))
)
"""Where a name may stand: which of its ends is fixed, and how far right of and above the last point, or the first."""


def draw(measured: ParetoResult, path: Path) -> None:
    """Draw it.

    Args:
        measured: what was measured.
        path: PNG file to write.

    Raises:
        UsageError, MissingDependencyError: see `check`.
        OutputError: the file cannot be written.
    """
    check(path)
    drawing = figure_of(measured)
    try:
        drawing.savefig(path, format="png")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None


def figure_of(measured: ParetoResult) -> Figure:
    """The drawing, which no window shows and nothing keeps open."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.2), dpi=150, facecolor="white")
    figure.subplots_adjust(left=0.075, right=0.86, top=0.84, bottom=0.13)
    axes = figure.subplots()
    best = measured.frontier
    axes.step([p.taken.p50 for p in best], [p.gain_db for p in best], where="post", color=FAINT, lw=7, zorder=1)
    for point in measured.points:
        colour, ms, gain = _colour(point), point.taken, point.gain_db
        filled = colour if point in best else "white"
        axes.plot([ms.p10, ms.p90], [gain] * 2, color=colour, lw=1.4, alpha=0.45, zorder=2)
        axes.plot(ms.p50, gain, "o", ms=MARK, color=colour, mfc=filled, mew=1.6, zorder=3)
    for name, colour in {_runtime(point): _colour(point) for point in measured.points}.items():
        axes.plot([], [], "o", ms=MARK, color=colour, label=name)
    _axes(axes, measured)
    legend = axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=INK)
    _names(axes, measured, legend.get_window_extent())
    faces = "one face" if measured.batch == 1 else f"{measured.batch} faces"
    size = f"{measured.side}x{measured.side}"
    title = f"x{measured.scale}: gain over bicubic against the time of a call with {faces} of {size} px"
    figure.text(0.075, 0.94, title, fontsize=14, fontweight="bold", color=INK)
    figure.text(0.075, 0.895, about(measured.machine, measured.threads, measured.when), fontsize=9, color=PAPER_INK)
    words = f"PSNR on the luma, {measured.faces}, shrunk by bicubic. Filled: nothing is both better and quicker."
    figure.text(0.075, 0.025, words, fontsize=8, color=PAPER_INK)
    return figure


def _runtime(point: Point) -> str:
    return "bicubic, OpenCV" if point.who.engine == OPENCV else str(point.who)


def _colour(point: Point) -> str:
    return INK if point.who.engine == OPENCV else COLOURS.get(point.who, OTHER)


def _names(axes: Axes, measured: ParetoResult, legend: Bbox) -> None:
    """Each network's name once, right or left of its points, in the first place where nothing else is."""
    from matplotlib.transforms import Bbox

    ends = [axes.transData.transform([(p.taken.p10, p.gain_db), (p.taken.p90, p.gain_db)]) for p in measured.points]
    radius = MARK / 2 * axes.figure.dpi / 72
    taken = [legend, *(Bbox(end).padded(radius) for end in ends)]
    for model in dict.fromkeys(point.model for point in measured.points):
        points = [point for point in measured.points if point.model == model]
        fixed = {"left": max(p.taken.p90 for p in points), "right": min(p.taken.p10 for p in points)}
        for side, aside, up in PLACES:
            at, offset = (fixed[side], points[0].gain_db), (aside, up)
            name = axes.annotate(
                model, at, offset, textcoords="offset points", ha=side, va="center", fontsize=9, color=INK
            )
            box = name.get_window_extent()
            free = not box.count_overlaps(taken) and axes.figure.bbox.fully_containsx(box.x1)
            if free or (side, aside, up) == PLACES[-1]:
                break
            name.remove()
        taken.append(box)


def _axes(axes: Axes, measured: ParetoResult) -> None:
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

"""Benchmark charts, drawn with matplotlib: latency over depth and width, and accuracy against latency."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .chart_style import GRID, INK, MUTED, check_chart_path, run_description, save, style, write_texts
from .configs import Backend
from .paper import SCALE, SIDE, PaperTable
from .pareto import OPENCV, ParetoResult, Point
from .tables import TableTimings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

COLORS = {
    Backend("onnxruntime", "fp32"): "#0b5fa5",
    Backend("onnxruntime", "fp16"): "#3fa7d6",
    Backend("onnxruntime", "int8"): "#0f9d6b",
    Backend("openvino", "fp32"): "#b8860b",
    Backend("openvino", "fp16"): "#e0a800",
    Backend("openvino", "int8"): "#7a5c00",
    Backend("tensorrt", "fp32"): "#8a3ffc",
    Backend("tensorrt", "fp16"): "#d9480f",
    Backend("tensorrt", "int8"): "#c2255c",
}
"""Color of each backend; lines are labelled as well, for readers with color vision deficiency."""
OTHER = "#555555"
"""Color of any other backend."""
TICKS_MS = tuple(digit * 10**exponent for exponent in range(-3, 4) for digit in (1, 2, 5))[2:]
"""Ticks of a logarithmic latency axis: 0.005 to 5000 ms."""
MARKER = 7
"""Diameter of a point of the Pareto chart, in points of 1/72 inch."""
LABEL_PLACES = tuple(
    (side, x, sign * distance)
    for distance in (0, 11, 20, 30, 42)
    for side, x in (("left", 7), ("right", -7))
    for sign in (1, -1)
)
"""Candidate places of a model's name: horizontal alignment, and offset in points from its last or first point."""


def draw_tables(timings: TableTimings, path: Path) -> None:
    """Draw the timing tables as PNG, one panel each: measured latencies, and those of the paper as a dashed line.

    Raises:
        UsageError, MissingDependencyError: see `check_chart_path`.
        OutputError: the file cannot be written.
    """
    check_chart_path(path)
    from matplotlib.figure import Figure  # pyplot would keep the figure open

    figure = Figure(figsize=(6 * len(timings.tables), 5), dpi=150, facecolor="white")
    figure.subplots_adjust(left=0.06, right=0.865, top=0.8, bottom=0.17, wspace=0.52)
    panels = figure.subplots(1, len(timings.tables), squeeze=False, sharey=True)[0]
    latencies = [ms for network in timings.networks.values() for ms in network.latencies_ms.values()]
    ends = [end for ms in latencies for end in (ms.p10, ms.p90)]
    ends += [row.paper_ms for table in timings.tables for row in table.rows]
    limits = _log_axis(panels[0], "y", ends, 0.05)
    for axes, table in zip(panels, timings.tables, strict=True):
        _draw_table(axes, timings, table, limits)
    title = f"IDRN x{SCALE}, {_faces(timings.batch)} of {SIDE}x{SIDE} px: latency of a call in ms"
    footnote = "Line: median; band: 10th to 90th percentile; dashed: the paper, one face, GTX 1060. Log scale."
    write_texts(figure, 0.06, title, run_description(timings.machine, timings.threads, timings.when), footnote)
    save(figure, path)


def _draw_table(axes: Axes, timings: TableTimings, table: PaperTable, limits: tuple[float, float]) -> None:
    x = [row.depth if table.varies == "depth" else row.width for row in table.rows]
    paper_ms = [row.paper_ms for row in table.rows]
    axes.plot(x, paper_ms, "--", color=MUTED, lw=1.6, marker="o", ms=4, mfc="white", zorder=2)
    labels = [(paper_ms[-1], "paper, GTX 1060", MUTED)]  # end of a line in ms, name, color
    for backend in timings.backends:
        latencies = [timings.networks[row.size].latencies_ms.get(backend) for row in table.rows]
        points = [(at, latency) for at, latency in zip(x, latencies, strict=True) if latency]
        if points:
            at, color = [at for at, _ in points], COLORS.get(backend, OTHER)
            axes.fill_between(at, [s.p10 for _, s in points], [s.p90 for _, s in points], color=color, alpha=0.15, lw=0)
            axes.plot(at, [s.p50 for _, s in points], "-", color=color, lw=2, marker="o", ms=5, zorder=3)
            labels.append((points[-1][1].p50, str(backend), color))
    for y, (_, name, color) in zip(_spread([end for end, *_ in labels], limits), labels, strict=True):
        axes.text(1.03, y, name, color=color, fontsize=9, va="center", transform=axes.get_yaxis_transform())
    gmac = [timings.networks[row.size].macs / 1e9 for row in table.rows]
    axes.set_xticks(x, [f"{at}\n{g:.3g} GMAC" for at, g in zip(x, gmac, strict=True)], color=INK, fontsize=9)
    axes.set_title(table.title, loc="left", fontsize=10.5, color=INK, pad=8)
    margin = 0.06 * (x[-1] - x[0] or 1)
    axes.set_xlim(x[0] - margin, x[-1] + margin)
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.tick_params(labelleft=True)
    style(axes)


def _spread(ends: list[float], limits: tuple[float, float]) -> list[float]:
    """Positions of labels on a log scale: at the ends of the lines, moved up where two would overlap."""
    line_height = (limits[1] / limits[0]) ** 0.05  # factor that is one line of text on the panel
    placed: dict[int, float] = {}
    below = 0.0
    for index in sorted(range(len(ends)), key=lambda n: ends[n]):
        below = placed[index] = max(ends[index], below * line_height)
    return [placed[index] for index in range(len(ends))]


def draw_pareto(result: ParetoResult, path: Path) -> None:
    """Draw accuracy against latency as PNG, with the Pareto frontier.

    Raises:
        UsageError, MissingDependencyError: see `check_chart_path`.
        OutputError: the file cannot be written.
    """
    check_chart_path(path)
    save(pareto_figure(result), path)


def pareto_figure(result: ParetoResult) -> Figure:
    """The Pareto chart as a matplotlib figure: one point per network, runtime and precision; the frontier is filled."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6.2), dpi=150, facecolor="white")
    figure.subplots_adjust(left=0.075, right=0.86, top=0.84, bottom=0.13)
    axes = figure.subplots()
    frontier = result.frontier
    x, y = [p.latency_ms.p50 for p in frontier], [p.gain_db for p in frontier]
    axes.step(x, y, where="post", color=GRID, lw=7, zorder=1)
    for point in result.points:
        color, ms, gain = _point_color(point), point.latency_ms, point.gain_db
        axes.plot([ms.p10, ms.p90], [gain] * 2, color=color, lw=1.4, alpha=0.45, zorder=2)
        fill = color if point in frontier else "white"
        axes.plot(ms.p50, gain, "o", ms=MARKER, color=color, mfc=fill, mew=1.6, zorder=3)
    for name, color in {_point_backend(point): _point_color(point) for point in result.points}.items():
        axes.plot([], [], "o", ms=MARKER, color=color, label=name)
    _log_axis(axes, "x", [ms for p in result.points for ms in (p.latency_ms.p10, p.latency_ms.p90)], 0.1)
    axes.set_xlabel("latency of a call in ms: median, 10th to 90th percentile", fontsize=9, color=INK)
    axes.set_ylabel("PSNR gain over bicubic in dB", fontsize=9, color=INK)
    axes.grid(color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    style(axes)
    legend = axes.legend(loc="lower right", frameon=False, fontsize=9, labelcolor=INK)
    _label_models(axes, result, legend.get_window_extent())
    size = f"{result.side}x{result.side}"
    title = f"x{result.scale}: gain over bicubic against latency of a call with {_faces(result.batch)} of {size} px"
    footnote = f"Luma PSNR, {result.faces}, bicubic downscaling. Filled: Pareto frontier."
    write_texts(figure, 0.075, title, run_description(result.machine, result.threads, result.when), footnote)
    return figure


def _point_backend(point: Point) -> str:
    return "bicubic, OpenCV" if point.backend.engine == OPENCV else str(point.backend)


def _point_color(point: Point) -> str:
    return INK if point.backend.engine == OPENCV else COLORS.get(point.backend, OTHER)


def _label_models(axes: Axes, result: ParetoResult, legend: Bbox) -> None:
    """Write each model's name once, at the first of `LABEL_PLACES` that is free."""
    from matplotlib.transforms import Bbox

    spans = [(p.latency_ms.p10, p.latency_ms.p90, p.gain_db) for p in result.points]
    boxes = [Bbox(axes.transData.transform([(low, gain), (high, gain)])) for low, high, gain in spans]
    occupied = [legend, *(box.padded(MARKER / 2 * axes.figure.dpi / 72) for box in boxes)]
    for model in dict.fromkeys(point.model for point in result.points):
        points = [point for point in result.points if point.model == model]
        x = {"left": max(p.latency_ms.p90 for p in points), "right": min(p.latency_ms.p10 for p in points)}
        for place in LABEL_PLACES:
            side, *offset = place
            style: dict[str, Any] = {"ha": side, "va": "center", "fontsize": 9, "color": INK}
            at = x[side], points[0].gain_db
            text = axes.annotate(model, at, (offset[0], offset[1]), textcoords="offset points", **style)
            box = text.get_window_extent()
            free = not box.count_overlaps(occupied) and axes.figure.bbox.fully_containsx(box.x1)
            if free or place == LABEL_PLACES[-1]:
                break
            text.remove()
        occupied.append(box)


def _log_axis(axes: Axes, axis: Literal["x", "y"], values: Iterable[float], margin: float) -> tuple[float, float]:
    """Set a logarithmic latency axis; returns its outer ticks, which enclose the values."""
    values = list(values)
    low = max((tick for tick in TICKS_MS if tick <= min(values)), default=TICKS_MS[0])
    high = min((tick for tick in TICKS_MS if tick >= max(values)), default=TICKS_MS[-1])
    getattr(axes, f"set_{axis}scale")("log")
    getattr(axes, f"set_{axis}lim")(low * (1 - margin), high * (1 + margin))
    getattr(axes, f"set_{axis}ticks")([tick for tick in TICKS_MS if low <= tick <= high])
    getattr(axes, f"set_{axis}ticks")([], minor=True)
    getattr(axes, f"{axis}axis").set_major_formatter(lambda value, _: f"{value:g}")
    return low, high


def _faces(batch: int) -> str:
    return "one face" if batch == 1 else f"{batch} faces"

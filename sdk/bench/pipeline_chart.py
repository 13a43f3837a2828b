"""Chart of `bench pipeline`: stacked stage times, and frames/s over the number of faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .chart_style import GRID, INK, check_chart_path, run_description, save, style, write_texts
from .pipeline import PipelineTimings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COMPONENT_COLORS = {
    "decode": "#999999",
    "detect: network": "#0072B2",
    "detect: rest": "#56B4E9",
    "crop": "#F0E442",
    "register": "#A6761D",
    "upscale: network": "#D55E00",
    "upscale: rest": "#E69F00",
    "paste: enlarge": "#009E73",
    "paste: faces": "#CC79A7",
    "encode": "#222222",
}
"""Colors of the components of a frame: the palette of M. Okabe and K. Ito, for all kinds of color vision."""
SIZE_COLORS = ("#0072B2", "#D55E00", "#009E73")
MARKERS = ("o", "s", "^")
"""Colors and markers of the frame sizes."""
MIN_SHARE = 0.002
"""Components below this share of every frame have no entry in the legend."""


def draw_pipeline(timings: PipelineTimings, path: Path) -> None:
    """Draw the timings as PNG.

    Raises:
        UsageError, MissingDependencyError: see `check_chart_path`.
        OutputError: the file cannot be written.
    """
    check_chart_path(path)
    save(pipeline_figure(timings), path)


def pipeline_figure(timings: PipelineTimings) -> Figure:
    """The chart as a matplotlib figure: a panel of stacked bars for each frame size, and one of frames/s."""
    from matplotlib.figure import Figure  # pyplot would keep the figure open

    figure = Figure(figsize=(10, 9.2), dpi=150, facecolor="white")
    grid = figure.add_gridspec(2, len(timings.sizes), left=0.075, right=0.975, top=0.835, bottom=0.105, hspace=0.3)
    bars = [figure.add_subplot(grid[0, column]) for column in range(len(timings.sizes))]
    for axes, size in zip(bars, timings.sizes, strict=True):
        _draw_stages(axes, timings, size)
    bars[0].set_ylabel("mean time of a frame in ms", fontsize=9.5, color=INK)
    handles, labels = bars[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0.925), ncols=4, frameon=False, fontsize=9)
    _draw_throughput(figure.add_subplot(grid[1, :]), timings)
    title = f"Pipeline: stage times and throughput, {timings.model}, outscale {timings.outscale}"
    subtitle = run_description(timings.machine, timings.threads, timings.when)
    footnote = (
        "Upper: frames one after another; each panel has its own scale. Lower: solid: overlapped stages; dashed: one "
        f"after another; log scales.\nFaces of 40 to 72 px; no decoding, no encoding; rounds: {timings.rounds}, frames "
        f"in each: {timings.frames}."
    )
    write_texts(figure, 0.075, title, subtitle, footnote)
    return figure


def _draw_stages(axes: Axes, timings: PipelineTimings, size: str) -> None:
    scenes = timings.of_size(size)
    x, bottom = range(len(scenes)), [0.0] * len(scenes)
    for name, color in COMPONENT_COLORS.items():
        heights = [scene.breakdown_ms[name] for scene in scenes]
        if max(s.breakdown_ms[name] / s.total.mean for s in timings.scenes) < MIN_SHARE:
            continue
        axes.bar(x, heights, bottom=bottom, width=0.72, color=color, edgecolor="white", linewidth=0.5, label=name)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    for at, top, scene in zip(x, bottom, scenes, strict=True):
        text = f"{scene.overhead_share:.0%}"
        axes.annotate(text, (at, top), (0, 3), textcoords="offset points", ha="center", fontsize=8, color=INK)
    axes.set_xticks(x, [str(scene.faces) for scene in scenes], color=INK, fontsize=9)
    axes.set_xlabel("faces in the frame; above the bars: overhead", fontsize=8.5, color=INK)
    axes.set_title(size, loc="left", fontsize=10.5, color=INK)
    axes.set_ylim(0, 1.08 * max(bottom))
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)
    style(axes)


def _draw_throughput(axes: Axes, timings: PipelineTimings) -> None:
    for number, size in enumerate(timings.sizes):
        scenes = sorted(timings.of_size(size), key=lambda scene: scene.faces)
        x, color = [scene.faces for scene in scenes], SIZE_COLORS[number % len(SIZE_COLORS)]
        line: dict[str, Any] = {"color": color, "marker": MARKERS[number % len(MARKERS)], "ms": 5}
        axes.plot(x, [scene.overlapped_fps for scene in scenes], "-", lw=2, label=size, **line)
        axes.plot(x, [scene.sequential_fps for scene in scenes], "--", lw=1.3, mfc="white", **line)
    counts = sorted({scene.faces for scene in timings.scenes})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts], fontsize=9)
    axes.set_xticks([], minor=True)
    _fps_axis(axes, timings)
    axes.set_xlabel("faces in the frame", fontsize=9.5, color=INK)
    axes.set_ylabel("frames/s", fontsize=9.5, color=INK)
    axes.grid(color=GRID, lw=0.8)
    axes.legend(loc="best", frameon=False, fontsize=9, labelcolor=INK)
    style(axes)


def _fps_axis(axes: Axes, timings: PipelineTimings) -> None:
    rates = [fps for scene in timings.scenes for fps in (scene.sequential_fps, scene.overlapped_fps)]
    ticks = [digit * 10.0**exponent for exponent in range(-3, 5) for digit in (1, 2, 5)]
    low = max((tick for tick in ticks if tick <= min(rates)), default=ticks[0])
    high = min((tick for tick in ticks if tick >= max(rates)), default=ticks[-1])
    axes.set_yscale("log")
    axes.set_ylim(0.95 * low, 1.05 * high)
    axes.set_yticks([tick for tick in ticks if low <= tick <= high])
    axes.set_yticks([], minor=True)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")

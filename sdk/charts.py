"""The drawings of a report: SVG that stretches with the page, words beside it in HTML so that they stay readable."""

from __future__ import annotations

from html import escape

import numpy as np

from .latency import PIECES, FrameTiming, Latency

MOST_BARS = 240
"""More frames than this are averaged in groups: a bar of half a pixel tells nothing."""
COLOURS = {name: f"c{n}" for n, name in enumerate(PIECES)}
"""Piece -> its class in the style sheet."""


def share_bar(means_ms: dict[str, float]) -> str:
    """One frame as a single bar, its pieces side by side.

    Args:
        means_ms: piece -> mean ms.
    """
    total = sum(means_ms.values()) or 1.0
    x, drawn = 0.0, []
    for name, ms in means_ms.items():
        width = 100 * ms / total
        title = f"<title>{escape(name)}: {ms:.2f} ms, {width:.1f} %</title>"
        drawn.append(f'<rect class="{COLOURS[name]}" x="{x:.3f}" width="{width:.3f}" height="10">{title}</rect>')
        x += width
    return f'<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" role="img">{"".join(drawn)}</svg>'


def legend(means_ms: dict[str, float]) -> str:
    """Colour, name, ms and share of each piece."""
    total = sum(means_ms.values()) or 1.0
    rows = (
        f'<li><i class="{COLOURS[name]}"></i><span>{escape(name)}</span>'
        f"<b>{ms:.2f}</b><small>{100 * ms / total:.1f}&thinsp;%</small></li>"
        for name, ms in means_ms.items()
    )
    return f'<ul class="legend">{"".join(rows)}</ul>'


def timeline(frames: tuple[FrameTiming, ...]) -> str:
    """Every frame as a stacked bar, in order, with the median across."""
    group = -(-len(frames) // MOST_BARS)
    bars = [frames[i : i + group] for i in range(0, len(frames), group)]
    totals = [timing.milliseconds["total"] for timing in frames]
    top = _round_up(max(totals))
    drawn = "".join(_bar(n, bar, top) for n, bar in enumerate(bars))
    median = 100 - 100 * float(np.median(totals)) / top
    drawn += f'<line class="median" x1="0" x2="{len(bars)}" y1="{median:.2f}" y2="{median:.2f}"/>'
    ticks = "".join(f'<span style="bottom:{25 * n}%">{top * n / 4:g}</span>' for n in range(5))
    lines = "".join(f'<line class="grid" x1="0" x2="{len(bars)}" y1="{25 * n}" y2="{25 * n}"/>' for n in range(4))
    box = f"0 0 {len(bars)} 100"
    svg = f'<svg viewBox="{box}" preserveAspectRatio="none" role="img">{lines}{drawn}</svg>'
    each = f"a bar is the mean of {group} frames" if group > 1 else "a bar is a frame"
    return (
        f'<div class="timeline"><div class="ticks">{ticks}</div>{svg}</div>'
        f'<p class="axis">ms; {each}, {len(frames)} in order; dashed: the median, {np.median(totals):.1f} ms</p>'
    )


def span(figures: Latency, largest_ms: float) -> str:
    """p50 to p99 of a stage as a stroke on a scale that all stages share; the dot is the median."""
    left, middle, right = (100 * value / (largest_ms or 1) for value in (figures.p50, figures.p90, figures.p99))
    return (
        f'<div class="span"><i style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        f'<i style="left:{left:.2f}%;width:{middle - left:.2f}%"></i><b style="left:{left:.2f}%"></b></div>'
    )


def _bar(n: int, group: tuple[FrameTiming, ...], top: float) -> str:
    pieces = [timing.pieces_ms for timing in group]
    y, rects = 100.0, []
    for name in PIECES:
        height = 100 * sum(ms[name] for ms in pieces) / len(pieces) / top
        y -= height
        if height > 0.05:
            rects.append(
                f'<rect class="{COLOURS[name]}" x="{n + 0.06}" width="0.88" y="{y:.2f}" height="{height:.2f}"/>'
            )
    total = sum(timing.milliseconds["total"] for timing in group) / len(group)
    faces = f"{group[0].faces} {'face' if group[0].faces == 1 else 'faces'}"
    return f"<g><title>frame {group[0].index}: {total:.2f} ms, {faces}</title>{''.join(rects)}</g>"


def _round_up(value: float) -> float:
    """To the next number that four ticks divide nicely."""
    step = 10 ** np.floor(np.log10(max(value, 1e-3)))
    return float(next(step * factor for factor in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * factor >= value))

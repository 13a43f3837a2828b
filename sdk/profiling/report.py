"""Profile as a self-contained HTML page: no scripts, no external resources."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template

import cv2
import numpy as np
from numpy.typing import NDArray

from ...calibration.timing import LatencyStats
from ..describe import quality_line
from ..pipeline.results import Face
from .json_writer import write_text
from .profile import Profile
from .timing import BREAKDOWN, REGISTER, FrameTiming

TEMPLATE = Path(__file__).with_name("report.html")
MAX_FACES = 4
MAX_LAYERS = 10
ESTIMATE = "Added detail is an estimate: plausible, not evidence."
MAX_BARS = 240
"""Longer timelines are averaged in groups of frames, so that a bar is wide enough to be seen."""
COLORS = {name: f"c{n}" for n, name in enumerate(BREAKDOWN)}
"""Component of the breakdown -> CSS class."""


def report_from_profile(profile: Profile) -> str:
    """Render the page, with images, charts and styles inlined."""
    breakdowns = [timing.breakdown_ms for timing in profile.timeline]
    means_ms = {name: float(np.mean([ms[name] for ms in breakdowns])) for name in BREAKDOWN}
    if not means_ms[REGISTER]:  # only faces of several frames are registered
        del means_ms[REGISTER]
    overhead = profile.overhead
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        title=escape(f"{Path(profile.source).name} · facesr-edge profile"),
        source=escape(Path(profile.source).name or profile.source),
        subtitle=escape(_subtitle(profile)),
        tiles=_tiles(profile),
        share=share_bar(means_ms),
        legend=legend(means_ms),
        timeline=timeline(profile.timeline),
        rows=_rows(profile),
        overhead_ms=_ms(overhead.mean),
        overhead_share=f"{profile.overhead_share:.1%}",
        overhead_share_css=f"{100 * profile.overhead_share:.2f}%",
        overhead_p50=_ms(overhead.p50),
        overhead_p99=_ms(overhead.p99),
        faces=_faces(profile.faces),
        layers=_layers(profile),
        card=_definitions(_card(profile)),
        machine=_definitions(_machine(profile)),
        measured_at=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def write_report(profile: Profile, path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text(path, report_from_profile(profile))


def _subtitle(profile: Profile) -> str:
    width, height = profile.size_wh
    output = f"{width * profile.outscale}×{height * profile.outscale}"
    return f"{width}×{height} → {output} · {profile.model} {profile.precision} · {profile.machine}"


def _tiles(profile: Profile) -> str:
    total, overhead = profile.stages["total"], profile.overhead
    tiles = [
        ("key", f"{profile.fps:.1f}", "frames/s", f"one frame at a time, mean of {len(profile.timeline)}"),
        ("", _ms(total.p50), "ms", f"per frame, median; p99 {_ms(total.p99)}"),
        ("", f"{profile.faces_per_frame:.1f}", "", "faces per frame"),
        ("", _ms(overhead.mean), "ms", f"overhead, {profile.overhead_share:.1%}"),
    ]
    if profile.overlapped_fps is not None:
        tiles.insert(1, ("", f"{profile.overlapped_fps:.1f}", "frames/s", "with overlapping stages"))
    if profile.peak_memory_mb is not None:
        tiles.append(("", f"{profile.peak_memory_mb:.0f}", "MB", "peak memory"))
    return "".join(
        f'<div class="tile {kind}"><b>{value}<small>{unit}</small></b><span>{escape(text)}</span></div>'
        for kind, value, unit, text in tiles
    )


def _ms(value: float) -> str:
    """Three significant digits, at most two decimals."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _rows(profile: Profile) -> str:
    stages, rows = profile.stages, []
    for name, latency in stages.items():
        kind = "part" if "." in name else "total" if name == "total" else ""
        label = name.partition(".")[2] or name.replace("_", "-")
        numbers = (_ms(v) for v in (latency.p50, latency.p90, latency.p99, latency.mean))
        cells = "".join(f"<td>{number}</td>" for number in numbers)
        share = f"<td>{latency.mean / stages['total'].mean:.1%}</td>"
        chart = f'<td class="chart">{percentile_bar(latency, stages["total"].p99)}</td>'
        rows.append(f'<tr class="{kind}"><td>{escape(label)}</td>{cells}{share}{chart}</tr>')
    return "".join(rows)


def _layers(profile: Profile) -> str:
    """Slowest layers of each network; "" if layers were not measured."""
    parts = []
    for part, times in profile.layers.items():
        slowest = sorted(times, key=lambda layer: -layer.ms)[:MAX_LAYERS]
        total = sum(layer.ms for layer in times) or 1.0
        rows = "".join(
            f"<tr><td>{escape(layer.name)}</td><td>{escape(layer.kind)}</td><td>{layer.ms:.3f}</td>"
            f"<td>{layer.ms / total:.1%}</td></tr>"
            for layer in slowest
        )
        head = f"<tr><th>{escape(part)}, {len(times)} layers</th><th>kind</th><th>ms</th><th>share</th></tr>"
        parts.append(f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>')
    return f"<section><h2>Layers</h2>{''.join(parts)}</section>" if parts else ""


def _faces(faces: tuple[Face, ...]) -> str:
    if not faces:
        return ""
    largest = sorted(faces, key=lambda face: face_side(face), reverse=True)[:MAX_FACES]
    return (
        "<section><h2>Faces</h2>"
        f'<p class="warning">{ESTIMATE} Consistency is the PSNR between the input and the downscaled output.</p>'
        f"{''.join(_face(face) for face in largest)}</section>"
    )


def _face(face: Face) -> str:
    side = face.pixels.shape[0]
    bicubic = np.asarray(cv2.resize(face.original, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    consistency = f"{face.consistency_db:.1f} dB" if np.isfinite(face.consistency_db) else "exact"
    views = (
        _figure(face.original, "input", "raw", ""),
        _figure(bicubic, f"bicubic ×{face.scale}", "", ""),
        _figure(face.pixels, f"network estimate ×{face.scale}", "", "estimate"),
    )
    return (
        f'<div class="face"><div class="views">{"".join(views)}</div>'
        f"<p>{face_side(face):.0f} px, detection score {face.score:.2f}, consistency {consistency}</p></div>"
    )


def face_side(face: Face) -> float:
    """Longer side of the face box in frame pixels."""
    left, top, right, bottom = (float(v) for v in face.box_xyxy)
    return max(right - left, bottom - top)


def _figure(pixels: NDArray[np.uint8], caption: str, image_class: str, figure_class: str) -> str:
    _, png = cv2.imencode(".png", pixels)
    data = base64.b64encode(png.tobytes()).decode()
    image = f'<img class="{image_class}" alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f'<figure class="{figure_class}">{image}<figcaption>{escape(caption)}</figcaption></figure>'


def _card(profile: Profile) -> Iterable[tuple[str, str]]:
    card = profile.card
    yield "name", f"{card.name}, {profile.precision}"
    yield "network", ", ".join([card.network, *(f"{key} {value}" for key, value in card.config.items())])
    if quality := quality_line(card):
        yield "quality", quality
    yield "licence", card.licence or "not stated"
    for name, digest in card.files.items():
        yield name, f"SHA-256 {digest[:16]}…"
    for limitation in card.limitations:
        yield "limitation", limitation


def _machine(profile: Profile) -> Iterable[tuple[str, str]]:
    machine = profile.machine
    yield "processor", f"{machine.cpu}, {machine.cores} cores"
    yield "instructions", ", ".join(machine.instructions) or "unknown"
    yield "memory", f"{machine.memory_gb:.0f} GB" if machine.memory_gb else "unknown"
    yield "system", f"{machine.system}, Python {machine.python}"
    yield "super-resolution", profile.runtimes["upscale"]
    yield "detection", profile.runtimes["detect"]
    yield "detector input", str(profile.plan)
    yield "versions", ", ".join(f"{name} {version}" for name, version in profile.versions.items())


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in pairs)


def share_bar(means_ms: dict[str, float]) -> str:
    """Stacked horizontal bar of the mean frame; `means_ms` is the mean of each component in ms."""
    total = sum(means_ms.values()) or 1.0
    x, rects = 0.0, []
    for name, ms in means_ms.items():
        width = 100 * ms / total
        title = f"<title>{escape(name)}: {ms:.2f} ms, {width:.1f} %</title>"
        rects.append(f'<rect class="{COLORS[name]}" x="{x:.3f}" width="{width:.3f}" height="10">{title}</rect>')
        x += width
    return f'<svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" role="img">{"".join(rects)}</svg>'


def legend(means_ms: dict[str, float]) -> str:
    """Color, name, ms and share of each component."""
    total = sum(means_ms.values()) or 1.0
    rows = (
        f'<li><i class="{COLORS[name]}"></i><span>{escape(name)}</span>'
        f"<b>{ms:.2f}</b><small>{100 * ms / total:.1f}&thinsp;%</small></li>"
        for name, ms in means_ms.items()
    )
    return f'<ul class="legend">{"".join(rows)}</ul>'


def timeline(frames: tuple[FrameTiming, ...]) -> str:
    """Stacked bar per frame, with a dashed line at the median."""
    group = -(-len(frames) // MAX_BARS)
    bars = [frames[i : i + group] for i in range(0, len(frames), group)]
    totals = [timing.milliseconds["total"] for timing in frames]
    y_max = _axis_limit(max(totals))
    rects = "".join(_bar(n, bar, y_max) for n, bar in enumerate(bars))
    median = 100 - 100 * float(np.median(totals)) / y_max
    rects += f'<line class="median" x1="0" x2="{len(bars)}" y1="{median:.2f}" y2="{median:.2f}"/>'
    ticks = "".join(f'<span style="bottom:{25 * n}%">{y_max * n / 4:g}</span>' for n in range(5))
    lines = "".join(f'<line class="grid" x1="0" x2="{len(bars)}" y1="{25 * n}" y2="{25 * n}"/>' for n in range(4))
    box = f"0 0 {len(bars)} 100"
    svg = f'<svg viewBox="{box}" preserveAspectRatio="none" role="img">{lines}{rects}</svg>'
    unit = f"one bar per {group} frames (mean)" if group > 1 else "one bar per frame"
    return (
        f'<div class="timeline"><div class="ticks">{ticks}</div>{svg}</div>'
        f'<p class="axis">ms; {unit}, {len(frames)} frames; dashed: median, {np.median(totals):.1f} ms</p>'
    )


def percentile_bar(latency: LatencyStats, max_ms: float) -> str:
    """Bar from p50 to p99 of a stage, on a scale common to all stages, with a dot at the median."""
    left, middle, right = (100 * value / (max_ms or 1) for value in (latency.p50, latency.p90, latency.p99))
    return (
        f'<div class="span"><i style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        f'<i style="left:{left:.2f}%;width:{middle - left:.2f}%"></i><b style="left:{left:.2f}%"></b></div>'
    )


def _bar(n: int, group: tuple[FrameTiming, ...], y_max: float) -> str:
    breakdowns = [timing.breakdown_ms for timing in group]
    y, rects = 100.0, []
    for name in BREAKDOWN:
        height = 100 * sum(ms[name] for ms in breakdowns) / len(breakdowns) / y_max
        y -= height
        if height > 0.05:
            box = f'x="{n + 0.06}" width="0.88" y="{y:.2f}" height="{height:.2f}"'
            rects.append(f'<rect class="{COLORS[name]}" {box}/>')
    total = sum(timing.milliseconds["total"] for timing in group) / len(group)
    faces = f"{group[0].faces} {'face' if group[0].faces == 1 else 'faces'}"
    return f"<g><title>frame {group[0].index}: {total:.2f} ms, {faces}</title>{''.join(rects)}</g>"


def _axis_limit(value: float) -> float:
    """Round up to a limit that four ticks divide into round numbers."""
    step = 10 ** np.floor(np.log10(max(value, 1e-3)))
    return float(next(step * factor for factor in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * factor >= value))

"""A profile as one HTML page that needs nothing else: no network, no script, no file beside it."""

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

from ...engines.errors import OutputError
from ..describe import quality_line
from ..pipeline.results import Face
from .profile import Profile
from .timing import BREAKDOWN, FrameTiming, Latency

TEMPLATE = Path(__file__).with_name("report.html")
MAX_FACES = 4
MAX_LAYERS = 10
ESTIMATE = "Added detail is an estimate: plausible, not evidence."


def report_from_profile(profile: Profile) -> str:
    """Make the page.

    Args:
        profile: as measured.

    Returns:
        HTML with its pictures, drawings and styles inside.
    """
    pieces = [timing.breakdown_ms for timing in profile.timeline]
    means = {name: float(np.mean([ms[name] for ms in pieces])) for name in BREAKDOWN}
    own = profile.overhead
    return Template(TEMPLATE.read_text("utf-8")).substitute(
        title=escape(f"{Path(profile.source).name} · facesr-edge profile"),
        source=escape(Path(profile.source).name or profile.source),
        subtitle=escape(_subtitle(profile)),
        tiles=_tiles(profile),
        share=share_bar(means),
        legend=legend(means),
        timeline=timeline(profile.timeline),
        rows=_rows(profile),
        own_ms=_ms(own.mean),
        own_share=f"{profile.overhead_share:.1%}",
        own_share_css=f"{100 * profile.overhead_share:.2f}%",
        own_p50=_ms(own.p50),
        own_p99=_ms(own.p99),
        faces=_faces(profile.faces),
        layers=_layers(profile),
        card=_pairs(_card(profile)),
        machine=_pairs(_machine(profile)),
        measured_at=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def write_report(profile: Profile, path: Path) -> None:
    """Write the page.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.write_text(report_from_profile(profile), "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose another file") from None


def _subtitle(profile: Profile) -> str:
    width, height = profile.size_wh
    larger = f"{width * profile.outscale}×{height * profile.outscale}"
    return f"{width}×{height} → {larger} · {profile.model} {profile.card.precision} · {profile.machine}"


def _tiles(profile: Profile) -> str:
    total, own = profile.stages["total"], profile.overhead
    tiles = [
        ("key", f"{profile.fps:.1f}", "frames/s", f"over {len(profile.timeline)} frames"),
        ("", _ms(total.p50), "ms", f"a frame, median; p99 {_ms(total.p99)}"),
        ("", f"{profile.faces_per_frame:.1f}", "", "faces a frame"),
        ("", _ms(own.mean), "ms", f"own work, {profile.overhead_share:.1%}"),
    ]
    if profile.peak_memory_mb is not None:
        tiles.append(("", f"{profile.peak_memory_mb:.0f}", "MB", "memory, at most"))
    return "".join(
        f'<div class="tile {kind}"><b>{value}<small>{unit}</small></b><span>{escape(text)}</span></div>'
        for kind, value, unit, text in tiles
    )


def _ms(value: float) -> str:
    """Three digits, and no more than the clock is worth."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _rows(profile: Profile) -> str:
    stages, rows = profile.stages, []
    for name, figures in stages.items():
        kind = "part" if "." in name else "total" if name == "total" else ""
        label = name.partition(".")[2] or name.replace("_", "-")
        numbers = (_ms(v) for v in (figures.p50, figures.p90, figures.p99, figures.mean))
        cells = "".join(f"<td>{number}</td>" for number in numbers)
        share = f"<td>{figures.mean / stages['total'].mean:.1%}</td>"
        drawn = f'<td class="drawn">{span(figures, stages["total"].p99)}</td>'
        rows.append(f'<tr class="{kind}"><td>{escape(label)}</td>{cells}{share}{drawn}</tr>')
    return "".join(rows)


def _layers(profile: Profile) -> str:
    """The layers of each network that take longest; "" where nobody timed them."""
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
        "<section><h2>Camera and network</h2>"
        f'<p class="warning">{ESTIMATE} Shrunk back, it agrees with the camera to the decibels given.</p>'
        f"{''.join(_face(face) for face in largest)}</section>"
    )


def _face(face: Face) -> str:
    side = face.pixels.shape[0]
    bicubic = np.asarray(cv2.resize(face.original, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
    agreement = f"{face.consistency_db:.1f} dB" if np.isfinite(face.consistency_db) else "to the last bit"
    views = (
        _figure(face.original, "the camera's own pixels", "raw", ""),
        _figure(bicubic, f"bicubic ×{face.scale}", "", ""),
        _figure(face.pixels, f"the network's estimate ×{face.scale}", "", "estimate"),
    )
    return (
        f'<div class="face"><div class="views">{"".join(views)}</div>'
        f"<p>a face of {face_side(face):.0f} px, found with a score of {face.score:.2f}; "
        f"agreement with the camera {agreement}</p></div>"
    )


def face_side(face: Face) -> float:
    """The longer side of a face's box, in pixels of the frame."""
    left, top, right, bottom = (float(v) for v in face.box_xyxy)
    return max(right - left, bottom - top)


def _figure(pixels: NDArray[np.uint8], caption: str, kind: str, figure_kind: str) -> str:
    _, png = cv2.imencode(".png", pixels)
    data = base64.b64encode(png.tobytes()).decode()
    image = f'<img class="{kind}" alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f'<figure class="{figure_kind}">{image}<figcaption>{escape(caption)}</figcaption></figure>'


def _card(profile: Profile) -> Iterable[tuple[str, str]]:
    card = profile.card
    yield "name", f"{card.name}, {card.precision}"
    yield "network", ", ".join([card.network, *(f"{key} {value}" for key, value in card.config.items())])
    if quality := quality_line(card):
        yield "quality", quality
    yield "licence", card.licence or "not stated"
    for name, digest in card.files.items():
        yield name, f"SHA-256 {digest[:16]}…"
    for limit in card.limits:
        yield "limit", limit


def _machine(profile: Profile) -> Iterable[tuple[str, str]]:
    machine = profile.machine
    yield "processor", f"{machine.cpu}, {machine.cores} cores"
    yield "instructions", ", ".join(machine.instructions) or "not known"
    yield "memory", f"{machine.memory_gb:.0f} GB" if machine.memory_gb else "not known"
    yield "system", f"{machine.system}, Python {machine.python}"
    yield "super-resolution", profile.runtimes["super_resolve"]
    yield "detection", profile.runtimes["detect"]
    yield "frames seen", str(profile.plan)
    yield "versions", ", ".join(f"{name} {version}" for name, version in profile.versions.items())


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in pairs)


MAX_BARS = 240
"""More frames than this are averaged in groups: a bar of half a pixel tells nothing."""
COLOURS = {name: f"c{n}" for n, name in enumerate(BREAKDOWN)}
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
    group = -(-len(frames) // MAX_BARS)
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
    pieces = [timing.breakdown_ms for timing in group]
    y, rects = 100.0, []
    for name in BREAKDOWN:
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

"""The page of an evidence card: self-contained HTML for the screen and for A4 paper, without scripts."""

from __future__ import annotations

import base64
import hashlib
import math
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template

from ... import __version__
from ..live.tracks.usability import MAX_YAW_DEG, MIN_BRIGHTNESS, MIN_SHARPNESS, MIN_SIDE, Usability
from ..media.reasons import plural
from ..pipeline.results import Face
from ..profiling.report import face_side
from ..provenance.network_use import NetworkUse
from .card import SEVERAL_FRAMES, Card, CardSource, EvidenceItem, FrameView, utc
from .limits import limits_of
from .pictures import Picture
from .record import sha256

PAGE, STYLE = (Path(__file__).with_name(name) for name in ("page.html", "page.css"))
RECORD = "evidence.json"
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that are not seen, or that change the direction of the text around them."""

ESTIMATES = {
    "network": ("Network estimate", "not camera pixels"),
    SEVERAL_FRAMES: ("Network estimate from several frames", "not camera pixels"),
    "small network": ("Network estimate, small network", "not camera pixels"),
    "reused": ("Network estimate, reused", "detail of an earlier frame, moved with the face"),
    "bicubic": ("Bicubic interpolation", "no network"),
}
"""Treatment -> title and explanation of the enlarged face."""


def card_html(card: Card, faces: Sequence[Mapping[str, Picture]], views: Sequence[Picture], record: bytes = b"") -> str:
    """Render the page, with pictures and styles inlined; text from outside is escaped.

    Args:
        card: to show.
        faces: files of each face of the card by their roles.
        views: files of the views of the card.
        record: `evidence.json`, whose hash the page states; b"" for none.
    """
    style = STYLE.read_text("utf-8")
    following = 4 + bool(card.views) + bool(card.left_out or card.notes)
    return Template(PAGE.read_text("utf-8")).substitute(
        style=style,
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        title=f"Evidence card: {shown(card.source.name)}",
        name=shown(card.source.name if card.source.kind == "camera" else Path(card.source.name).name),
        summary=_summary(card),
        limits="".join(f"<li>{shown(text)}</li>" for text in limits_of(card)),
        source=_rows(_source(card.source)),
        views=_views(card, views),
        faces=_faces(card, faces, 3 + bool(card.views)),
        left_out=_left_out(card, 4 + bool(card.views)),
        method_number=following,
        method=_method(card),
        files_number=following + 1,
        files=_files([*views, *(picture for pictures in faces for picture in pictures.values())], record),
    )


def shown(text: object) -> str:
    """Text from outside for HTML: markup is escaped, and characters that are not seen are written as their codes."""
    parts = (
        one if unicodedata.category(one) not in _HIDDEN else one.encode("unicode_escape").decode() for one in str(text)
    )
    return escape("".join(parts))


def _summary(card: Card) -> str:
    shown_faces, left = len(card.items), sum(left.count for left in card.left_out)
    is_picture = card.source.kind == "picture"
    parts = [f"{shown_faces} of {shown_faces + left} faces" if is_picture and left else plural(shown_faces, "face")]
    if not is_picture and card.frames > 1:
        parts.append(f"from {card.frames} frames")
    return shown(f"{' '.join(parts)} · created {utc(card.created_s)} · facesr-edge {__version__}")


def _rows(facts: Iterable[tuple[str, str]]) -> str:
    """Rows of a table; values are HTML."""
    return "".join(f"<tr><th>{shown(name)}</th><td>{value}</td></tr>" for name, value in facts)


def _source(source: CardSource) -> Iterable[tuple[str, str]]:
    yield source.kind, shown(source.name)
    if source.sha256 is not None:
        yield "SHA-256", f'<span class="hash">{shown(source.sha256)}</span>'
    if source.size_bytes is not None:
        yield "size", shown(f"{source.size_bytes:,} bytes")
    if source.modified_s is not None:
        yield "last change of the file", shown(utc(source.modified_s))
    for name, value in source.details.items():
        yield name, shown(value)
    if source.note:
        yield "note", shown(source.note)


def _views(card: Card, pictures: Sequence[Picture]) -> str:
    if not card.views:
        return ""
    figures = "".join(_view(card, view, picture) for view, picture in zip(card.views, pictures, strict=True))
    text = "Numbers are those of the faces below, squares the crops. Large frames are reduced; the files have no marks."
    layout = "whole" if card.source.kind == "picture" else "views"
    return f'<section><h2>3&emsp;Where the faces are</h2><p>{text}</p><div class="{layout}">{figures}</div></section>'


def _view(card: Card, view: FrameView, picture: Picture) -> str:
    width, height = picture.size_wh
    line = max(1.0, max(width, height) / (480 if card.source.kind == "picture" else 240))
    marks = "".join(
        _mark(item.face, n, view.ratio, line) for n, item in enumerate(card.items, 1) if item.frame.index == view.index
    )
    caption = "" if card.source.kind == "picture" else f"frame {view.index}, "
    caption += f"{view.frame_wh[0]}×{view.frame_wh[1]} px, shown at {width}×{height}; {picture.name}"
    return (
        f'<figure class="view"><svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{shown(caption)}"><image href="{_data(picture)}" width="{width}" height="{height}"/>{marks}</svg>'
        f"<figcaption>{shown(caption)}</figcaption></figure>"
    )


def _mark(face: Face, number: int, ratio: float, line: float) -> str:
    left, top, right, bottom = (value * ratio for value in face.window_xyxy)
    square = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
    size = 12 * line
    y = top - 3 * line if top > size + 4 * line else bottom + size
    return (
        f'<rect class="outer" {square} stroke-width="{3 * line:.1f}"/>'
        f'<rect class="inner" {square} stroke-width="{1.2 * line:.1f}"/>'
        f'<text x="{left:.1f}" y="{y:.1f}" font-size="{size:.1f}" stroke-width="{3 * line:.1f}">{number}</text>'
    )


def _data(picture: Picture) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture.data).decode()}"


def _faces(card: Card, faces: Sequence[Mapping[str, Picture]], section: int) -> str:
    parts = [
        _face(item, pictures, n, card.source.kind == "picture")
        for n, (item, pictures) in enumerate(zip(card.items, faces, strict=True), 1)
    ]
    return f"<section><h2>{section}&emsp;Faces</h2>{''.join(parts)}</section>"


def _face(item: EvidenceItem, pictures: Mapping[str, Picture], number: int, is_picture: bool) -> str:
    side, scale = len(item.face.original), item.face.scale
    title, text = ESTIMATES.get(item.treatment, (item.treatment, ""))
    estimate_class = "" if item.treatment == "bicubic" else "estimate"
    figures = [
        _figure(pictures["nearest"], "Original, every pixel as a square", "camera pixels only", "nearest"),
        _figure(pictures["bicubic"], "Original, bicubic interpolation", "no network"),
        _figure(pictures["estimate"], f"{title} ×{scale}", text, "", estimate_class),
    ]
    if "uncertainty" in pictures:
        figures.append(_figure(pictures["uncertainty"], "Uncertainty of the estimate", _uncertainty(item)))
    own = _figure(pictures["original"], "Original crop, own size", f"{side}×{side} px", "own")
    track = f", track {item.track.id}" if item.track else ""
    return (
        f'<article class="face"><h3>Face {number}{track}</h3>'
        f"<p>Original crop of {side}×{side} px, enlarged ×{scale}: {shown(_verdict(item.usability))}</p>"
        f'<div class="pictures of{len(figures)}">{"".join(figures)}</div>'
        f'<div class="beside">{own}<table class="facts">{_rows(_figures(item))}</table>'
        f'<table class="facts">{_rows(_frame_facts(item, is_picture))}</table></div></article>'
    )


def _figure(picture: Picture, title: str, text: str, image_class: str = "", figure_class: str = "") -> str:
    width, height = picture.size_wh
    return (
        f'<figure class="{figure_class}"><img class="{image_class}" src="{_data(picture)}" width="{width}" '
        f'height="{height}" alt="{shown(title)}"><figcaption><b>{shown(title)}</b>{shown(text)}; '
        f"{shown(picture.name)}</figcaption></figure>"
    )


def _uncertainty(item: EvidenceItem) -> str:
    levels = item.face.uncertainty
    return "" if levels is None else f"half width of the 90 % interval, mean {levels.mean():.1f} gray levels"


def _verdict(usability: Usability) -> str:
    if usability.verdict == "ok":
        return "within the limits of size, light, sharpness and pose for a comparison."
    return f"not usable for a comparison: {usability.verdict}."


def _frame_facts(item: EvidenceItem, is_picture: bool) -> Iterable[tuple[str, str]]:
    frame, face = item.frame, item.face
    if not is_picture:
        used = f"{frame.index}" if item.treatment != "reused" else f"{frame.index}, detail of an earlier one"
        yield "frame used", shown(used)
    if face.frames > 1:
        earlier = f": {', '.join(map(str, face.earlier_frames))} and {frame.index}" if face.earlier_frames else ""
        yield "made from", shown(f"{face.frames} frames{earlier}")
    if frame.time_s is not None:
        stamped = frame.pts is not None and frame.time_base is not None
        yield (
            "time",
            shown(f"{frame.time_s:.3f} s{f', timestamp {frame.pts} × {frame.time_base} s' if stamped else ''}"),
        )
    if frame.unix_s is not None:
        event, clock_name = ("taken", "the camera's") if frame.clock == "camera" else ("arrived", "this machine's")
        yield event, shown(f"{utc(frame.unix_s)}, by {clock_name} clock")
    if frame.damaged:
        yield "damage", "the decoder concealed damage in this frame"
    if item.track:
        span = item.track
        end = "" if span.ended else "; the source ended first"
        yield "track", shown(f"{span.id}: {span.first_s:.3f} to {span.last_s:.3f} s, in {span.frames} frames{end}")
    yield "face box", shown(", ".join(f"{value:.1f}" for value in face.box_xyxy) + " px")
    yield "crop", shown(", ".join(map(str, face.window_xyxy)) + " px")
    yield "treatment", shown(f"{item.treatment}{f': {item.reason}' if item.reason else ''}")


def _figures(item: EvidenceItem) -> Iterable[tuple[str, str]]:
    face, usable = item.face, item.usability
    consistency = f"{face.consistency_db:.1f} dB" if math.isfinite(face.consistency_db) else "exact"
    if math.isnan(face.consistency_db):
        consistency = "not measured"
    yield "detection score", f"{face.score:.2f} of 1"
    yield "face size", f"{face_side(face):.0f} px (from {MIN_SIDE})"
    yield "sharpness", f"{usable.sharpness:.2f} (from {MIN_SHARPNESS:g})"
    yield "mean luma", f"{usable.brightness:.0f} of 255 (from {MIN_BRIGHTNESS})"
    yaw = "unknown" if math.isnan(usable.yaw_deg) else f"{usable.yaw_deg:+.0f}°"
    yield "yaw", f"{yaw} (to ±{MAX_YAW_DEG}°)"
    yield "consistency", consistency
    if item.gain is not None:
        yield "gain of several frames", shown(f"measured on the camera's own frames: {item.gain}")
    if face.uncertainty is not None:
        yield "uncertainty", f"mean {face.uncertainty.mean():.1f}, largest {int(face.uncertainty.max())} gray levels"


def _left_out(card: Card, section: int) -> str:
    lines = [f"{left.reason}: {left.count}{_boxes(left.boxes_xyxy)}" for left in card.left_out] + list(card.notes)
    if not lines:
        return ""
    items = "".join(f"<tr><td>{shown(line)}</td></tr>" for line in lines)
    return f"<section><h2>{section}&emsp;Left out, and notes</h2><table>{items}</table></section>"


def _boxes(boxes_xyxy: Sequence[Sequence[float]]) -> str:
    if not boxes_xyxy:
        return ""
    return "; boxes " + ", ".join("(" + ", ".join(f"{value:.0f}" for value in box) + ")" for box in boxes_xyxy)


def _method(card: Card) -> str:
    text = (
        "Each face was detected, and the smallest square crop of the network's sizes that holds the face with a margin "
        "was copied from the frame; a crop that reaches past a small frame repeats its edge. The network enlarges the "
        "crop as it is. Its result is corrected so that, reduced to the size of the crop, it agrees with the crop "
        "within the consistency given; networks for cameras correct only what a camera can have resolved, not its "
        "noise. Boxes are left, top, right, bottom in the upright frame. Pixels are 8 bit, in the colors of the "
        "source. Nothing else was changed: no sharpening, no brightness, no rotation."
    )
    tables = "".join(
        f'<table class="facts">{_rows(_network(treatment, use))}</table>' for treatment, use in card.networks.items()
    )
    return f"<p>{shown(text)}</p>{tables or '<p>The network is not known.</p>'}"


def _network(treatment: str, use: NetworkUse) -> Iterable[tuple[str, str]]:
    yield treatment, shown(f"{use.name} ×{use.scale}, {use.precision}, {use.engine}")
    yield "hash of its files", shown(use.fingerprint)
    yield "hash of the detector", shown(use.detector)
    yield "software", shown(f"facesr-edge {use.version}")


def _files(pictures: Sequence[Picture], record: bytes) -> str:
    files = [(picture.name, picture.data) for picture in pictures] + ([(RECORD, record)] if record else [])
    return "".join(
        f"<tr><td>{shown(name)}</td><td>{len(data):,}</td><td>{sha256(data)}</td></tr>" for name, data in files
    )

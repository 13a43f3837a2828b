"""Evidence cards made by hand, and a reader of their pages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.evidence.card import Card, CardSource, EvidenceItem, FrameTime, FrameView
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import Face, FrameResult
from facesr_edge.sdk.provenance.network_use import NetworkUse
from support.live_results import live_face

NETWORK = NetworkUse("idrn-x4", "0123456789abcdef", "fp32", "onnxruntime", 4, "detector 0123")


def noisy(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8)


def evidence_item(number: int = 1, treatment: str = "network", **changes: Any) -> EvidenceItem:
    face = live_face(number, original=noisy(32, number), pixels=noisy(128, -number % 99), **changes)
    return EvidenceItem(face, face.usability, FrameTime(0), treatment=treatment)


def evidence_card(*items: EvidenceItem, **changes: Any) -> Card:
    view = FrameView(0, np.full((90, 160, 3), 90, np.uint8), (320, 180))
    card = Card(CardSource("door.png", "picture", "ab" * 32, 5), {"network": NETWORK}, items, 1.8e9, views=(view,))
    return replace(card, **changes)


def checked_record(folder: Path) -> dict[str, Any]:
    """`evidence.json` of a card, whose files are complete and have the hashes that are stated."""
    record: dict[str, Any] = json.loads((folder / "evidence.json").read_text("utf-8"))
    sums = dict(reversed(line.split("  ")) for line in (folder / "SHA256SUMS").read_text("utf-8").splitlines())
    names = {path.name for path in folder.iterdir()}
    assert names == {*record["files"], "card.html", "evidence.json", "SHA256SUMS"} == {*sums, "SHA256SUMS"}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == value for name, value in sums.items())
    assert all(sums[name] == stated["sha256"] for name, stated in record["files"].items())
    page = (folder / "card.html").read_text("utf-8")
    assert all(value in page for name, value in sums.items() if name != "card.html")
    return record


def face_at(x: float, y: float, side: int = 40, score: float = 0.9, sharp: bool = True) -> Face:
    """A face of a box, in a window of 64 px; one that is not sharp is gray."""
    box = np.array([x, y, x + side, y + side], np.float32)
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    landmarks = np.array([(x + u * side, y + v * side) for u, v in points], np.float32)
    original = noisy(64) if sharp else np.full((64, 64, 3), 90, np.uint8)
    window = (int(x) - 12, int(y) - 12, int(x) + 52, int(y) + 52)
    return Face(box, score, landmarks, window, original, np.zeros((128, 128, 3), np.uint8), 40.0)


def result_of(index: int, *faces: Face, large: Sequence[Sequence[float]] = (), damaged: bool = False) -> FrameResult:
    """At 10 frames/s; boxes of faces that are too large in `large`."""
    frame = Frame(np.full((360, 640, 3), 90, np.uint8), index, index / 10, pts=index, damaged=damaged)
    boxes = np.array(large, np.float32).reshape(-1, 4)
    too_large = Detections(boxes, np.full(len(boxes), 0.9, np.float32), np.zeros((len(boxes), 5, 2), np.float32))
    return FrameResult(frame, None, faces, too_large)


class Page(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data

"""Evidence cards made by hand, and a reader of their pages."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from facesr_edge.sdk.evidence.card import Card, CardSource, EvidenceItem, FrameTime, FrameView
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

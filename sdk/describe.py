"""A bundle in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..engines.bundle.bundle import CARD, Bundle
from ..engines.bundle.card import Card
from ..engines.bundle.io_spec import IOSpec
from ..engines.registry import choose_engine

Rows = list[tuple[str, str]]


def summary(bundle: Bundle) -> dict[str, Any]:
    """One row of the list of models, ready for JSON."""
    card = bundle.card
    return {
        "name": card.name,
        "task": card.io_spec.task,
        "scale": card.io_spec.scale,
        "precision": card.precision,
        "network": card.network,
        "config": card.config,
        "quality": card.quality,
        "licence": card.licence,
        "size_mb": round(size_mb(bundle), 2),
        "folder": str(bundle.folder),
    }


def size_mb(bundle: Bundle) -> float:
    """What its files take on the disk."""
    return sum((bundle.folder / name).stat().st_size for name in (CARD, *bundle.card.files)) / 1e6


def quality_line(card: Card) -> str:
    """The headline of a card's quality; "" where nothing was measured."""
    learnt = card.training.get("degradation")
    for whose, figures in card.quality.items():
        if isinstance(figures, dict) and "gain_db" in figures:
            told = f"{figures['psnr_y_db']:.2f} dB, {figures['gain_db']:+.2f} dB over bicubic"
            return f"{told} ({learnt})" if whose.endswith(f", {learnt}") else told
    flat = {key: value for figures in _measurements(card) for key, value in figures.items() if _is_number(value)}
    return ", ".join(f"{_words(key)} {_number(value)}" for key, value in list(flat.items())[:2])


def sections(bundle: Bundle) -> list[tuple[str, Rows]]:
    """The card as titled rows of label and text; titles without rows are left out."""
    card = bundle.card
    told = [
        (f"{card.name}, {card.io_spec.task}", _what(bundle)),
        ("Files, SHA-256 checked", [(name, digest) for name, digest in card.files.items()]),
        ("Parity: departure from the step before, on real faces", _flat(card.parity)),
        ("Engine: what it was compiled for", _flat(asdict(card.engine)) if card.engine else []),
        *_quality(card.quality),
        ("Training", _flat(card.training)),
        ("Limits", [("·", limit) for limit in card.limits]),
        ("Made with", [(name, version) for name, version in card.build_versions.items()]),
        ("Notes", [("·", note) for note in card.notes]),
    ]
    return [(title, rows) for title, rows in told if rows]


def _what(bundle: Bundle) -> Rows:
    card = bundle.card
    return [
        ("folder", str(bundle.folder)),
        ("network", ", ".join([card.network, *(f"{key} {value}" for key, value in card.config.items())])),
        ("precision", card.precision),
        ("takes", _takes(card.io_spec)),
        ("gives", _gives(card.io_spec)),
        ("size", f"{size_mb(bundle):.2f} MB"),
        ("auto takes", "{0.engine}: {0.why}".format(choose_engine(bundle))),
        ("licence", card.licence or "not stated"),
    ]


def _quality(quality: dict[str, Any]) -> list[tuple[str, Rows]]:
    """Figures that stand alone, then those of each set of pictures below a title of their own."""
    alone = {key: value for key, value in quality.items() if not isinstance(value, dict)}
    sets = [(f"Quality: {key}", _flat(value)) for key, value in quality.items() if isinstance(value, dict)]
    return [("Quality", _flat(alone)), *sets]


def _takes(io_spec: IOSpec) -> str:
    if io_spec.windows:
        sides = ", ".join(map(str, io_spec.windows))
        return f"square crops of {sides} px, {', '.join(map(str, io_spec.batches))} at a time, uint8 BGR"
    size = ", ".join(f"{w}x{h}" for h, w in io_spec.sizes_hw) or f"any multiple of {io_spec.multiple} px"
    return f"pictures of {size}, uint8 BGR"


def _gives(io_spec: IOSpec) -> str:
    if io_spec.task == "super-resolution":
        return f"the same, {io_spec.scale} times larger"
    return "boxes, scores and five landmarks a face"


def _measurements(card: Card) -> list[dict[str, Any]]:
    """Quality is figures, or figures by the faces they were measured on."""
    nested = [value for value in card.quality.values() if isinstance(value, dict)]
    return [*nested, card.quality]


def _flat(values: dict[str, Any], prefix: str = "") -> Rows:
    rows: Rows = []
    for key, value in values.items():
        label = f"{prefix}{_words(key)}"
        if isinstance(value, dict):
            rows += _flat(value, f"{label}: ")
        elif isinstance(value, (list, tuple)):
            rows += [(label if n == 0 else "", _item(item)) for n, item in enumerate(value)]
        else:
            rows.append((label, _number(value)))
    return rows


def _item(value: object) -> str:
    """One of a list; figures that belong together in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{_words(key)} {_item(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_item, value)) or "none"
    return _number(value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

"""Text and tables that describe a bundle."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..engines.bundle.bundle import CARD, Bundle
from ..engines.bundle.card import Card
from ..engines.bundle.engine_info import EngineInfo
from ..engines.bundle.io_spec import IOSpec
from ..engines.registry import choose_engine

Rows = list[tuple[str, str]]
UNKNOWN = ("multiprocessors", 0)
"""Field and value of engine info on cards of earlier releases."""


def summary(bundle: Bundle) -> dict[str, Any]:
    """One entry of the list of models, ready for JSON."""
    card = bundle.card
    return {
        "name": card.name,
        "task": card.io_spec.task,
        "scale": card.io_spec.scale,
        "precision": card.precision,
        "network": card.network,
        "config": card.config,
        "evaluations": [asdict(evaluation) for evaluation in card.evaluations],
        "licence": card.licence,
        "size_mb": round(size_mb(bundle), 2),
        "folder": str(bundle.folder),
    }


def size_mb(bundle: Bundle) -> float:
    """Size of the bundle's files on disk, in MB; missing files count 0."""
    paths = [bundle.folder / name for name in (CARD, *bundle.card.files)]
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


def quality_line(card: Card) -> str:
    """PSNR and gain of a card's first evaluation, or the first two metrics of a detector; "" without evaluations."""
    if card.io_spec.task == "uncertainty":
        shares = [evaluation.metrics["coverage"] for evaluation in card.evaluations if "coverage" in evaluation.metrics]
        return f"{min(shares):.1%} to {max(shares):.1%} of pixels covered" if shares else ""
    for evaluation in card.evaluations:
        metrics, degradation = evaluation.metrics, evaluation.degradation
        if "gain_db" in metrics:
            text = f"{metrics['psnr_y_db']:.2f} dB, {metrics['gain_db']:+.2f} dB over bicubic"
            return text if degradation == "bicubic" else f"{text} ({degradation})"
    numbers = [item for evaluation in card.evaluations for item in evaluation.metrics.items() if _is_number(item[1])]
    return ", ".join(f"{_label(key)} {_text(value)}" for key, value in dict(numbers[:2]).items())


def sections(bundle: Bundle) -> list[tuple[str, Rows]]:
    """The card as titled tables of label and text; empty tables are left out."""
    card = bundle.card
    tables = [
        (f"{card.name}, {card.io_spec.task}", _overview(bundle)),
        ("Files, SHA-256", [(name, digest) for name, digest in card.files.items()]),
        ("Parity: error of each conversion step, on real faces", _rows(card.parity)),
        ("Engine: compiled for", _engine(card.engine) if card.engine else []),
        *[(f"Evaluation: {evaluation.title}", _rows(evaluation.metrics)) for evaluation in card.evaluations],
        ("Training", _rows(card.training)),
        ("Limitations", [("·", limitation) for limitation in card.limitations]),
        ("Built with", [(name, version) for name, version in card.build_versions.items()]),
        ("Notes", [("·", note) for note in card.notes]),
    ]
    return [(title, rows) for title, rows in tables if rows]


def _overview(bundle: Bundle) -> Rows:
    card = bundle.card
    is_head = card.io_spec.task == "uncertainty"
    return [
        ("folder", str(bundle.folder)),
        ("network", ", ".join([card.network, *(f"{key} {value}" for key, value in card.config.items())])),
        ("precision", ", ".join(bundle.precisions)),
        ("input", _input(card.io_spec)),
        *([("frames", f"up to {card.io_spec.frames} of a track")] if card.io_spec.frames > 1 else []),
        ("output", _output(card.io_spec)),
        *([("projection", str(card.projection))] if card.projection else []),
        ("size", f"{size_mb(bundle):.2f} MB"),
        *([] if is_head else [("engine auto", str(choose_engine(bundle, measure=False)))]),
        ("licence", card.licence or "not stated"),
    ]


def _engine(info: EngineInfo) -> Rows:
    """What the engines were compiled for, without what the card does not state, and the layers of each in a row."""
    values = {key: value for key, value in asdict(info).items() if _is_stated(key, value)}
    layers = values.pop("layers", {})
    counts = [", ".join(f"{count} {name}" for name, count in one.items()) for one in layers.values()]
    return [*_rows(values), *[(f"engine {size}", text) for size, text in zip(layers, counts, strict=True)]]


def _is_stated(field: str, value: object) -> bool:
    """Whether a card states a value; DLA core 0 is one, 0 multiprocessors are unknown."""
    return value is not None and value is not False and value not in ("", (), {}) and (field, value) != UNKNOWN


def _input(io_spec: IOSpec) -> str:
    if io_spec.crop_sizes:
        sides, batches = (", ".join(map(str, sizes)) for sizes in (io_spec.crop_sizes, io_spec.batches))
        if io_spec.task == "uncertainty":
            return f"square crops of {sides} px and their upscaled pixels, uint8 BGR"
        return f"square crops of {sides} px, batches of {batches}, uint8 BGR"
    sizes = ", ".join(f"{w}x{h}" for h, w in io_spec.sizes_hw) or f"any multiple of {io_spec.multiple} px"
    return f"images of {sizes}, uint8 BGR"


def _output(io_spec: IOSpec) -> str:
    if io_spec.task == "super-resolution":
        return f"the crops upscaled x{io_spec.scale}, uint8 BGR"
    if io_spec.task == "uncertainty":
        return f"half the width of the 90 % interval of each pixel's luma, x{io_spec.scale}, float32 gray levels"
    return "boxes, scores and five landmarks per face"


def _rows(values: dict[str, Any], prefix: str = "") -> Rows:
    """Rows of a nested dict: keys of inner dicts are appended to the label, a list has a row for each item."""
    rows: Rows = []
    for key, value in values.items():
        label = f"{prefix}{_label(key)}"
        if isinstance(value, dict):
            rows += _rows(value, f"{label}: ")
        elif isinstance(value, (list, tuple)):
            rows += [(label if n == 0 else "", _item(item)) for n, item in enumerate(value)]
        else:
            rows.append((label, _text(value)))
    return rows


def _item(value: object) -> str:
    """A list item on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{_label(key)} {_item(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_item, value)) or "none"
    return _text(value)


def _label(key: str) -> str:
    return key.replace("_", " ")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

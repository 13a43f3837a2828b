"""Writes the table of predicted latencies into docs/jetson.md, from the JSON of ``facesr-edge bench predict``.

    facesr-edge bench predict --model all --batch all --faces 4 --json predictions.json
    python -m facesr_edge.benchmarks.jetson_page predictions.json

Only the lines between ``<!-- begin predictions -->`` and ``<!-- end predictions -->`` change.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path("docs/jetson.md")
MODELS = ("edge-nano-x4-camera", "edge-tiny-x4-camera", "edge-small-x4-camera", "idrn-x4")
CALLS = ((1, 32), (8, 32), (1, 64), (4, 64), (1, 128))
"""Faces and crop size."""
FRAMES = ((384, 640), (736, 1280), (1088, 1920))
"""Height and width of the detector's inputs."""


def pair(fp16_ms: float, int8_ms: float) -> str:
    """Both precisions in one cell."""
    return " / ".join(f"{ms:.{2 if ms < 10 else 1}f}" for ms in (fp16_ms, int8_ms))


def rows(document: dict[str, Any]) -> Iterator[list[str]]:
    """Rows of the table: a call of a model, and a frame with faces."""
    devices = list(document["devices"])
    calls = {
        (p["model"], p["height"], p["width"], p["batch"], p["precision"], p["device"]): p["ms"]
        for p in document["predictions"]
    }
    frames = {(f["model"], f["side"], f["precision"], f["device"]): f for f in document["frames"]}
    shapes = [(model, f"{n} of {side}x{side}", side, side, n) for model in MODELS for n, side in CALLS]
    shapes += [("detector", f"{width}x{height}", height, width, 1) for height, width in FRAMES]
    for model, text, height, width, n in shapes:
        cells = [[calls[model, height, width, n, p, device] for p in ("fp16", "int8")] for device in devices]
        yield [f"`{model}`, {text}", *(pair(*cell) for cell in cells)]
    for model in MODELS:
        both = [[frames[model, 64, p, device] for p in ("fp16", "int8")] for device in devices]
        text = f"1080p frame, {both[0][0]['faces']} faces of 64x64, `{model}`"
        yield [text, *(pair(*(frame["ms"] for frame in cell)) for cell in both)]


def table(document: dict[str, Any]) -> str:
    """The table as Markdown."""
    titles = ["FP16 / INT8, ms", *document["devices"].values()]
    lines = [titles, ["---"] * len(titles), *rows(document)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    """Rewrite the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("predictions", type=Path, help="JSON of facesr-edge bench predict")
    options = parser.parse_args()
    document = json.loads(options.predictions.read_text("utf-8"))
    pattern = re.compile(r"(<!-- begin predictions -->\n).*?(<!-- end predictions -->)", re.DOTALL)
    text, count = pattern.subn(lambda m: m[1] + table(document) + m[2], PAGE.read_text("utf-8"))
    if count != 1:
        parser.error(
            f"{PAGE} has no place for the table between <!-- begin predictions --> and <!-- end predictions -->"
        )
    PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()

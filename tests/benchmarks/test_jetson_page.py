"""The table of predictions in docs/jetson.md."""

import re
from pathlib import Path

import pytest
from facesr_edge.benchmarks import jetson_page
from facesr_edge.sdk.bench.predict.devices import DEVICES
from facesr_edge.sdk.bench.predict.predict import predict_bundle
from facesr_edge.zoo import catalogue

PAGE = Path(__file__).parents[2] / "docs/jetson.md"


def test_the_page_shows_what_the_command_predicts():
    """A tenth apart is allowed; regenerate the table when graphs or coefficients change by more."""
    name = jetson_page.MODELS[0]
    predictions = predict_bundle(catalogue.find(name), DEVICES.values())
    for count, side in jetson_page.CALLS:
        (line,) = re.findall(
            rf"^\| `{name}`, {count} of {side}x{side} \| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE
        )
        shown = [float(ms) for cell in line.split(" | ") for ms in cell.split(" / ")]
        calls = {(p.device, p.precision): p.ms for p in predictions if (p.batch, p.height) == (count, side)}
        assert shown == pytest.approx([calls[d, p] for d in DEVICES for p in ("fp16", "int8")], rel=0.1)


def test_the_table_has_calls_detector_and_frames():
    crops = [(m, s, s, n) for m in jetson_page.MODELS for n, s in jetson_page.CALLS]
    sizes = [*crops, *(("detector", h, w, 1) for h, w in jetson_page.FRAMES)]
    keys = ("model", "height", "width", "batch", "precision", "device", "ms")
    document = {
        "devices": {"nano": "Nano"},
        "predictions": [
            dict(zip(keys, (*size, p, "nano", ms), strict=True))
            for size in sizes
            for p, ms in (("fp16", 12.34), ("int8", 0.5))
        ],
        "frames": [
            {"model": m, "side": 64, "precision": p, "device": "nano", "faces": 4, "ms": 3.0}
            for m in jetson_page.MODELS
            for p in ("fp16", "int8")
        ],
    }
    lines = jetson_page.table(document).splitlines()
    assert lines[:2] == ["| FP16 / INT8, ms | Nano |", "| --- | --- |"]
    assert lines[2] == "| `edge-nano-x4-camera`, 1 of 32x32 | 12.3 / 0.50 |"
    assert lines[-1] == "| 1080p frame, 4 faces of 64x64, `idrn-x4` | 3.00 / 3.00 |"
    assert len(lines) == 2 + len(sizes) + len(jetson_page.MODELS)

"""``facesr-edge bench predict``."""

import json

import pytest


def test_predictions_are_printed_as_predictions_with_error_bars(facesr):
    result = facesr("bench", "predict", "--model", "edge-nano-x4", "--device", "orin-nano-super")
    assert result.code == 0, result.err
    assert "edge-nano-x4 FP16: predicted GPU time of a call, ms" in result.out
    assert "Predictions, not measurements" in result.out and "not covered: other power modes" in result.out
    rows = [line.split() for line in result.out.splitlines() if line.strip().startswith("64x64")]
    assert len(rows) == 2 and all(row[1] == "1" and row[-1].startswith("×÷1.") for row in rows)
    assert max(map(len, result.out.splitlines())) <= 120


def test_all_devices_fit_the_width_and_json_has_every_batch(facesr, tmp_path):
    path = tmp_path / "predictions.json"
    result = facesr("bench", "predict", "--model", "edge-nano-x4", "--batch", "all", "--faces", 3, "--json", path)
    assert result.code == 0, result.err
    assert "AGX Thor" in result.out and "frame with 3 faces" in result.out and "…" not in result.out
    document = json.loads(path.read_text("utf-8"))
    assert document["kind"] == "prediction" and document["share_within_error_bars"] == 0.8
    assert len(document["devices"]) == 6
    assert {p["model"] for p in document["predictions"]} == {"edge-nano-x4", "detector"}
    assert {p["batch"] for p in document["predictions"]} == {1, 2, 4, 8}
    assert all(p["low_ms"] < p["ms"] < p["high_ms"] for p in (*document["predictions"], *document["frames"]))


def test_a_precision_without_a_graph_is_noted(facesr):
    result = facesr("bench", "predict", "--model", "srcnn-x4", "--device", "agx-orin", "--json")
    assert result.code == 0 and "note: srcnn-x4 has no graph in INT8; make one with facesr-edge build" in result.err
    assert {p["precision"] for p in json.loads(result.out)["predictions"]} == {"fp16"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "xavier"), "unknown device 'xavier'; known: agx-orin, agx-thor,"),
        (("--batch", "none"), "expected a number of 1 or more, or all, got none"),
        (("--model", "edge-nano-x4", "--batch", "3"), "edge-nano-x4 runs batches of 1, 2, 4, 8, got 3"),
        (("--precision", "fp32"), "expected --precision of fp16,int8, got fp32"),
    ],
)
def test_wrong_options_are_one_line(facesr, arguments, message):
    result = facesr("bench", "predict", *arguments)
    assert result.code == 2 and message in result.error

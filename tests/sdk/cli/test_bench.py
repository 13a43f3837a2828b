"""``facesr-edge bench tables`` and ``bench pareto``, with a tiny network."""

import json
import sys

import numpy as np
import pytest
from facesr_edge.calibration.timing import latency_stats
from facesr_edge.sdk.bench import engines as bench_engines
from facesr_edge.sdk.bench import pareto
from facesr_edge.sdk.bench.configs import Backend, PreparedNetwork
from facesr_edge.sdk.bench.engines import EngineRow
from facesr_edge.sdk.bench.paper import PaperRow, PaperTable
from facesr_edge.sdk.bench.tables import NetworkLatency, TableTimings
from facesr_edge.sdk.cli.bench.engines import print_engines
from facesr_edge.sdk.doctor.machine import this_machine

SMALL = (
    PaperTable("depth", "Table 1: depth, at width 8", (PaperRow(1, 8, 4.4),)),
    PaperTable("width", "Table 2: width, at depth 1", (PaperRow(1, 8, 4.35),)),
)
ROW = {
    *("depth", "width", "weights", "gmac_per_face", "gmac_ratio", "paper_ms", "paper_ratio", "measured"),
}
MEASURED = {
    *("engine", "precision", "best_ms", "p10_ms", "p50_ms", "p90_ms", "p50_ms_per_face", "ratio"),
}


@pytest.fixture
def small(monkeypatch, tiny_bundle):
    """Tables of one network, the tiny one."""
    bundle, faces = tiny_bundle(), np.zeros((2, 32, 32, 3), np.uint8)

    def prepare(size, kinds, folder):
        return PreparedNetwork(size, "random", 14_000_000, dict.fromkeys(kinds, bundle), faces)

    monkeypatch.setattr("facesr_edge.sdk.bench.paper.TABLES", SMALL)
    monkeypatch.setattr("facesr_edge.sdk.bench.tables.prepare_network", prepare)


def test_tables_are_measured_written_and_drawn(facesr, small, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib; pip install 'facesr-edge[bench]'")
    options = ("--precision", "int8,fp32", "--batch", 2, "--threads", 1, "--runs", 2)
    result = facesr("bench", "tables", *options, "-o", tmp_path / "made", "--chart", tmp_path / "chart.png", "--json")
    assert result.code == 0, result.err
    assert "preparing depth 1, width 8" in result.err and "\ntiming\n" in result.err
    document = json.loads(result.out)
    assert json.loads((tmp_path / "made" / "tables.json").read_text("utf-8")) == document
    assert (tmp_path / "made" / "tables.png").read_bytes() == (tmp_path / "chart.png").read_bytes()
    assert (document["batch"], document["threads"], document["rounds"]) == (2, 1, 2)
    assert document["machine"]["cpu"] and "ONNX Runtime" in document["runtimes"]["onnxruntime"]
    for table, (varies, paper_ms) in zip(document["tables"], (("depth", 4.4), ("width", 4.35)), strict=True):
        (row,) = table["rows"]
        assert table["varies"] == varies and set(row) == ROW and row["gmac_per_face"] == 0.014
        assert (row["depth"], row["width"], row["weights"], row["paper_ms"]) == (1, 8, "random", paper_ms)
        assert [one["precision"] for one in row["measured"] if one["engine"] == "onnxruntime"] == ["fp32", "int8"]
        for one in row["measured"]:
            assert set(one) == MEASURED and one["ratio"] == 1
            assert 0 < one["best_ms"] <= one["p10_ms"] <= one["p50_ms"] <= one["p90_ms"]
    assert len({json.dumps(table["rows"][0]["measured"]) for table in document["tables"]}) == 1  # timed once


def test_printed_tables_show_the_paper_above_measured_rows_and_skipped_backends(facesr, monkeypatch):
    table = PaperTable("depth", "Table 1: depth, at width 8", (PaperRow(1, 8, 4.4), PaperRow(2, 8, 4.8)))
    fp32, int8 = Backend("onnxruntime", "fp32"), Backend("onnxruntime", "int8")
    one, two, three = latency_stats([1.0]), latency_stats([1.9, 2.0, 2.5]), latency_stats([2.9, 3.0, 3.5])
    networks = {
        (1, 8): NetworkLatency("random", 20_000_000, {fp32: two, int8: one}),
        (2, 8): NetworkLatency("random", 25_000_000, {fp32: three}),
    }
    run = ("2026-01-31T12:00:00+00:00", None, 1, 0, 10, {"onnxruntime": "ONNX Runtime 1"})
    timings = TableTimings(this_machine(), *run, (table,), networks, ("FP16 is skipped",))
    calls = []
    measure = "facesr_edge.sdk.bench.tables.measure_tables"
    monkeypatch.setattr(measure, lambda *_, **options: calls.append(options) or timings)
    result = facesr("bench", "tables", "--quick")
    assert result.code == 0 and calls[0]["rounds"] == 10
    assert "note: FP16 is skipped" in result.err and "FP16 is skipped" not in result.out
    lines = [line.split() for line in result.out.splitlines()]
    assert ["paper,", "ms", "4.40", "x1.00", "4.80", "x1.09"] in lines
    assert ["ONNX", "Runtime", "FP32,", "ms", "2.00", "x1.00", "3.00", "x1.50"] in lines
    assert ["ONNX", "Runtime", "INT8,", "ms", "1.00", "x1.00", "–"] in lines
    assert ["1.92–2.40", "2.92–3.40"] in lines and ["GMAC", "0.02", "x1.00", "0.03", "x1.25"] in lines


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--precision", "fp12"), "unknown precision 'fp12'; did you mean"),
        (("--precision", "int8,int8"), "expected each precision once"),
        (("--batch", "0"), "'--batch'"),
        (("--batch", "many"), "'--batch'"),
        (("--runs", "0"), "'--runs'"),
        (("--quick", "--runs", "5"), "--quick and --runs exclude each other"),
        (("--chart", "chart.gif"), "expected a chart file that ends in .png"),
        (("--json", "--batch", "65"), "'--batch'"),
    ],
)
def test_usage_errors_of_tables_are_one_line_before_any_work(facesr, options, expected, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.bench.tables.prepare_network", None)
    result = facesr("bench", "tables", *options)
    assert result.code == 2 and expected in result.error and result.out == ""


def test_folder_that_cannot_be_created_fails_before_any_work(facesr, tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.bench.tables.prepare_network", None)
    (tmp_path / "taken").write_text("a file")
    result = facesr("bench", "tables", "-o", tmp_path / "taken")
    assert result.code == 1 and "choose another folder with -o" in result.error


def test_bench_without_a_command_prints_its_commands(facesr):
    result = facesr("bench")
    assert result.code == 2 and "tables" in result.err
    assert facesr("bench", "tabels").code == 2


def test_pareto_is_printed_drawn_and_written(facesr, monkeypatch, tiny_bundle, tmp_path):
    bundle = tiny_bundle()
    scales = []
    monkeypatch.setattr(pareto, "models_of", lambda scale: scales.append(scale) or [bundle])
    monkeypatch.setattr(pareto, "convert_model", lambda model, kinds, folder: dict.fromkeys(kinds, model))
    chart, points = tmp_path / "pareto.png", tmp_path / "pareto.json"
    result = facesr("bench", "pareto", "--runs", 1, "--threads", 1, "--chart", chart, "--json", points)
    assert result.code == 0, result.err
    assert scales == [4] and "bicubic" in result.out and bundle.card.name in result.out and chart.exists()
    assert {row["model"] for row in json.loads(points.read_text())["points"]} == {"bicubic", bundle.card.name}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scale", 7], "no included model has scale 7"),
        (["--precision", "fp8"], "fp8"),
        (["--chart", "pareto.svg"], "expected a chart file that ends in .png, got pareto.svg"),
        (["--faces", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_errors_of_pareto_are_one_line_before_any_work(facesr, arguments, message):
    result = facesr("bench", "pareto", *arguments)
    assert result.code in (1, 2) and message in result.error


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        ([], 1, "needs TensorRT-RTX, which is not installed"),
        (["--compute-capabilities", "8.6, 9.9"], 2, "got 9.9"),
        (["--compute-capabilities", ""], 2, "got none"),
    ],
)
def test_engines_that_cannot_be_built_are_an_error_before_any_conversion(facesr, monkeypatch, options, code, expected):
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setattr(bench_engines, "convert_model", None)
    result = facesr("bench", "engines", "--model", "edge-nano-x4", *options)
    assert result.code == code and expected in result.error and not result.out


def test_notes_on_engines_name_model_precision_size_and_gpus(capfd):
    row = EngineRow("edge", "int8", "7.5", "32x32", problem="no layer in INT8")
    print_engines(
        [row, EngineRow("edge", "int8", "8.0", "32x32", problem=row.problem), EngineRow("idrn", "fp16", "", "")]
    )
    assert capfd.readouterr().err == "note: edge int8 32x32, SM 7.5, 8.0: no layer in INT8\n"

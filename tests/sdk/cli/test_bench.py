"""``facesr-edge bench tables``, on networks small enough for a test."""

import json

import pytest
from facesr_edge.calibration.timing import LatencyStats
from facesr_edge.sdk.bench import pareto as trade_off
from facesr_edge.sdk.bench.configs import Backend
from facesr_edge.sdk.bench.paper import PaperRow, PaperTable
from facesr_edge.sdk.bench.results import Network, Timing
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
def small(monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.bench.paper.TABLES", SMALL)


def test_a_network_goes_all_the_way_from_random_weights_to_figures_and_chart(facesr, small, tmp_path):
    pytest.importorskip("torch", reason="needs PyTorch to make the networks; pip install 'facesr-edge[build]'")
    pytest.importorskip("matplotlib", reason="needs matplotlib; pip install 'facesr-edge[bench]'")
    options = ("--precision", "int8,fp32", "--batch", 2, "--threads", 1, "--runs", 2)
    said = facesr("bench", "tables", *options, "-o", tmp_path / "made", "--chart", tmp_path / "chart.png", "--json")
    assert said.code == 0, said.err
    assert "preparing depth 1, width 8" in said.err and "\ntiming\n" in said.err
    document = json.loads(said.out)
    assert json.loads((tmp_path / "made" / "tables.json").read_text("utf-8")) == document
    assert (tmp_path / "made" / "tables.png").read_bytes() == (tmp_path / "chart.png").read_bytes()
    assert (document["batch"], document["threads"], document["rounds"]) == (2, 1, 2)
    assert document["machine"]["cpu"] and "ONNX Runtime" in document["runtimes"]["onnxruntime"]
    for table, (varies, paper_ms) in zip(document["tables"], (("depth", 4.4), ("width", 4.35)), strict=True):
        (row,) = table["rows"]
        assert table["varies"] == varies and set(row) == ROW
        assert (row["depth"], row["width"], row["weights"], row["paper_ms"]) == (1, 8, "random", paper_ms)
        macs = 32 * 32 * (27 * 8 + 27 * 64 + 180 * 64 + 27 * 8 * 16)
        assert row["gmac_per_face"] == round(macs / 1e9, 4)
        assert [one["precision"] for one in row["measured"] if one["engine"] == "onnxruntime"] == ["fp32", "int8"]
        for one in row["measured"]:
            assert set(one) == MEASURED and one["ratio"] == 1
            assert 0 < one["best_ms"] <= one["p10_ms"] <= one["p50_ms"] <= one["p90_ms"]
    assert len({json.dumps(table["rows"][0]["measured"]) for table in document["tables"]}) == 1  # timed once


def test_a_person_sees_the_paper_above_what_was_measured_and_what_was_left_out(facesr, monkeypatch):
    table = PaperTable("depth", "Table 1: depth, at width 8", (PaperRow(1, 8, 4.4), PaperRow(2, 8, 4.8)))
    fp32, int8 = Backend("onnxruntime", "fp32"), Backend("onnxruntime", "int8")
    networks = {
        (1, 8): Network(
            "random", 20_000_000, {fp32: LatencyStats(1.9, 1.95, 2.0, 2.5), int8: LatencyStats(1, 1, 1, 1)}
        ),
        (2, 8): Network("random", 25_000_000, {fp32: LatencyStats(2.9, 2.95, 3.0, 3.5)}),
    }
    started = ("2026-01-31T12:00:00+00:00", None, 1, 0, 10, {"onnxruntime": "ONNX Runtime 1"})
    timing = Timing(this_machine(), *started, (table,), networks, ("FP16 is left out",))
    asked = []
    monkeypatch.setattr("facesr_edge.sdk.bench.tables.measure", lambda *_, **options: asked.append(options) or timing)
    said = facesr("bench", "tables", "--quick")
    assert said.code == 0 and asked[0]["rounds"] == 10
    assert "note: FP16 is left out" in said.err and "FP16 is left out" not in said.out
    lines = [line.split() for line in said.out.splitlines()]
    assert ["paper,", "ms", "4.40", "x1.00", "4.80", "x1.09"] in lines
    assert ["ONNX", "Runtime", "FP32,", "ms", "2.00", "x1.00", "3.00", "x1.50"] in lines
    assert ["ONNX", "Runtime", "INT8,", "ms", "1.00", "x1.00", "–"] in lines
    assert ["1.95–2.50", "2.95–3.50"] in lines and ["GMAC", "0.02", "x1.00", "0.03", "x1.25"] in lines


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--precision", "fp12"), "unknown precision 'fp12'; did you mean"),
        (("--precision", "int8,int8"), "expected each precision once"),
        (("--batch", "0"), "'--batch'"),
        (("--batch", "many"), "'--batch'"),
        (("--runs", "0"), "'--runs'"),
        (("--quick", "--runs", "5"), "--quick and --runs exclude each other"),
        (("--chart", "chart.gif"), "expected a chart that ends in .png"),
        (("--json", "--batch", "65"), "'--batch'"),
    ],
)
def test_what_cannot_be_meant_is_told_in_one_line_before_anything_is_made(facesr, options, expected, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.bench.tables.prepare", None)
    said = facesr("bench", "tables", *options)
    assert said.code == 2 and expected in said.error and said.out == ""


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_made(facesr, tmp_path, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.bench.tables.prepare", None)
    (tmp_path / "taken").write_text("a file")
    said = facesr("bench", "tables", "-o", tmp_path / "taken")
    assert said.code == 1 and "choose another folder with -o" in said.error


def test_bench_alone_tells_what_it_can_time(facesr):
    said = facesr("bench")
    assert said.code == 2 and "tables" in said.err
    assert facesr("bench", "tabels").code == 2


def test_the_map_is_printed_drawn_and_kept(facesr, monkeypatch, tiny_bundle, tmp_path):
    bundle = tiny_bundle()
    kinds = {}
    monkeypatch.setattr(trade_off, "models_of", lambda scale: kinds.update(scale=scale) or [bundle])
    monkeypatch.setattr(trade_off, "of_model", lambda model, kinds, folder: dict.fromkeys(kinds, model))
    chart, figures = tmp_path / "map.png", tmp_path / "map.json"
    said = facesr("bench", "map", "--runs", 1, "--threads", 1, "--chart", chart, "--json", figures)
    assert said.code == 0, said.err
    assert kinds == {"scale": 4} and "bicubic" in said.out and bundle.card.name in said.out and chart.exists()
    assert {row["model"] for row in json.loads(figures.read_text())["points"]} == {"bicubic", bundle.card.name}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--scale", 7], "no model that ships enlarges by 7"),
        (["--precision", "fp8"], "fp8"),
        (["--chart", "map.svg"], "expected a chart that ends in .png, got map.svg"),
        (["--faces", "nowhere"], "nowhere is not a folder"),
    ],
)
def test_a_map_that_cannot_be_made_is_told_before_anything_is_measured(facesr, arguments, told):
    said = facesr("bench", "map", *arguments)
    assert said.code in (1, 2) and told in said.error

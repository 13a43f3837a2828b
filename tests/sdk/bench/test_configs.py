"""The tables' figures, who takes part in them, and their picture."""

from dataclasses import replace
from time import sleep

import numpy as np
import pytest
from facesr_edge.calibration.timing import LatencyStats
from facesr_edge.engines.errors import MissingDependencyError, OutputError, UnknownNameError, UsageError
from facesr_edge.sdk.bench import table_chart as chart
from facesr_edge.sdk.bench.configs import Backend, Prepared, backends, select_backends, slow_halves
from facesr_edge.sdk.bench.paper import TABLES, PaperRow, PaperTable, sizes
from facesr_edge.sdk.bench.results import Network, Timing
from facesr_edge.sdk.bench.tables import default_folder, save
from facesr_edge.sdk.doctor.machine import this_machine

FP32, INT8 = Backend("onnxruntime", "fp32"), Backend("onnxruntime", "int8")


def around(ms):
    return LatencyStats(0.9 * ms, 0.95 * ms, ms, 1.2 * ms)


@pytest.fixture
def timing():
    """The paper's rows as a machine might take them; INT8 failed on one."""
    networks = {}
    for depth, width in sizes(TABLES):
        macs = 1024 * (27 * width + 27 * depth * width**2 + 180 * width**2 + 432 * width)
        taken = {FP32: around(macs / 1.7e8)} | ({} if width == 192 else {INT8: around(macs / 4e8)})
        networks[depth, width] = Network("random", macs, taken)
    runtimes = {"onnxruntime": "ONNX Runtime"}
    return Timing(this_machine(), "2026-01-31T12:00:00+00:00", 0.1, 1, 0, 50, runtimes, TABLES, networks, ("a note",))


def test_the_rows_are_the_papers():
    assert [(t.varies, [(r.size, r.paper_ms) for r in t.rows]) for t in TABLES] == [
        ("depth", [((8, 64), 4.4), ((12, 64), 4.8), ((16, 64), 5.0), ((20, 64), 5.7)]),
        ("width", [((8, 64), 4.35), ((8, 128), 6.29), ((8, 192), 7.96)]),
    ]


def test_a_network_of_both_tables_is_timed_once():
    assert sizes(TABLES) == [(8, 64), (12, 64), (16, 64), (20, 64), (8, 128), (8, 192)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ("fp32", "fp16", "int8")),
        ("int8", ("int8",)),
        ("int8, FP32", ("fp32", "int8")),
    ],
)
def test_precisions_are_chosen_by_name(text, expected):
    assert select_backends(text) == expected


def test_a_precision_that_is_none_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="did you mean 'fp16'"):
        select_backends("fp32,pf16")


def test_a_precision_named_twice_is_refused():
    with pytest.raises(UsageError, match="each precision once, got fp32,fp32"):
        select_backends("fp32,fp32")


def test_onnx_runtime_always_takes_part():
    who = backends(("fp32", "int8"))
    assert who[:2] == [FP32, INT8] and all(one.kind == (one.precision, "cpu") for one in who[:2])


@pytest.mark.parametrize("there", [True, False])
def test_openvino_takes_part_where_it_is_installed(monkeypatch, there):
    monkeypatch.setattr("facesr_edge.sdk.bench.configs.installed", lambda: there)
    engines = {who.engine: str(who) for who in backends(("int8",))}
    assert engines.get("openvino") == ("OpenVINO INT8" if there else None)


def test_int8_of_tensorrt_has_a_graph_of_its_own():
    assert Backend("tensorrt", "int8").kind == ("int8", "tensorrt")
    assert Backend("tensorrt", "fp16").kind == ("fp16", "cpu")


@pytest.mark.parametrize(("half_s", "left_out"), [(0.02, True), (0.001, False)])
def test_fp16_takes_part_unasked_only_where_it_is_no_slower(half_s, left_out):
    class Sleeper:
        def __init__(self, seconds):
            self.infer = lambda faces: sleep(seconds)

    network = Prepared((8, 64), "random", 1, {}, np.zeros((1, 32, 32, 3), np.uint8))
    half = Backend("onnxruntime", "fp16")
    told = slow_halves(network, {FP32: Sleeper(0.008), half: Sleeper(half_s), INT8: Sleeper(0)})
    assert set(told) == ({half} if left_out else set())
    assert not left_out or "ONNX Runtime FP16 is left out" in told[half]


def test_ratios_are_to_the_first_row_of_each_table(timing):
    document = timing.to_dict()
    for table in document["tables"]:
        first = table["rows"][0]
        assert (first["paper_ratio"], first["gmac_ratio"], first["measured"][0]["ratio"]) == (1, 1, 1)
        for row in table["rows"]:
            assert row["paper_ratio"] == pytest.approx(row["paper_ms"] / first["paper_ms"], abs=1e-4)
            fp32 = row["measured"][0]
            assert fp32["ratio"] == pytest.approx(row["gmac_ratio"], abs=1e-3)  # here time is arithmetic
            assert fp32["best_ms"] < fp32["p10_ms"] < fp32["p50_ms"] < fp32["p90_ms"]


def test_a_row_without_a_contestant_has_no_ratio(timing):
    width = timing.tables[1]
    assert timing.ratio(width, width.rows[2], INT8) is None and timing.ratio(width, width.rows[1], INT8) > 1


def test_ms_of_a_batch_are_told_a_face_too(timing):
    (row, *_) = replace(timing, batch=4).to_dict()["tables"][0]["rows"]
    assert all(4 * one["p50_ms_per_face"] == pytest.approx(one["p50_ms"], abs=0.01) for one in row["measured"])


def near(picture, colour):
    """How many pixels of an RGB picture are about of a colour."""
    rgb = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return int((np.abs(picture[..., :3] * 255 - rgb).max(-1) < 12).sum())


def drawn(timing, path):
    image = pytest.importorskip("matplotlib.image", reason="needs matplotlib; pip install 'facesr-edge[bench]'")
    chart.draw(timing, path)
    return image.imread(path)


def test_the_chart_shows_every_line_and_the_paper(timing, tmp_path):
    picture = drawn(timing, tmp_path / "chart.png")
    assert picture.shape[0] > 500 and picture.shape[1] > 1000
    for colour in (chart.COLOURS[FP32], chart.COLOURS[INT8], chart.PAPER_INK):
        assert near(picture, colour) > 500
    assert near(picture, chart.COLOURS[Backend("tensorrt", "fp16")]) == 0


def test_the_chart_takes_one_table_with_one_row(timing, tmp_path):
    alone = replace(timing, tables=(PaperTable("depth", "one", (PaperRow(8, 64, 4.4),)),))
    assert near(drawn(alone, tmp_path / "one.png"), chart.COLOURS[FP32]) > 50


def test_names_of_lines_that_end_together_do_not_touch():
    placed = chart._apart([10.0, 1.0, 10.1, 9.9], (1, 100))
    assert placed[1] == 1.0 and sorted(placed) == [placed[1], placed[3], placed[0], placed[2]]
    assert all(b / a > 1.1 for a, b in zip(sorted(placed), sorted(placed)[1:], strict=False))


def test_a_chart_is_a_png(timing, tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.png, got .*chart\.gif"):
        chart.draw(timing, tmp_path / "chart.gif")


def test_without_matplotlib_the_remedy_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(chart, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'facesr-edge\[bench\]'"):
        chart.check(tmp_path / "chart.png")


def test_a_run_that_cannot_be_kept_says_where(timing, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match=r"taken: .* choose another folder with -o"):
        save(timing, tmp_path / "taken")


@pytest.mark.parametrize(
    ("cpu", "cores", "folder"),
    [
        ("AMD EPYC 9B45", 2, "amd-epyc-9b45-2-cores-2026-01-31"),
        ("Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", 1, "intel-core-i7-8650u-cpu-1-90ghz-1-core-2026-01-31"),
        ("", 4, "machine-4-cores-2026-01-31"),
    ],
)
def test_results_lie_by_machine_and_day(cpu, cores, folder):
    assert default_folder(cpu, cores, "2026-01-31T12:00:00").as_posix() == f"benchmarks/results/{folder}"

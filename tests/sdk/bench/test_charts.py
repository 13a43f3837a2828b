"""Benchmark charts: lines and points of every backend, labels without overlap, and output paths."""

from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.errors import MissingDependencyError, OutputError, UsageError
from facesr_edge.sdk.bench import chart_style, charts
from facesr_edge.sdk.bench.configs import Backend
from facesr_edge.sdk.bench.paper import PaperRow, PaperTable

from .conftest import FP32, INT8, pareto_of, point

image = pytest.importorskip("matplotlib.image", reason="needs matplotlib; pip install 'facesr-edge[bench]'")


def count_color(pixels, color):
    """Number of pixels of an RGB image close to a color."""
    rgb = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])
    return int((np.abs(pixels[..., :3] * 255 - rgb).max(-1) < 12).sum())


def draw(timings, path):
    charts.draw_tables(timings, path)
    return image.imread(path)


def test_tables_chart_has_a_line_per_backend_and_one_for_the_paper(timings, tmp_path):
    pixels = draw(timings, tmp_path / "chart.png")
    assert pixels.shape[0] > 500 and pixels.shape[1] > 1000
    for color in (charts.COLORS[FP32], charts.COLORS[INT8], chart_style.MUTED):
        assert count_color(pixels, color) > 500
    assert count_color(pixels, charts.COLORS[Backend("tensorrt", "fp16")]) == 0


def test_tables_chart_accepts_one_table_with_one_row(timings, tmp_path):
    single = replace(timings, tables=(PaperTable("depth", "one", (PaperRow(8, 64, 4.4),)),))
    assert count_color(draw(single, tmp_path / "one.png"), charts.COLORS[FP32]) > 50


def test_labels_of_lines_with_equal_ends_do_not_overlap():
    placed = charts._spread([10.0, 1.0, 10.1, 9.9], (1, 100))
    assert placed[1] == 1.0 and sorted(placed) == [placed[1], placed[3], placed[0], placed[2]]
    assert all(b / a > 1.1 for a, b in zip(sorted(placed), sorted(placed)[1:], strict=False))


def test_pareto_chart_is_written(tmp_path):
    result = pareto_of(point("a", 1, 3), point("b", 5, 3.5), point("b", 3, 3.4, INT8), point("c", 1.05, 3.02))
    charts.draw_pareto(result, tmp_path / "pareto.png")
    pixels = image.imread(tmp_path / "pareto.png")
    assert pixels.shape[:2] == (930, 1500) and pixels[..., :3].std() > 0.05


def test_pareto_chart_names_every_model_once_without_overlap():
    points = [(1, 3), (1.1, 3.02), (2, 3.01), (2.1, 3), (180, 0.2), (190, 3)]  # the last are at the legend and the edge
    figure = charts.pareto_figure(pareto_of(*(point(f"network-{n}", *at) for n, at in enumerate(points))))
    (axes,) = figure.axes
    assert sorted(text.get_text() for text in axes.texts) == [f"network-{n}" for n in range(len(points))]
    boxes = [axes.get_legend().get_window_extent(), *(text.get_window_extent() for text in axes.texts)]
    for i, box in enumerate(boxes):
        assert not box.count_overlaps(boxes[:i]) and 0 < box.x0 < box.x1 < figure.bbox.x1
        assert i == 0 or not any(box.contains(*axes.transData.transform(at)) for at in points)


def test_chart_path_must_be_a_png_in_an_existing_folder(tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.png, got .*chart\.gif"):
        charts.draw_pareto(pareto_of(point("a", 1, 3)), tmp_path / "chart.gif")
    with pytest.raises(OutputError, match="cannot write"):
        charts.draw_pareto(pareto_of(point("a", 1, 3)), tmp_path / "no" / "chart.png")


def test_missing_matplotlib_raises_with_the_extra_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(chart_style, "find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'facesr-edge\[bench\]'"):
        chart_style.check_chart_path(tmp_path / "chart.png")

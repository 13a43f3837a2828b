"""docs/performance.md: its measured sections are rewritten from results, and agree with those that are stored."""

import json
import re
import sys

import pytest
from facesr_edge.benchmarks import performance_page
from facesr_edge.benchmarks.performance_page import CHARTS, PAGE, SECTIONS, rewrite

MACHINE = {"cpu": "Test CPU", "cores": 2}
RUN = {"machine": MACHINE, "threads": 0, "when": "2026-01-31T12:00:00+00:00", "notes": [], "model": "edge"}
PARTS = ("decode", "detect: network", "detect: rest", "crop", "upscale: network", "upscale: rest")
SCENE = {
    "size": "480p",
    "faces": 8,
    "breakdown_ms": dict.fromkeys((*PARTS, "paste: enlarge", "paste: faces", "encode"), 1.25),
    "total_ms": {"p50": 9.5},
    "overhead_share": 0.0512,
    "sequential_fps": 105.26,
    "overlapped_fps": 120.5,
    "peak_memory_mb": None,
}
PIPELINE = {
    **RUN,
    "runtimes": {"upscale": "ONNX Runtime 1", "detect": "ONNX Runtime 1"},
    "outscale": 2,
    "rounds": 3,
    "frames": 12,
    "scenes": [SCENE],
    "growth": [{"size": "480p", "ms_per_frame": 5.0, "ms_per_face": 0.5}],
}
PEERS = {
    **RUN,
    "runtime": "ONNX Runtime 1",
    "tasks": [
        {
            "task": "detect",
            "title": "detection: ms per frame",
            "unit": "frame",
            "peers": [{"name": "facesr-edge", "p50_ms": 5.0, "ratio": 1.0, "faces": 8}],
            "absent": {"YuNet": "no file"},
        }
    ],
}


@pytest.fixture
def results(tmp_path):
    for name, document in (("pipeline", PIPELINE), ("peers", PEERS)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document), "utf-8")
        (tmp_path / f"{name}.png").write_bytes(b"")
    return tmp_path


def section(text, name):
    return text.partition(f"<!-- begin {name} -->\n")[2].partition(f"<!-- end {name} -->")[0]


def test_every_section_is_rewritten_and_the_rest_is_not(results):
    before = PAGE.read_text("utf-8")
    after = rewrite(before, results, PAGE)
    cells = "| 480p | 8 | 2.5 | 1.2 | 1.2 | 1.2 | 2.5 | 9.5 | 5.1 % | 105.26 | 120.50 | – |"
    assert cells in section(after, "pipeline") and "Test CPU, 2 cores, one thread per core" in after
    assert "| 480p | 5.0 | 0.50 |" in section(after, "growth")
    assert "| facesr-edge | 5.00 | 1.00 | 8 |" in section(after, "peers")
    assert "YuNet: not timed, no file." in section(after, "peers")
    for name in CHARTS:
        assert section(after, name).startswith("![")
    outside = r"(<!-- begin (.*?) -->\n).*?(<!-- end \2 -->)"
    assert re.sub(outside, r"\1\3", after, flags=re.S) == re.sub(outside, r"\1\3", before, flags=re.S)
    assert rewrite(after, results, PAGE) == after


def test_sections_without_results_stay(results):
    (results / "peers.json").unlink()
    (results / "peers.png").unlink()
    before = PAGE.read_text("utf-8")
    after = rewrite(before, results, PAGE)
    assert section(after, "peers") == section(before, "peers") and section(after, "growth") != section(before, "growth")


def test_a_page_without_a_section_and_a_folder_without_results_raise(results, tmp_path):
    with pytest.raises(ValueError, match="expected one section pipeline in"):
        rewrite("no sections", results, PAGE)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"has no pipeline\.json and no peers\.json"):
        rewrite(PAGE.read_text("utf-8"), tmp_path / "empty", PAGE)


def test_the_program_writes_the_page_and_reports_errors_in_one_line(results, tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text("utf-8"), "utf-8")
    monkeypatch.setattr(sys, "argv", ["performance_page", str(results), "--page", str(page)])
    performance_page.main()
    assert capsys.readouterr().out == f"{page}: written\n" and "![Stage times" in page.read_text("utf-8")
    monkeypatch.setattr(sys, "argv", ["performance_page", str(tmp_path / "none"), "--page", str(page)])
    with pytest.raises(SystemExit, match=r"performance_page: .* has no pipeline"):
        performance_page.main()


def test_the_stored_results_of_the_page_are_those_in_its_sections():
    text = PAGE.read_text("utf-8")
    (link,) = re.findall(r"\((\.\./benchmarks/results/[^)]+)/pipeline\.png\)", text)
    assert rewrite(text, (PAGE.parent / link).resolve(), PAGE) == text


def test_every_section_has_markers():
    text = PAGE.read_text("utf-8")
    for name in (*SECTIONS, *CHARTS):
        assert text.count(f"<!-- begin {name} -->") == text.count(f"<!-- end {name} -->") == 1

"""Folders of stored results: names and files."""

import json

import pytest
from facesr_edge.engines.errors import OutputError
from facesr_edge.sdk.bench.results import default_folder, save_results


def test_json_and_chart_are_written_and_replaced(tmp_path):
    for number in (1, 2):
        save_results(tmp_path / "new" / "folder", "speed", {"ms": number}, lambda path: path.write_bytes(b"chart"))
    folder = tmp_path / "new" / "folder"
    assert json.loads((folder / "speed.json").read_text()) == {"ms": 2}
    assert (folder / "speed.png").read_bytes() == b"chart"


def test_folder_that_cannot_be_created_raises(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match=r"taken: .* choose another folder with -o"):
        save_results(tmp_path / "taken", "speed", {}, lambda path: None)


@pytest.mark.parametrize(
    ("cpu", "cores", "folder"),
    [
        ("AMD EPYC 9B45", 2, "amd-epyc-9b45-2-cores-2026-01-31"),
        ("Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", 1, "intel-core-i7-8650u-cpu-1-90ghz-1-core-2026-01-31"),
        ("", 4, "machine-4-cores-2026-01-31"),
    ],
)
def test_default_folder_is_named_by_machine_and_date(cpu, cores, folder):
    assert default_folder(cpu, cores, "2026-01-31T12:00:00").as_posix() == f"benchmarks/results/{folder}"

"""``facesr-edge tune``: measures the candidates, prints them, and `inspect` and `load` use the choice."""

import json

import pytest
from facesr_edge.engines.cpu import has_bf16
from facesr_edge.engines.openvino.session import installed


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_table_has_every_candidate_and_the_choice(two_precisions, facesr):
    folder = two_precisions().folder
    before = facesr("inspect", folder).out
    assert "not measured yet; run facesr-edge tune" in before
    done = facesr("tune", folder, "--threads", "0")
    assert done.code == 0 and "measuring two-precisions" in done.err
    rows = done.out.splitlines()
    assert "ms at 32 px" in rows[1] and "ms at 96 px" in rows[1]
    assert sum("chosen" in row for row in rows) == 1
    assert sum("ONNX Runtime" in row and "int8" in row and "0.010" in row for row in rows) >= 1
    if installed():
        reason = "no evaluation of bf16" if has_bf16() else "no bfloat16"
        assert any("OpenVINO" in row and reason in row for row in rows)
    choice = rows[0].partition(": ")[2].strip()
    assert choice.split(":")[0] in facesr("inspect", folder).out


def test_json_has_the_measurements(two_precisions, facesr):
    done = facesr("tune", two_precisions().folder, "--json")
    (document,) = json.loads(done.out)
    assert document["model"].startswith("two-precisions") and document["choice"]["reason"]
    for measured in document["measurements"]:
        assert set(measured["ms"]) == {"32 px", "64 px", "96 px"}
        assert {"engine", "precision", "workers"} == set(measured["candidate"])

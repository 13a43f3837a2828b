"""Killed runs, resumed: equal to uninterrupted ones. `python -m facesr_edge.benchmarks.faults` makes 100 kills."""

import pytest
from facesr_edge.benchmarks.faults import TORN_LINE, Kill, contents, kill_and_resume, run_once, scenarios

CHUNK = 10


@pytest.fixture(scope="module")
def runs(clip, images, options, tmp_path_factory):
    """Name of a scenario → scenario, and contents of its outputs without a kill."""
    folder = tmp_path_factory.mktemp("reference")
    expected = {}
    for scenario in scenarios(clip, images, options):
        outputs = folder / f"reference-{scenario.name}"
        outputs.mkdir()
        assert run_once(scenario.arguments(outputs), folder / "log", CHUNK) == 0, (folder / "log").read_text()
        expected[scenario.name] = scenario, contents(outputs)
    return expected


@pytest.mark.parametrize(
    ("name", "kills"),
    [
        ("o.mp4", [Kill("end of a chunk", 4), Kill("copy of a packet", 7), Kill("encode", 3)]),
        ("o.mp4", [Kill("before the rename"), Kill("after the rename")]),
        ("o.mkv", [Kill(TORN_LINE, 3), Kill("before the rename")]),
        ("o.webm", [Kill("chunk in the journal", 3), Kill("end of a source")]),
        ("o", [Kill("image in the journal", 3), Kill("end of the JSON")]),
        ("", [Kill(TORN_LINE, 38)]),
    ],
)
def test_killed_run_is_resumed_to_the_same_result(runs, tmp_path, name, kills):
    scenario, expected = runs[name]
    (tmp_path / "out").mkdir()
    trial = kill_and_resume(scenario, expected, tmp_path / "out", kills, CHUNK)
    assert trial.problems == []
    assert trial.kills == kills


def test_next_run_removes_what_a_killed_one_left(runs, tmp_path):
    scenario, expected = runs["o.mp4"]
    (tmp_path / "out").mkdir()
    assert run_once(scenario.arguments(tmp_path / "out"), tmp_path / "log", CHUNK, Kill("before the rename")) == -9
    assert len(list((tmp_path / "out").iterdir())) > 2
    assert run_once(scenario.arguments(tmp_path / "out"), tmp_path / "log", CHUNK) == 0
    assert "--resume would go on with it" in (tmp_path / "log").read_text()
    assert contents(tmp_path / "out") == expected

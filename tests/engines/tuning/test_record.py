"""Records: the same machine, versions, bundle and request find them, anything else does not."""

from dataclasses import replace

import pytest
from facesr_edge.engines.bundle.bundle import Bundle
from facesr_edge.engines.files import cache_dir
from facesr_edge.engines.tuning import record as module
from facesr_edge.engines.tuning.candidates import candidates
from facesr_edge.engines.tuning.record import read_record, write_record
from facesr_edge.engines.tuning.trial import Measurement


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def written(tiny_bundle):
    """Bundle, candidates and measurements of a record with two threads."""
    bundle = tiny_bundle()
    choices, _ = candidates(bundle)
    measured = [Measurement(one, {"32 px": 1.5}, "a reason") for one in choices]
    write_record(bundle, choices, 2, measured)
    return bundle, choices, measured


def test_record_is_found_again(written):
    bundle, choices, measured = written
    assert read_record(bundle, choices, 2) == measured


def test_other_request_or_bundle_is_measured_again(written):
    bundle, choices, _ = written
    assert read_record(bundle, choices, 1) is None
    assert read_record(bundle, choices[:1], 2) is None
    altered = Bundle(bundle.folder, replace(bundle.card, files={**bundle.card.files, "model.onnx": "0" * 64}))
    assert read_record(altered, choices, 2) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("usable_cores", lambda: 64),
        ("cpuinfo", lambda: {"model name": "another"}),
        ("instruction_sets", lambda: frozenset(("avx",))),
        ("version", lambda package: "0.1"),
    ],
)
def test_other_machine_or_version_is_measured_again(written, monkeypatch, name, value):
    bundle, choices, measured = written
    with monkeypatch.context() as patch:
        patch.setattr(module, name, value)
        assert read_record(bundle, choices, 2) is None
    assert read_record(bundle, choices, 2) == measured


@pytest.mark.parametrize("content", [b"", b"junk", b"{}", b"[1]", b'{"key": 1, "measurements": [{}]}', b"\xff"])
def test_corrupt_record_is_measured_again(written, content):
    bundle, choices, measured = written
    (path,) = cache_dir("tuning").glob("*.json")
    path.write_bytes(content)
    assert read_record(bundle, choices, 2) is None
    write_record(bundle, choices, 2, measured)
    assert read_record(bundle, choices, 2) == measured


def test_cache_that_cannot_be_written_is_no_error(tiny_bundle, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    choices, _ = candidates(tiny_bundle())
    write_record(tiny_bundle(), choices, 2, [])
    assert read_record(tiny_bundle(), choices, 2) is None

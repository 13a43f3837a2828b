"""JSON of a run: one document, or one line for each frame, complete also after an error."""

import io
import json

import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import FrameResult
from facesr_edge.sdk.pipeline.summary import RunSummary
from facesr_edge.sdk.profiling.json_writer import JsonLinesWriter, JsonWriter


def result(index=0, box=(1, 2, 3, 4)):
    large = Detections(np.array([box], np.float32), np.ones(1, np.float32), np.zeros((1, 5, 2), np.float32))
    return FrameResult(Frame(np.zeros((8, 8, 3), np.uint8), index, damaged=index == 1), None, (), large)


def summary():
    return RunSummary(frames=3, notes=("a note",), complete=True)


def strict_json(text):
    def reject(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=reject)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_document_has_the_head_the_frames_the_notes_and_the_summary(count):
    stream = io.StringIO()
    with JsonWriter(stream, {"model": "m"}, summary) as writer:
        for index in range(count):
            writer.add(result(index))
    document = strict_json(stream.getvalue())
    assert list(document) == ["model", "frames", "notes", "summary"]
    assert [frame["index"] for frame in document["frames"]] == list(range(count))
    assert [frame["damaged"] for frame in document["frames"]] == [False, True, False][:count]
    assert document["notes"] == ["a note"] and document["summary"]["complete"] is True


def test_the_document_of_an_interrupted_run_holds_the_frames_done(tmp_path):
    path = tmp_path / "faces.json"
    with pytest.raises(KeyboardInterrupt), JsonWriter(path, {}, RunSummary) as writer:
        writer.add(result())
        assert not path.exists()
        raise KeyboardInterrupt
    document = strict_json(path.read_text())
    assert len(document["frames"]) == 1 and document["summary"]["complete"] is False
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_without_a_frame_that_fails_keeps_the_existing_document(tmp_path):
    path = tmp_path / "faces.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), JsonWriter(path, {}, summary):
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [JsonWriter, JsonLinesWriter])
def test_a_path_that_cannot_be_written_is_an_output_error(kind, tmp_path):
    with pytest.raises(OutputError, match="folder does not exist"):
        kind(tmp_path / "missing" / "faces.json", {}, summary)
    with pytest.raises(OutputError, match="is a folder"):
        kind(tmp_path, {}, summary)


def test_lines_are_valid_at_any_time(tmp_path):
    path = tmp_path / "faces.jsonl"
    path.write_text("old")
    with JsonLinesWriter(path, {"model": "m"}, summary) as writer:
        for index in range(3):
            lines = [strict_json(line) for line in path.read_text().splitlines()]
            assert [line["type"] for line in lines] == ["run", *["frame"] * index] and lines[0]["model"] == "m"
            writer.add(result(index), source="clip.mp4")
    last = strict_json(path.read_text().splitlines()[-1])
    assert (last["type"], last["frames"], last["notes"]) == ("summary", 3, ["a note"])
    assert strict_json(path.read_text().splitlines()[1])["source"] == "clip.mp4"


def test_lines_end_with_the_summary_after_an_error(tmp_path):
    path = tmp_path / "faces.jsonl"
    with pytest.raises(KeyboardInterrupt), JsonLinesWriter(path, {}, RunSummary):
        raise KeyboardInterrupt
    assert strict_json(path.read_text().splitlines()[-1])["complete"] is False


def test_on_a_full_disk_whole_lines_remain(tmp_path, no_file_larger_than):
    path = tmp_path / "faces.jsonl"
    with no_file_larger_than(2000), pytest.raises(OutputError, match="free some space"):  # noqa: SIM117
        with JsonLinesWriter(path, {}, summary) as writer:
            for index in range(100):
                writer.add(result(index))
    lines = [strict_json(line) for line in path.read_text().splitlines()]
    assert len(lines) > 3 and lines[-1]["type"] == "frame" and path.read_text().endswith("\n")


def test_lines_after_a_full_disk_follow_the_whole_ones(tmp_path, no_file_larger_than):
    path = tmp_path / "lines.jsonl"
    with JsonLinesWriter(path, {}, summary) as writer:
        with no_file_larger_than(2000), pytest.raises(OutputError):
            for index in range(100):
                writer.add(result(index))
        writer.add(result(7))
    lines = [strict_json(line) for line in path.read_text().splitlines()]
    assert [line["type"] for line in lines[-3:]] == ["frame", "frame", "summary"] and lines[-2]["index"] == 7


def test_a_number_that_is_not_finite_is_null():
    stream = io.StringIO()
    with JsonWriter(stream, {}, summary) as writer:
        writer.add(result(box=(np.nan, 1, np.inf, 2)))
    assert strict_json(stream.getvalue())["frames"][0]["too_large"] == [[None, 1.0, None, 2.0]]

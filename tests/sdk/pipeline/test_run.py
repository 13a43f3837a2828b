"""The run loop: lazy, in order, with the sink's time on record; and the record of what it did."""

import io
import json

import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.engines.postprocess import no_detections
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import FrameResult
from facesr_edge.sdk.pipeline.run import run
from facesr_edge.sdk.profiling.json_writer import JsonWriter
from facesr_edge.sdk.profiling.timing import Span


class Enlarger:
    """A pipeline that does nothing but count."""

    composite = True

    def __init__(self):
        self.done = 0

    def stream(self, source):
        for frame in source:
            self.done += 1
            yield FrameResult(frame, frame.pixels, (), no_detections(), (Span("detect", 0, 1_000_000),))


class Shelf:
    def __init__(self):
        self.taken = []

    def write(self, frame, pixels):
        self.taken.append(frame.index)


def frames(count):
    return (Frame(np.zeros((8, 8, 3), np.uint8), index) for index in range(count))


def result(index=0):
    return FrameResult(Frame(np.zeros((8, 8, 3), np.uint8), index), None, (), no_detections())


def test_frames_are_done_when_they_are_asked_for_and_written_in_order():
    pipeline, shelf = Enlarger(), Shelf()
    results = run(pipeline, frames(5), shelf)
    assert pipeline.done == 0
    next(results)
    assert (pipeline.done, shelf.taken) == (1, [0])
    assert [r.source.index for r in results] == [1, 2, 3, 4] and shelf.taken == [0, 1, 2, 3, 4]


def test_writing_is_timed_as_encode():
    timings = next(run(Enlarger(), frames(1), Shelf())).timings_ms
    assert list(timings) == ["detect", "encode", "total"] and timings["total"] > timings["detect"]
    assert "encode" not in next(run(Enlarger(), frames(1))).timings_ms


def test_an_output_without_a_composite_is_refused_before_any_frame_is_done():
    pipeline = Enlarger()
    pipeline.composite = False
    with pytest.raises(UsageError, match="composite=False"):
        next(run(pipeline, frames(1), Shelf()))
    assert pipeline.done == 0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_record_is_one_document(count):
    stream = io.StringIO()
    with JsonWriter(stream, {"model": "m"}) as record:
        for index in range(count):
            record.add(result(index))
    document = json.loads(stream.getvalue())
    assert document["model"] == "m" and [frame["index"] for frame in document["frames"]] == list(range(count))


def test_a_record_that_is_broken_off_holds_the_frames_that_were_done(tmp_path):
    path = tmp_path / "faces.json"
    with pytest.raises(KeyboardInterrupt), JsonWriter(path, {}) as record:
        record.add(result())
        assert not path.exists()
        raise KeyboardInterrupt
    assert len(json.loads(path.read_text())["frames"]) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_record_without_a_frame_leaves_the_older_file(tmp_path):
    path = tmp_path / "faces.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), JsonWriter(path, {}):
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_record_that_cannot_be_written_says_so(tmp_path):
    with pytest.raises(OutputError, match="missing"):
        JsonWriter(tmp_path / "missing" / "faces.json", {})
    with pytest.raises(OutputError, match="is a folder"):
        JsonWriter(tmp_path, {})

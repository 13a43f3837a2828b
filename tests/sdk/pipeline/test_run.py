"""The run loop: lazy, in order, with timed writes; and the JSON of its results."""

import io
import json
from functools import reduce

import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import FrameResult
from facesr_edge.sdk.pipeline.run import run
from facesr_edge.sdk.profiling.json_writer import JsonWriter
from facesr_edge.sdk.profiling.timing import Span


class CountingPipeline:
    """A pipeline that returns its frames and counts them."""

    composite = True

    def __init__(self):
        self.done = 0

    def stream(self, source, *steps, overlap):
        for frame in source:
            self.done += 1
            result = FrameResult(frame, frame.pixels, (), Detections.empty(), (Span("detect", 0, 1_000_000),))
            yield reduce(lambda result, step: step(result), steps, result)


class ListSink:
    def __init__(self):
        self.written = []

    def write(self, frame, pixels):
        self.written.append(frame.index)


def frames(count):
    return (Frame(np.zeros((8, 8, 3), np.uint8), index) for index in range(count))


def result(index=0):
    return FrameResult(Frame(np.zeros((8, 8, 3), np.uint8), index), None, (), Detections.empty())


def test_frames_are_processed_lazily_and_written_in_order():
    pipeline, sink = CountingPipeline(), ListSink()
    results = run(pipeline, frames(5), sink)
    assert pipeline.done == 0
    next(results)
    assert (pipeline.done, sink.written) == (1, [0])
    assert [r.source.index for r in results] == [1, 2, 3, 4] and sink.written == [0, 1, 2, 3, 4]


def test_writing_is_timed_as_encode():
    timings = next(run(CountingPipeline(), frames(1), ListSink())).timings_ms
    assert list(timings) == ["detect", "encode", "total"] and timings["total"] > timings["detect"]
    assert "encode" not in next(run(CountingPipeline(), frames(1))).timings_ms


def test_a_sink_without_composites_is_rejected_before_the_first_frame():
    pipeline = CountingPipeline()
    pipeline.composite = False
    with pytest.raises(UsageError, match="composite=False"):
        next(run(pipeline, frames(1), ListSink()))
    assert pipeline.done == 0


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_results_are_one_document(count):
    stream = io.StringIO()
    with JsonWriter(stream, {"model": "m"}) as writer:
        for index in range(count):
            writer.add(result(index))
    document = json.loads(stream.getvalue())
    assert document["model"] == "m" and [frame["index"] for frame in document["frames"]] == list(range(count))


def test_json_results_of_an_interrupted_run_hold_the_frames_done(tmp_path):
    path = tmp_path / "faces.json"
    with pytest.raises(KeyboardInterrupt), JsonWriter(path, {}) as writer:
        writer.add(result())
        assert not path.exists()
        raise KeyboardInterrupt
    assert len(json.loads(path.read_text())["frames"]) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_json_results_without_a_frame_keep_the_existing_file(tmp_path):
    path = tmp_path / "faces.json"
    path.write_text("old")
    with pytest.raises(RuntimeError), JsonWriter(path, {}):
        raise RuntimeError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_path_for_json_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="missing"):
        JsonWriter(tmp_path / "missing" / "faces.json", {})
    with pytest.raises(OutputError, match="is a folder"):
        JsonWriter(tmp_path, {})

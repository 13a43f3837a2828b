"""The run loop: lazy, in order, with timed writes and a summary."""

import json
from functools import reduce

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import FrameResult
from facesr_edge.sdk.pipeline.run import run
from facesr_edge.sdk.pipeline.summary import Failure, RunSummary
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


def test_the_summary_counts_what_was_done_so_far_and_is_complete_at_the_end():
    results = run(CountingPipeline(), frames(3))
    assert results.summary.frames == 0
    next(results)
    assert results.summary.frames == 1 and not results.summary.complete
    assert sum(1 for _ in results) == 2 and results.summary.frames == 3 and results.summary.complete


def test_a_closed_run_is_not_complete():
    with run(CountingPipeline(), frames(3)) as results:
        next(results)
    assert list(results) == [] and results.summary.frames == 1


def test_faces_are_the_upscaled_ones_and_the_too_large_ones(sr, portrait):
    results = run(sr, [Frame(portrait), Frame(portrait[::2, ::2].copy(), damaged=True)])
    assert len(list(results)) == 2
    assert (results.summary.faces, results.summary.upscaled, results.summary.too_large) == (2, 1, 1)
    assert results.summary.damaged_frames == 1


def test_notes_of_source_and_sink_are_in_the_summary(sr, tmp_path):
    image = tmp_path / "odd.png"
    cv2.imwrite(str(image), np.full((48, 63, 3), 118, np.uint8))
    with open_source(image) as source, open_sink(tmp_path / "out.png", source, outscale=2) as sink:
        source.notes.append("read")
        sink.notes.append("written")
        source.failures.append(Failure("b.png", "broken"))
        results = run(sr, source, sink)
        assert sum(1 for _ in results) == 1
    assert results.summary.notes == ("read", "written") and results.summary.failures == (Failure("b.png", "broken"),)


def test_summaries_add_up():
    parts = [RunSummary(frames=1, faces=2, notes=("a",), complete=True), RunSummary(frames=3, notes=("b",))]
    assert RunSummary.merge(parts) == RunSummary(frames=4, faces=2, notes=("a", "b"))
    assert RunSummary.merge(parts[:1]) == parts[0]


def test_summary_survives_json_and_counts_its_frames_as_resumed():
    summary = RunSummary(frames=3, resumed=2, faces=4, skipped=("a",), failures=(Failure("b", "why"),), notes=("n",))
    again = RunSummary.from_dict(json.loads(json.dumps(summary.to_dict())))
    assert again == summary
    assert again.as_resumed() == RunSummary(resumed=5, skipped=("a",), failures=(Failure("b", "why"),), notes=("n",))

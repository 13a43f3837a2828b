"""Run a pipeline over a source and write the composites."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import UsageError
from ..media.identity import pipeline_identity
from ..media.results_journal import SourceResults
from ..media.resume import begin
from ..media.source_sink import Sink, Source
from ..profiling.timing import Span
from .frame import Frame
from .pipeline import Pipeline
from .results import FrameResult
from .summary import RunSummary

_logger = logging.getLogger(__name__)


class Writer(Protocol):
    """Takes the composites: a sink, or an object with the same method."""

    def write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        """Write the composite of one frame."""


class Run(Iterator[FrameResult]):
    """Iterator of the results of a run; a context manager that ends the run when it is closed.

    Args:
        results: of `Pipeline.stream`.
        source: of the frames; a `Source` adds its notes and losses to the summary.
        sink: of the composites; a `Sink` adds its notes.
        resumed: frames that a stopped run has done.
    """

    def __init__(
        self,
        results: Generator[FrameResult, None, None],
        source: Iterable[Frame],
        sink: Writer | None = None,
        resumed: int = 0,
    ) -> None:
        self._results = results
        self._source = source if isinstance(source, Source) else None
        self._sink = sink if isinstance(sink, Sink) else None
        self._counts = RunSummary(resumed=resumed)
        self._ended = False

    def __iter__(self) -> Run:
        return self

    def __next__(self) -> FrameResult:
        try:
            result = next(self._results)
        except StopIteration:
            self._counts = replace(self._counts, complete=self._reached_end())
            self._log_end()
            raise
        self._counts = self._counts.with_result(result)
        return result

    @property
    def summary(self) -> RunSummary:
        """Counts and losses of the frames so far; final when the iteration has ended and the sink is closed."""
        notes = [*(self._source.notes if self._source else ()), *(self._sink.notes if self._sink else ())]
        counts = replace(self._counts, notes=tuple(notes))
        if self._source is None:
            return counts
        return replace(
            counts,
            dropped=self._source.dropped,
            damaged_packets=self._source.damaged_packets,
            skipped=tuple(self._source.skipped),
            failures=tuple(self._source.failures),
        )

    def _reached_end(self) -> bool:
        """Whether all frames were read; a live source has no end, closing it is regular."""
        return self._source is None or self._source.exhausted or self._source.kind == "live"

    def close(self) -> None:
        """Stop: frames between source and consumer are dropped; idempotent. Source and sink stay open."""
        self._results.close()
        self._log_end()

    def _log_end(self) -> None:
        """Log the counts once; as a warning if something was lost that is not dropped on purpose."""
        if self._ended:
            return
        self._ended, end = True, self.summary
        lost = end.damaged_packets or end.damaged_frames or end.failures
        counts = f"{end.frames} frames, {end.faces} faces, {end.dropped} frames dropped"
        damage = f"{end.damaged_packets} packets and {end.damaged_frames} frames damaged, {len(end.failures)} failures"
        name = self._source.name if self._source else "run"
        _logger.log(logging.WARNING if lost else logging.INFO, "%s: %s, %s", name, counts, damage)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def run(
    pipeline: Pipeline,
    source: Iterable[Frame],
    sink: Writer | None = None,
    *,
    overlap: bool = True,
    results: SourceResults | None = None,
) -> Run:
    """Upscale the faces of every frame and write the composites.

    If the sink was opened to resume a stopped run, or `results` was, the frames that are done are left out.

    Args:
        pipeline: to run.
        source: frames.
        sink: destination of the composites; None for faces only.
        overlap: see `Pipeline.stream`; the sink is one more step.
        results: journal of the results of this source; the caller adds them. None without it.

    Returns:
        An iterator of results with a summary; see `Pipeline.stream` for how many frames are read ahead. The composite
        of a result is written before the result is returned. The time of the sink is the "encode" of the timings.

    Raises:
        UsageError: a sink is given, but the pipeline makes no composite; the sink has no method `write`; or the stopped
            run differs in input, options or networks.
        OutputError: the journal cannot be written.
    """
    if sink is not None and not hasattr(sink, "write"):
        raise UsageError(f"expected a sink, got {type(sink).__name__}; open it with open_sink")
    if sink is not None and not pipeline.composite:
        raise UsageError("expected a pipeline that makes composites for this output; load it without composite=False")
    resumed = 0
    if isinstance(sink, Sink) and sink.seal:
        sink.seal.begin(pipeline)
    writer = sink if isinstance(sink, Sink) else None
    if isinstance(source, Source) and (results or (writer and writer.journal)):
        resumed = begin(source, writer, results, pipeline_identity(pipeline))
    steps = [] if sink is None else [partial(_write, sink=sink)]
    return Run(pipeline.stream(source, *steps, overlap=overlap), source, sink, resumed)


def _write(result: FrameResult, sink: Writer) -> FrameResult:
    """Write a composite, and return the result with the span "encode" added."""
    if result.frame is None:
        raise UsageError("expected a result with a composite; load the pipeline without composite=False")
    start = time.perf_counter_ns()
    if isinstance(sink, Sink) and sink.seal:
        sink.seal.add(result)
    sink.write(result.source, result.frame)
    return replace(result, spans=(*result.spans, Span("encode", start, time.perf_counter_ns() - start)))

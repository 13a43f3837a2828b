"""Run a pipeline over a source and write the composites."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import UsageError
from ..profiling.timing import Span
from .frame import Frame
from .pipeline import Pipeline
from .results import FrameResult


class Writer(Protocol):
    """Takes the composites: a sink, or an object with the same method."""

    def write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        """Write the composite of one frame."""


def run(
    pipeline: Pipeline, source: Iterable[Frame], sink: Writer | None = None, *, overlap: bool = True
) -> Generator[FrameResult, None, None]:
    """Upscale the faces of every frame and write the composites.

    Args:
        pipeline: to run.
        source: frames.
        sink: destination of the composites; None for faces only.
        overlap: see `Pipeline.stream`; the sink is one more step.

    Returns:
        An iterator of results; see `Pipeline.stream` for how many frames are read ahead. The composite of a result is
        written before the result is returned. The time of the sink is the "encode" of the timings.

    Raises:
        UsageError: a sink is given, but the pipeline makes no composite.
    """
    if sink is not None and not pipeline.composite:
        raise UsageError("expected a pipeline that makes composites for this output; load it without composite=False")
    steps = [] if sink is None else [partial(_write, sink=sink)]
    yield from pipeline.stream(source, *steps, overlap=overlap)


def _write(result: FrameResult, sink: Writer) -> FrameResult:
    """Write a composite, and return the result with the span "encode" added."""
    if result.frame is None:
        raise UsageError("expected a result with a composite; load the pipeline without composite=False")
    start = time.perf_counter_ns()
    sink.write(result.source, result.frame)
    return replace(result, spans=(*result.spans, Span("encode", start, time.perf_counter_ns() - start)))

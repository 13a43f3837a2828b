"""The run loop: source -> pipeline -> sink, one frame in memory at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...engines.errors import UsageError
from ..profiling.timing import Span
from .frame import Frame
from .pipeline import Pipeline
from .results import FrameResult


class Writer(Protocol):
    """What takes the composites: a sink, or anything like it."""

    def write(self, frame: Frame, pixels: NDArray[np.uint8]) -> None:
        """Take the composite of one frame."""


def run(pipeline: Pipeline, source: Iterable[Frame], sink: Writer | None = None) -> Iterator[FrameResult]:
    """Super-resolve frame after frame and write the composites as they come.

    Args:
        pipeline: what is done with each frame.
        source: frames.
        sink: where the composites go; none where only the faces count.

    Returns:
        Results, lazily: nothing is done before the next one is asked for, and none is kept. What the sink took stands
        in their timings as "encode".

    Raises:
        UsageError: there is a sink, but the pipeline makes no composite.
    """
    if sink is not None and not pipeline.composite:
        raise UsageError("there is an output, but the pipeline was loaded with composite=False; load it without")
    for result in pipeline.stream(source):
        yield written(result, sink) if sink is not None else result


def written(result: FrameResult, sink: Writer) -> FrameResult:
    """Write a composite, and put down what that took as "encode"."""
    if result.frame is None:
        raise UsageError("this result has no composite to write")
    start = time.perf_counter_ns()
    sink.write(result.source, result.frame)
    return replace(result, spans=(*result.spans, Span("encode", start, time.perf_counter_ns() - start)))

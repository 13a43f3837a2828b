"""Overhead of a session over plain ONNX Runtime."""

from contextlib import closing
from functools import partial
from time import perf_counter, thread_time

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch to export the networks; pip install 'facesr-edge[build]'")

from facesr_edge.calibration.timing import interleaved
from facesr_edge.engines.onnxruntime.session import OrtSession

MAX_OVERHEAD_SHARE, MAX_OVERHEAD_MS = 0.05, 0.05
"""Largest overhead: 5 %, or 50 µs where 5 % is below the measurement noise."""
PAIRS = 6
"""Attempts: two sessions of the same kind differ by up to 10 %, depending on their memory addresses."""


def plain_run(bundle, face):
    """A plain ONNX Runtime call, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    plain = onnxruntime.InferenceSession(str(bundle.onnx), options, providers=["CPUExecutionProvider"])
    return partial(plain.run, None, {"pixels": face})


@pytest.mark.parametrize(
    ("size", "rounds", "clock"),
    [
        pytest.param((1, 8), 50, perf_counter, id="tiny network, wall-clock time"),
        pytest.param((8, 64), 5, thread_time, id="first row, thread time"),
    ],
)
def test_session_overhead_is_below_the_limit(bundle_of, face, size, rounds, clock):
    overheads = []
    for _ in range(PAIRS):
        plain = plain_run(bundle_of(size), face)
        with closing(OrtSession(bundle_of(size), 1)) as session:
            infer = partial(session.infer, face)
            assert np.array_equal(infer(), plain()[0])
            session_ms, plain_ms = (min(ms) for ms in interleaved([infer, plain], rounds, clock=clock))
        overheads.append((session_ms - plain_ms) / max(MAX_OVERHEAD_SHARE * plain_ms, MAX_OVERHEAD_MS))
        if overheads[-1] <= 1:
            break
    assert min(overheads) <= 1, f"overhead as a multiple of the limit: {overheads}"

"""What a session adds to the runtime beneath it: next to nothing."""

from contextlib import closing
from functools import partial
from time import perf_counter, thread_time

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch to make the tables' networks; pip install 'facesr-edge[build]'")

from facesr_edge.calibration.timing import interleaved
from facesr_edge.engines.onnxruntime.session import OrtSession

MOST_SHARE, MOST_MS = 0.05, 0.05
"""What a session may add to the bare runtime: 5 %, or 50 µs where that is less than clocks and caches blur."""
PAIRS = 6
"""Sessions tried of both kinds: two of the same kind differ by up to a tenth, by where their memory happens to lie."""


def bare_run(bundle, face):
    """ONNX Runtime as anybody would call it, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    bare = onnxruntime.InferenceSession(str(bundle.onnx), options, providers=["CPUExecutionProvider"])
    return partial(bare.run, None, {"pixels": face})


@pytest.mark.parametrize(
    ("size", "rounds", "clock"),
    [
        pytest.param((1, 8), 50, perf_counter, id="a tiny network by the clock on the wall"),
        pytest.param((8, 64), 5, thread_time, id="the first row by the work of its thread"),
    ],
)
def test_a_session_adds_next_to_nothing_to_the_runtime(bundle_of, face, size, rounds, clock):
    added = []
    for _ in range(PAIRS):
        bare = bare_run(bundle_of(size), face)
        with closing(OrtSession(bundle_of(size), 1)) as session:
            ours = partial(session.infer, face)
            assert np.array_equal(ours(), bare()[0])
            ours_ms, bare_ms = (min(ms) for ms in interleaved([ours, bare], rounds, clock=clock))
        added.append((ours_ms - bare_ms) / max(MOST_SHARE * bare_ms, MOST_MS))
        if added[-1] <= 1:
            break
    assert min(added) <= 1, f"times what a session may add: {added}"

"""What a session adds to the runtime beneath it: next to nothing."""

from functools import partial
from time import perf_counter, thread_time

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs PyTorch to make the tables' networks; pip install 'facesr-edge[build]'")

from facesr_edge.sdk.bench.turns import in_turn

MOST_SHARE, MOST_MS = 0.05, 0.05
"""What a session may add to the bare runtime: 5 %, or 50 µs where that is less than clocks and caches blur."""


@pytest.fixture
def bare_run(bundle_of, face):
    """Depth and width -> ONNX Runtime as anybody would call it, on one thread."""
    import onnxruntime

    def made(size):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        bare = onnxruntime.InferenceSession(str(bundle_of(size).onnx), options, providers=["CPUExecutionProvider"])
        return partial(bare.run, None, {"pixels": face})

    return made


@pytest.mark.parametrize(
    ("size", "rounds", "clock"),
    [
        pytest.param((1, 8), 50, perf_counter, id="a tiny network by the clock on the wall"),
        pytest.param((8, 64), 5, thread_time, id="the first row by the work of its thread"),
    ],
)
def test_a_session_adds_next_to_nothing_to_the_runtime(session_of, bare_run, face, size, rounds, clock):
    ours, bare = partial(session_of(size).infer, face), bare_run(size)
    assert np.array_equal(ours(), bare()[0])
    for tried in (rounds, 4 * rounds):
        ours_ms, bare_ms = (min(ms) for ms in in_turn([ours, bare], tried, clock=clock))
        most = bare_ms + max(MOST_SHARE * bare_ms, MOST_MS)
        if ours_ms <= most:
            break
    assert ours_ms <= most, f"{ours_ms:.3f} ms where the bare runtime takes {bare_ms:.3f}"

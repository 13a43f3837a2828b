"""A task and its peers: ratios, results, and peers that are not available."""

import pytest
from facesr_edge.engines.errors import EngineError, MissingDependencyError
from facesr_edge.sdk.bench.peers.task import Peer, Task, measure_task


def peer(name, result, opened=None):
    def open_peer(stack):
        if isinstance(result, Exception):
            raise result
        if opened is not None:
            stack.callback(opened.append, name)
        return lambda: result

    return Peer(name, open_peer)


def task_of(*peers, **settings):
    return Task("sum", "sums", "face", peers, lambda reference, result: {"faces": result - reference}, **settings)


def test_every_peer_is_timed_and_compared_with_the_first():
    closed, steps = [], []
    task = task_of(peer("a", 1, closed), peer("b", 3, closed), divisor=4)
    timings = measure_task(task, 3, lambda *step: steps.append(step))
    assert [timing.name for timing in timings.timings] == ["a", "b"] and timings.timings[0].ratio == 1
    assert [timing.figures["faces"] for timing in timings.timings] == [0, 2]
    assert closed == ["b", "a"] and steps[0] == ("sum: loading a", 0, 2) and steps[-1] == ("sum: timing", 3, 3)


def test_absent_peers_are_listed_with_the_reason():
    missing = MissingDependencyError("ncnn", "peers", "the comparison")
    timings = measure_task(task_of(peer("a", 1), peer("b", missing), peer("c", 2)), 1, lambda *step: None)
    assert timings.absent == {
        "b": "the comparison needs ncnn, which is not installed; pip install 'facesr-edge[peers]'"
    }
    document = timings.to_dict()
    assert [row["name"] for row in document["peers"]] == ["a", "c"] and document["absent"] == timings.absent


def test_a_peer_that_fails_in_its_first_call_is_absent():
    def fails():
        raise EngineError("no compiler")

    timings = measure_task(task_of(peer("a", 1), Peer("b", lambda stack: fails)), 1, lambda *step: None)
    assert timings.absent == {"b": "no compiler"}


def test_the_first_peer_must_be_available():
    with pytest.raises(EngineError, match="no engine"):
        measure_task(task_of(peer("a", EngineError("no engine")), peer("b", 1)), 1, lambda *step: None)

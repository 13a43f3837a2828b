"""Batches are split into calls of the accepted sizes, in order and without gaps."""

from itertools import groupby

import numpy as np
import pytest
from facesr_edge.engines.batching import calls_of, plan_calls, run_calls, shapes_of, split_batch
from facesr_edge.engines.bundle.io_spec import BATCHES, IOSpec, super_resolution
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.workers import Workers


@pytest.mark.parametrize(
    ("count", "batches", "calls"),
    [
        (0, BATCHES, []),
        (1, BATCHES, [1]),
        (3, BATCHES, [2, 1]),
        (7, BATCHES, [4, 2, 1]),
        (8, BATCHES, [8]),
        (9, BATCHES, [8, 1]),
        (31, BATCHES, [8, 8, 8, 4, 2, 1]),
        (3, (1,), [1, 1, 1]),
        (5, (4, 1), [4, 1]),
        (5, (1, 4), [4, 1]),
    ],
)
def test_batch_is_split_into_the_fewest_calls_without_padding(count, batches, calls):
    assert split_batch(count, batches) == calls


@pytest.mark.parametrize(
    ("count", "side", "sizes"),
    [(1, 32, [1]), (7, 32, [4, 2, 1]), (9, 32, [8, 1]), (5, 64, [4, 1]), (3, 128, [1, 1, 1])],
)
def test_calls_cover_the_batch_in_order(count, side, sizes):
    batch = np.arange(count, dtype=np.uint8)[:, None, None, None] + np.zeros((1, side, side, 3), np.uint8)
    calls = calls_of(batch, super_resolution(4))
    assert [len(batch[call]) for call in calls] == sizes
    assert (np.concatenate([batch[call] for call in calls]) == batch).all()


def test_batch_of_another_shape_is_rejected():
    with pytest.raises(EngineError, match="expected square crops"):
        calls_of(np.zeros((1, 33, 33, 3), np.uint8), super_resolution(4))


@pytest.mark.parametrize(
    ("io_spec", "shapes"),
    [
        (IOSpec("super-resolution", scale=4, crop_sizes=(64, 128), batches=(1, 4, 8)), [(1, 64), (4, 64), (1, 128)]),
        (IOSpec("face-detection", multiple=32), [(1, 32)]),
        (IOSpec("face-detection", multiple=32, sizes_hw=((64, 64), (96, 96))), [(1, 96)]),
    ],
)
def test_shapes_of_lists_every_call(io_spec, shapes):
    assert list(shapes_of(io_spec)) == [(count, side, side, 3) for count, side in shapes]


def faces(*sides):
    """A batch of one face for each side, in order; equal sides that follow each other share a batch."""
    return [np.zeros((len(list(group)), side, side, 3), np.uint8) for side, group in groupby(sides)]


def sides_of(calls, batches):
    return [call.of(batches).shape[1] for call in calls]


@pytest.mark.parametrize(
    ("sides", "workers", "alone", "shared"),
    [
        ((32,), 2, [32], []),
        ((32, 32), 2, [], [32, 32]),
        ((32, 32, 32), 2, [32], [32, 32]),
        ((32, 64, 64), 2, [64, 64, 32], []),  # after the first, the second would keep one worker busy for longer
        ((48, 64, 48, 48), 2, [], [64, 48, 48, 48]),
        ((128, 32), 2, [128, 32], []),  # one worker would wait for the other
        ((32, 128, 32, 32, 32), 2, [128], [32, 32, 32, 32]),
        ((64,) * 9, 4, [64], [64] * 8),
        ((64,) * 3, 4, [64] * 3, []),
    ],
)
def test_faces_that_do_not_fill_the_workers_run_on_all_threads(sides, workers, alone, shared):
    batches = faces(*sides)
    calls = plan_calls(batches, super_resolution(4), workers)
    assert (sides_of(calls[0], batches), sides_of(calls[1], batches)) == (alone, shared)


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_plan_covers_every_face_once(workers):
    rng = np.random.default_rng(workers)
    for _ in range(50):
        batches = faces(*rng.choice([32, 48, 64, 96, 128], rng.integers(0, 20)))
        alone, shared = plan_calls(batches, super_resolution(4), workers)
        rows = [(call.batch, row) for call in (*alone, *shared) for row in range(call.start, call.stop)]
        assert sorted(rows) == [(n, row) for n, batch in enumerate(batches) for row in range(len(batch))]
        assert workers > 1 or not shared


def test_invalid_batch_is_rejected_before_anything_runs():
    with pytest.raises(EngineError, match="square crops"):
        plan_calls([np.zeros((1, 33, 33, 3), np.uint8)], super_resolution(4), 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_results_are_in_the_order_of_the_rows(workers):
    batches = faces(32, 32, 32, 64, 64, 32)
    pool = Workers(workers)
    calls = plan_calls(batches, super_resolution(4), workers)
    results = run_calls(batches, calls, pool, lambda call, worker: (call, worker))
    for index, of_batch in enumerate(results):
        rows = [row for call, _ in of_batch for row in range(call.start, call.stop)]
        assert rows == list(range(len(batches[index]))) and {call.batch for call, _ in of_batch} == {index}
    pool.close()

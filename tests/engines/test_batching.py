"""Batches are split into calls of the accepted sizes, in order and without gaps."""

import numpy as np
import pytest
from facesr_edge.engines.batching import calls_of, shapes_of, split_batch
from facesr_edge.engines.bundle.io_spec import BATCHES, IOSpec, super_resolution
from facesr_edge.engines.errors import EngineError


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

"""A batch becomes calls of the sizes that a contract lists, in order and without a gap."""

import numpy as np
import pytest
from facesr_edge.engines.batching import calls_of, shapes_of
from facesr_edge.engines.bundle.io_spec import IOSpec, super_resolution
from facesr_edge.engines.errors import EngineError


@pytest.mark.parametrize(
    ("count", "side", "sizes"),
    [(1, 32, [1]), (7, 32, [4, 2, 1]), (9, 32, [8, 1]), (5, 64, [4, 1]), (3, 128, [1, 1, 1])],
)
def test_calls_follow_each_other_in_the_fewest_sizes(count, side, sizes):
    batch = np.arange(count, dtype=np.uint8)[:, None, None, None] + np.zeros((1, side, side, 3), np.uint8)
    calls = calls_of(batch, super_resolution(4))
    assert [len(batch[call]) for call in calls] == sizes
    assert (np.concatenate([batch[call] for call in calls]) == batch).all()


def test_a_batch_that_the_contract_refuses_has_no_calls():
    with pytest.raises(EngineError, match="expected square crops"):
        calls_of(np.zeros((1, 33, 33, 3), np.uint8), super_resolution(4))


@pytest.mark.parametrize(
    ("contract", "shapes"),
    [
        (IOSpec("super-resolution", scale=4, windows=(64, 128), batches=(1, 4, 8)), [(1, 64), (4, 64), (1, 128)]),
        (IOSpec("face-detection", multiple=32), [(1, 32)]),
        (IOSpec("face-detection", multiple=32, sizes_hw=((64, 64), (96, 96))), [(1, 96)]),
    ],
)
def test_every_shape_of_a_call_is_told(io_spec, shapes):
    assert list(shapes_of(io_spec)) == [(count, side, side, 3) for count, side in shapes]

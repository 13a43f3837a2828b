"""Contracts: what they refuse, and how any number of faces becomes calls of the sizes they allow."""

import pytest
from facesr_edge.engines.bundle.io_spec import BATCHES, CROP_SIZES, IOSpec, split_batch, super_resolution
from facesr_edge.engines.errors import BundleError


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
def test_faces_are_split_into_the_fewest_calls_without_padding(count, batches, calls):
    assert split_batch(count, batches) == calls


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "face-recognition"},
        {"task": "super-resolution", "scale": 4},
        {"task": "super-resolution", "scale": 1, "windows": (32,)},
        {"task": "super-resolution", "scale": 4, "windows": (32,), "batches": (2, 4)},
    ],
)
def test_a_contract_that_nothing_can_keep_is_refused(wrong):
    with pytest.raises(BundleError, match=r"contract"):
        IOSpec(**wrong)


def test_super_resolution_takes_every_window_and_batch():
    io_spec = super_resolution(3)
    assert (io_spec.task, io_spec.scale) == ("super-resolution", 3)
    assert io_spec.windows == CROP_SIZES and io_spec.batches == BATCHES


@pytest.mark.parametrize(
    ("size", "padded"),
    [
        ((360, 640), (384, 640)),
        ((385, 640), (736, 1280)),
        ((1, 1), (384, 640)),
        ((600, 400), (736, 1280)),
        ((1080, 1920), (1088, 1920)),
        ((2160, 3840), (1088, 1920)),
    ],
)
def test_a_detector_of_some_sizes_is_given_the_smallest_that_holds_the_picture(size, padded):
    io_spec = IOSpec("face-detection", multiple=32, sizes_hw=((384, 640), (736, 1280), (1088, 1920)))
    assert io_spec.padded_hw(*size) == padded and io_spec.largest_hw == (1088, 1920)


def test_a_detector_of_any_size_is_given_the_next_multiple():
    io_spec = IOSpec("face-detection", multiple=32)
    assert io_spec.padded_hw(360, 641) == (384, 672) and io_spec.largest_hw is None


def test_a_detector_needs_no_windows():
    assert IOSpec("face-detection", multiple=32).windows == ()

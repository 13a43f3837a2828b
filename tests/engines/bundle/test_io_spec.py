"""I/O specs: invalid ones are rejected, and detector inputs are padded to an accepted size."""

import pytest
from facesr_edge.engines.bundle.io_spec import BATCHES, CROP_SIZES, IOSpec, super_resolution
from facesr_edge.engines.errors import BundleError


@pytest.mark.parametrize(
    "fields",
    [
        {"task": "face-recognition"},
        {"task": "super-resolution", "scale": 4},
        {"task": "super-resolution", "scale": 1, "crop_sizes": (32,)},
        {"task": "super-resolution", "scale": 4, "crop_sizes": (32,), "batches": (2, 4)},
        {"task": "super-resolution", "scale": 10**9, "crop_sizes": (32,)},
        {"task": "super-resolution", "scale": 4, "crop_sizes": (10**9,)},
        {"task": "super-resolution", "scale": 4, "crop_sizes": (True, 32)},
        {"task": "super-resolution", "scale": 4, "crop_sizes": (32,), "batches": (1, 10**9)},
        {"task": "super-resolution", "scale": 4, "crop_sizes": (32,), "references": 10**9},
        {"task": "super-resolution", "scale": 4, "crop_sizes": (32,), "frames": 0},
        {"task": "super-resolution", "scale": 4, "crop_sizes": (32,), "frames": 10**9},
        {"task": "super-resolution", "scale": 4, "crop_sizes": (32,), "frames": True},
        {"task": "super-resolution", "scale": 4, "crop_sizes": (32,), "frames": 7, "references": 2},
        {"task": "face-detection", "frames": 7},
        {"task": "face-detection", "multiple": 10**9},
        {"task": "face-detection", "sizes_hw": ((10**6, 10**6),)},
        {"task": "face-detection", "sizes_hw": ((320, 320, 3),)},
    ],
)
def test_invalid_io_spec_is_rejected(fields):
    with pytest.raises(BundleError, match="I/O spec"):
        IOSpec(**fields)


def test_other_inputs_are_those_of_references_or_of_samples():
    assert super_resolution(4).other_inputs == ()
    assert super_resolution(4, frames=7).other_inputs == ("samples",)
    assert super_resolution(8, (16,), references=3).other_inputs == ("keys", "values", "present")


def test_super_resolution_has_the_default_crop_sizes_and_batches():
    io_spec = super_resolution(3)
    assert (io_spec.task, io_spec.scale) == ("super-resolution", 3)
    assert io_spec.crop_sizes == CROP_SIZES and io_spec.batches == BATCHES


@pytest.mark.parametrize(
    ("size_hw", "padded_hw"),
    [
        ((360, 640), (384, 640)),
        ((385, 640), (736, 1280)),
        ((1, 1), (384, 640)),
        ((600, 400), (736, 1280)),
        ((1080, 1920), (1088, 1920)),
        ((2160, 3840), (1088, 1920)),
    ],
)
def test_detector_of_fixed_sizes_pads_to_the_smallest_that_is_large_enough(size_hw, padded_hw):
    io_spec = IOSpec("face-detection", multiple=32, sizes_hw=((384, 640), (736, 1280), (1088, 1920)))
    assert io_spec.padded_hw(*size_hw) == padded_hw and io_spec.largest_hw == (1088, 1920)


def test_detector_of_any_size_pads_to_the_next_multiple():
    io_spec = IOSpec("face-detection", multiple=32)
    assert io_spec.padded_hw(360, 641) == (384, 672) and io_spec.largest_hw is None


def test_detector_needs_no_crop_sizes():
    assert IOSpec("face-detection", multiple=32).crop_sizes == ()

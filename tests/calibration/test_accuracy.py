"""Accuracy check of super-resolution, and the choice between INT8 and FP16 on a device."""

import re

import numpy as np
import pytest
from facesr_edge.calibration.accuracy import CALIBRATION_FACES, calibration_warning, faster_precision, psnr_check
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.calibration.metrics.evaluate import center_crops
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.errors import EngineError, InputError


class Nearest:
    """Session that upscales by nearest neighbor."""

    io_spec, runtime = super_resolution(4), "none"

    def infer(self, batch):
        return batch.repeat(4, 1).repeat(4, 2)


def crop(side, level=0):
    return np.full((side, side, 3), level, np.uint8)


def test_calibration_uses_downscaled_faces_by_default():
    check = psnr_check(Nearest(), sample_faces(), "faces")
    assert (np.concatenate(check.batches) == low_resolution(center_crops(sample_faces(), 4), 4)).all()


def test_calibration_uses_given_crops_and_evaluation_uses_faces():
    crops = (crop(48 if n % 2 else 32, n % 200) for n in range(1000))
    check = psnr_check(Nearest(), sample_faces(), "faces", crops=crops)
    assert len(check.batches) == CALIBRATION_FACES
    assert {batch.shape for batch in check.batches} <= {(1, 32, 32, 3), (1, 48, 48, 3)}
    assert check.fp32_value == psnr_check(Nearest(), sample_faces(), "faces").fp32_value
    assert check.measure(Nearest()) == check.fp32_value


@pytest.mark.parametrize(
    ("batches", "expected"),
    [
        (sample_faces(), ""),
        (sample_faces()[:1] * 32, "few or flat inputs: 1 different .*values spread over "),
        ([crop(128, level) for level in range(8)], "few or flat inputs: 8 different .*values spread over 7 of 255"),
        ([crop(128)] * 10, "1 different .*values spread over 0 of 255"),
    ],
)
def test_calibration_on_few_or_flat_inputs_is_warned_of(batches, expected):
    warning = calibration_warning([batch[None] for batch in batches])
    assert re.search(expected, warning) if expected else not warning


def test_crop_of_unsupported_size_raises():
    with pytest.raises(EngineError, match="expected square crops of 32, 48, 64, 80, 96, 112, 128 px, got 40x40"):
        psnr_check(Nearest(), sample_faces(), "faces", crops=[crop(32), crop(40)])


def test_empty_calibration_crops_raise():
    with pytest.raises(InputError, match="no face to calibrate on; give a folder or a video with faces"):
        psnr_check(Nearest(), sample_faces(), "faces", crops=iter(()))


@pytest.mark.parametrize(
    ("int8_ms", "fp16_ms", "precision"),
    [(1.0, 2.0, "int8"), (2.0, 1.0, "fp16"), (1.0, 1.0, "fp16"), (float("nan"), 1.0, "fp16")],
)
def test_int8_is_kept_only_if_it_is_faster(int8_ms, fp16_ms, precision):
    faster, note = faster_precision(int8_ms, fp16_ms, "32x32 px, a device")
    assert faster == precision and f"{fp16_ms:.2f} ms at 32x32 px, a device" in note

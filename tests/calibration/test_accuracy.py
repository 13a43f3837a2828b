"""What a gate of super-resolution calibrates on, and which of two precisions a device keeps."""

import numpy as np
import pytest
from facesr_edge.calibration.accuracy import CALIBRATION_FACES, faster_precision, psnr_check
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.calibration.metrics.evaluate import centres
from facesr_edge.engines.bundle.io_spec import super_resolution
from facesr_edge.engines.errors import EngineError, InputError


class Enlarging:
    """A session that repeats every pixel."""

    io_spec, runtime = super_resolution(4), "nothing"

    def infer(self, batch):
        return batch.repeat(4, 1).repeat(4, 2)


def crop(side, level=0):
    return np.full((side, side, 3), level, np.uint8)


def test_without_crops_the_true_faces_are_shrunk():
    gate = psnr_check(Enlarging(), sample_faces(), "faces")
    assert (np.concatenate(gate.batches) == low_resolution(centres(sample_faces(), 4), 4)).all()


def test_crops_are_taken_as_they_are_and_faces_judge():
    crops = (crop(48 if n % 2 else 32, n % 200) for n in range(1000))
    gate = psnr_check(Enlarging(), sample_faces(), "faces", crops=crops)
    assert len(gate.batches) == CALIBRATION_FACES
    assert {batch.shape for batch in gate.batches} <= {(1, 32, 32, 3), (1, 48, 48, 3)}
    assert gate.expected == psnr_check(Enlarging(), sample_faces(), "faces").expected
    assert gate.measure(Enlarging()) == gate.expected


def test_a_crop_of_no_window_is_told():
    with pytest.raises(EngineError, match="expected square crops of 32, 48, 64, 96, 128 px, got 40x40"):
        psnr_check(Enlarging(), sample_faces(), "faces", crops=[crop(32), crop(40)])


def test_no_crop_at_all_is_told():
    with pytest.raises(InputError, match="no face to calibrate on; give a folder or a video with faces"):
        psnr_check(Enlarging(), sample_faces(), "faces", crops=iter(()))


@pytest.mark.parametrize(
    ("int8_ms", "fp16_ms", "precision"),
    [(1.0, 2.0, "int8"), (2.0, 1.0, "fp16"), (1.0, 1.0, "fp16"), (float("nan"), 1.0, "fp16")],
)
def test_a_device_keeps_int8_only_if_it_is_faster(int8_ms, fp16_ms, precision):
    choice = faster_precision(int8_ms, fp16_ms, "32x32 px, a device")
    assert choice.precision == precision and f"{fp16_ms:.2f} ms at 32x32 px, a device" in choice.note

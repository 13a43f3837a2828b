"""Faces as a camera saw them: whole windows of the frames, no more than asked for."""

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import CROP_SIZES
from facesr_edge.sdk.face_crops import face_crops
from facesr_edge.sdk.load import load_detector
from facesr_edge.sdk.pipeline.frame import Frame


@pytest.fixture
def frame(put_face):
    pixels = np.full((180, 320, 3), 118, np.uint8)
    put_face(pixels, 40, 30, 40)
    put_face(pixels, 180, 60, 24)
    return Frame(pixels)


def test_crops_are_windows_of_the_frame_pixel_by_pixel(frame):
    found = face_crops([frame], load_detector())
    assert len(found) == 2 and {crop.shape[0] for crop in found} <= {*CROP_SIZES}
    for crop in found:
        views = np.lib.stride_tricks.sliding_window_view(frame.pixels, crop.shape)[:, :, 0]
        assert (views == crop).all(axis=(2, 3, 4)).any()


def test_no_more_frames_are_read_than_it_takes(frame):
    read = []

    def frames():
        for n in range(100):
            read.append(n)
            yield frame

    assert len(face_crops(frames(), load_detector(), most=5)) == 5 and len(read) == 3
    assert face_crops([], load_detector()) == []

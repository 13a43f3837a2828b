"""Crops of the faces in frames: unresampled windows, up to a maximum number."""

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import CROP_SIZES, super_resolution
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
    crops = face_crops([frame], load_detector())
    assert len(crops) == 2 and {crop.shape[0] for crop in crops} <= {*CROP_SIZES}
    for crop in crops:
        views = np.lib.stride_tricks.sliding_window_view(frame.pixels, crop.shape)[:, :, 0]
        assert (views == crop).all(axis=(2, 3, 4)).any()


def test_crops_have_the_sizes_of_the_network_and_larger_faces_are_left_out(frame):
    crops = face_crops([frame], load_detector(), sides=(48,))
    assert [crop.shape for crop in crops] == [(48, 48, 3)]
    io_spec = super_resolution(8)
    for crop in face_crops([frame], load_detector(), sides=io_spec.crop_sizes):
        io_spec.check(crop[None])


def test_reading_stops_at_the_maximum_number_of_crops(frame):
    read = []

    def frames():
        for n in range(100):
            read.append(n)
            yield frame

    assert len(face_crops(frames(), load_detector(), max_crops=5)) == 5 and len(read) == 3
    assert face_crops([], load_detector()) == []

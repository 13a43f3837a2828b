"""Crop windows, and the crops copied from a frame."""

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import CROP_SIZES
from facesr_edge.sdk.pipeline.crop import MARGIN, Window, crops_of, window_for

FRAME_WH = (640, 360)


@pytest.mark.parametrize(
    ("side", "window"),
    [(8, 32), (21, 32), (22, 48), (32, 48), (33, 64), (42, 64), (43, 80), (64, 96), (65, 112), (85, 128)],
)
def test_the_smallest_window_that_holds_the_face_with_its_margin_is_chosen(side, window):
    chosen = window_for(np.array([200, 100, 200 + side * 0.8, 100 + side], np.float32), FRAME_WH, CROP_SIZES)
    assert chosen.side == window >= MARGIN * side


@pytest.mark.parametrize("side", [86, 200, 1000])
def test_a_face_larger_than_every_window_has_none(side):
    assert window_for(np.array([10, 10, 10 + side, 10 + side], np.float32), FRAME_WH, CROP_SIZES) is None


@pytest.mark.parametrize("x", [-6, 0, 300, 632, 640])
@pytest.mark.parametrize("y", [-6, 0, 180, 352, 360])
def test_windows_are_shifted_into_the_frame_and_hold_the_visible_part_of_the_face(x, y):
    window = window_for(np.array([x - 8, y - 8, x + 8, y + 8], np.float32), FRAME_WH, CROP_SIZES)
    left, top, right, bottom = window.xyxy
    assert (left, top) >= (0, 0) and right <= 640 and bottom <= 360
    assert left <= min(max(x, 0), 639) <= right and top <= min(max(y, 0), 359) <= bottom


def test_a_window_is_centered_on_its_face():
    assert window_for(np.array([90, 90, 110, 110], np.float32), FRAME_WH, CROP_SIZES) == Window(84, 84, 32)


def test_crops_are_copies_of_the_frames_pixels_grouped_by_side():
    frame = np.random.default_rng(1).integers(0, 256, (100, 120, 3), dtype=np.uint8)
    batches = crops_of(frame, {0: Window(3, 5, 48), 2: Window(0, 0, 32), 5: Window(88, 68, 32)})
    assert [(b.indices, b.pixels.shape) for b in batches] == [((2, 5), (2, 32, 32, 3)), ((0,), (1, 48, 48, 3))]
    assert (batches[1].pixels[0] == frame[5:53, 3:51]).all()
    assert (batches[0].pixels[1] == frame[68:100, 88:120]).all()
    assert not np.shares_memory(batches[0].pixels, frame)


def test_a_frame_smaller_than_the_window_is_padded_by_its_edge():
    frame = np.random.default_rng(1).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    window = window_for(np.array([2, 2, 18, 18], np.float32), (40, 20), CROP_SIZES)
    crop = crops_of(frame, {0: window})[0].pixels[0]
    assert window == Window(0, -6, 32)
    assert (crop[6:26] == frame[:, :32]).all()
    assert (crop[:6] == frame[0, :32]).all() and (crop[26:] == frame[-1, :32]).all()

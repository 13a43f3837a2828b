"""The table by the size of a face: a window holds a face of that size in its middle, bicubic adds nothing to itself."""

import cv2
import numpy as np
import pytest
from facesr_edge.benchmarks.face_sizes import gain_of, true_windows
from facesr_edge.engines.bundle.io_spec import super_resolution


def face(x, y, width, height):
    marks = [x + 0.3 * width, y + 0.4 * height, x + 0.7 * width, y + 0.4 * height] + [
        x + 0.5 * width,
        y + height / 2,
    ] * 3
    return {"box": [x, y, width, height], "landmarks": marks, "score": 0.9}


@pytest.fixture
def folder(scenes, tmp_path):
    """A face of 24×32 px in the middle of its picture, and one at the edge."""
    scenes({"one": [face(68, 44, 24, 32), face(0, 0, 24, 32)]})
    return tmp_path


class Bicubic:
    """A session that does what bicubic does."""

    io_spec = super_resolution(2)

    def infer(self, batch):
        return np.stack([cv2.resize(face, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for face in batch])


def test_a_face_is_shrunk_to_its_size_and_stands_in_the_middle_of_its_window(folder):
    (window,) = true_windows(folder, size=8, side=24, scale=2)
    rows, columns = np.nonzero(window.max(2) > 125)
    assert window.shape == (48, 48, 3)
    assert np.ptp(rows) + 1 == pytest.approx(2 * 8, abs=1) and np.ptp(columns) + 1 == pytest.approx(2 * 6, abs=1)
    assert rows.mean() == pytest.approx(23.5, abs=1) and columns.mean() == pytest.approx(23.5, abs=1)


def test_no_face_is_made_finer_than_its_picture_has_it(folder):
    assert not list(true_windows(folder, size=24, side=32, scale=2))
    assert gain_of(Bicubic(), folder, 24, "bicubic") is None


def test_bicubic_gains_nothing_over_itself(folder):
    count, before, gain = gain_of(Bicubic(), folder, 16, "bicubic")
    assert count == 1 and 10 < before < 40 and gain == pytest.approx(0, abs=1e-6)

"""Benchmark by face size: position and size of the face in its crop, and zero gain of bicubic."""

import json

import cv2
import numpy as np
import pytest
from facesr_edge.benchmarks.face_sizes import gain_of, hr_crops
from facesr_edge.engines.bundle.io_spec import super_resolution


def face(x, y, width, height):
    landmarks = [x + 0.3 * width, y + 0.4 * height, x + 0.7 * width, y + 0.4 * height]
    landmarks += [x + 0.5 * width, y + height / 2] * 3
    return {"box": [x, y, width, height], "landmarks": landmarks, "score": 0.9}


@pytest.fixture
def folder(tmp_path):
    """One image with a white face of 24×32 px in its center, and one in its corner."""
    image = np.zeros((120, 160, 3), np.uint8)
    image[44:76, 68:92] = image[:32, :24] = 250
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "one.png"), image)
    faces = [face(68, 44, 24, 32), face(0, 0, 24, 32)]
    (tmp_path / "labels.json").write_text(json.dumps({"one.png": {"faces": faces, "split": "test"}}))
    return tmp_path


class Bicubic:
    """Session that upscales with OpenCV's bicubic interpolation."""

    io_spec = super_resolution(2)

    def infer(self, batch):
        return np.stack([cv2.resize(face, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for face in batch])


def test_face_has_the_requested_size_in_the_center_of_its_crop(folder):
    (crop,) = hr_crops(folder, size=8, side=24, scale=2)
    rows, columns = np.nonzero(crop.max(2) > 125)
    assert crop.shape == (48, 48, 3)
    assert np.ptp(rows) + 1 == pytest.approx(2 * 8, abs=1) and np.ptp(columns) + 1 == pytest.approx(2 * 6, abs=1)
    assert rows.mean() == pytest.approx(23.5, abs=1) and columns.mean() == pytest.approx(23.5, abs=1)


def test_faces_are_never_upscaled(folder):
    assert not list(hr_crops(folder, size=24, side=32, scale=2))
    assert gain_of(Bicubic(), folder, 24, "bicubic") is None


def test_bicubic_has_zero_gain(folder):
    count, bicubic_db, gain_db = gain_of(Bicubic(), folder, 16, "bicubic")
    assert count == 1 and 10 < bicubic_db < 40 and gain_db == pytest.approx(0, abs=1e-6)

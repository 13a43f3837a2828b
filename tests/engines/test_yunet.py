"""YuNet's published ONNX files as detector sessions; other files are rejected."""

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.yunet import STRIDES, YuNetSession

DYNAMIC, FIXED = "yunet_n_dynamic.onnx", "yunet_n_320_320.onnx"


@pytest.fixture(scope="module")
def image(astronaut):
    """(320, 320, 3), one face about 60 px high, centered near (140, 72)."""
    return cv2.resize(astronaut, (320, 320), interpolation=cv2.INTER_AREA)


def best_cell(maps, height, width):
    """Score, center and size in pixels of the cell with the highest score."""
    cells = [(x, y, s) for s in STRIDES for y in range(height // s) for x in range(width // s)]
    row = int(maps[:, 0].argmax())
    x, y, stride = cells[row]
    return maps[row, 0], (maps[row, 1:3] + (x, y)) * stride, np.exp(maps[row, 3:5]) * stride


@pytest.mark.parametrize(("name", "sizes_hw"), [(DYNAMIC, ()), (FIXED, ((320, 320),))])
def test_face_is_detected_at_its_position(shared, image, name, sizes_hw):
    session = YuNetSession(shared / "models" / name, threads=1)
    session.warm_up()
    assert session.io_spec.sizes_hw == sizes_hw and session.io_spec.task == "face-detection"
    maps = session.infer(image[None])
    assert maps.shape == (1, 40 * 40 + 20 * 20 + 10 * 10, 15) and maps.dtype == np.float32
    score, center, size = best_cell(maps[0], 320, 320)
    assert 0.8 < score <= 1
    assert np.abs(center - (140, 72)).max() < 12 and 40 < size.min() < size.max() < 100


def test_scores_of_noise_are_between_0_and_1(shared):
    noise = np.random.default_rng(0).integers(0, 256, (1, 96, 160, 3), dtype=np.uint8)
    scores = YuNetSession(shared / "models" / DYNAMIC).infer(noise)[..., 0]
    assert scores.shape == (1, 12 * 20 + 6 * 10 + 3 * 5) and scores.min() >= 0 and scores.max() <= 1


def test_dynamic_and_fixed_size_files_agree(shared, image):
    dynamic, fixed = (YuNetSession(shared / "models" / name).infer(image[None]) for name in (DYNAMIC, FIXED))
    assert np.abs(dynamic - fixed)[..., 0].max() < 0.05


def test_batch_equals_single_images(shared, image):
    session = YuNetSession(shared / "models" / DYNAMIC)
    batch = np.stack([image, image[:, ::-1], 255 - image])
    assert (session.infer(batch) == np.concatenate([session.infer(p[None]) for p in batch])).all()


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        (FIXED, (1, 64, 96, 3), "expected 320x320 px, got 96x64"),
        (DYNAMIC, (1, 33, 47, 3), "multiple of 32, got 47x33"),
        (DYNAMIC, (0, 64, 64, 3), r"got \(0, 64, 64, 3\)"),
        (DYNAMIC, (64, 64, 3), r"got \(64, 64, 3\)"),
    ],
)
def test_unsupported_input_shape_is_rejected(shared, name, shape, expected):
    with pytest.raises(EngineError, match=expected):
        YuNetSession(shared / "models" / name).infer(np.zeros(shape, np.uint8))


def test_other_onnx_file_is_rejected(tiny_bundle):
    with pytest.raises(EngineError, match=r"not a supported face detector; give a YuNet ONNX file or a bundle"):
        YuNetSession(tiny_bundle().onnx)


def test_text_file_is_rejected(tmp_path):
    (tmp_path / "faces.onnx").write_text("not a graph")
    with pytest.raises(EngineError, match=r"faces\.onnx is not an ONNX file"):
        YuNetSession(tmp_path / "faces.onnx")


def test_closed_session_raises_an_engine_error(shared):
    session = YuNetSession(shared / "models" / FIXED)
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.infer(np.zeros((1, 320, 320, 3), np.uint8))

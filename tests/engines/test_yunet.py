"""YuNet's published files behind the contract of our detectors; anything else is refused."""

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import EngineError
from facesr_edge.engines.yunet import STRIDES, YuNetSession

DYNAMIC, FIXED = "yunet_n_dynamic.onnx", "yunet_n_320_320.onnx"


@pytest.fixture(scope="module")
def picture(astronaut):
    """(320, 320, 3), its one face about 60 px high with its middle near (140, 72)."""
    return cv2.resize(astronaut, (320, 320), interpolation=cv2.INTER_AREA)


def best(maps, height, width):
    """Score, centre and size in pixels of the cell with the highest score of one picture's maps."""
    cells = [(x, y, s) for s in STRIDES for y in range(height // s) for x in range(width // s)]
    row = int(maps[:, 0].argmax())
    x, y, stride = cells[row]
    return maps[row, 0], (maps[row, 1:3] + (x, y)) * stride, np.exp(maps[row, 3:5]) * stride


@pytest.mark.parametrize(("name", "sizes_hw"), [(DYNAMIC, ()), (FIXED, ((320, 320),))])
def test_a_face_is_found_where_it_is(shared, picture, name, sizes_hw):
    session = YuNetSession(shared / "models" / name, threads=1)
    session.warm_up()
    assert session.io_spec.sizes_hw == sizes_hw and session.io_spec.task == "face-detection"
    maps = session.infer(picture[None])
    assert maps.shape == (1, 40 * 40 + 20 * 20 + 10 * 10, 15) and maps.dtype == np.float32
    score, centre, size = best(maps[0], 320, 320)
    assert 0.8 < score <= 1
    assert np.abs(centre - (140, 72)).max() < 12 and 40 < size.min() < size.max() < 100


def test_scores_are_between_nought_and_one_on_noise(shared):
    noise = np.random.default_rng(0).integers(0, 256, (1, 96, 160, 3), dtype=np.uint8)
    scores = YuNetSession(shared / "models" / DYNAMIC).infer(noise)[..., 0]
    assert scores.shape == (1, 12 * 20 + 6 * 10 + 3 * 5) and scores.min() >= 0 and scores.max() <= 1


def test_the_two_files_agree(shared, picture):
    one, other = (YuNetSession(shared / "models" / name).infer(picture[None]) for name in (DYNAMIC, FIXED))
    assert np.abs(one - other)[..., 0].max() < 0.05


def test_several_pictures_come_out_as_one_by_one(shared, picture):
    session = YuNetSession(shared / "models" / DYNAMIC)
    batch = np.stack([picture, picture[:, ::-1], 255 - picture])
    assert (session.infer(batch) == np.concatenate([session.infer(p[None]) for p in batch])).all()


@pytest.mark.parametrize(
    ("name", "shape", "told"),
    [
        (FIXED, (1, 64, 96, 3), "expected 320x320 px, got 96x64"),
        (DYNAMIC, (1, 33, 47, 3), "multiple of 32, got 47x33"),
        (DYNAMIC, (0, 64, 64, 3), r"got \(0, 64, 64, 3\)"),
        (DYNAMIC, (64, 64, 3), r"got \(64, 64, 3\)"),
    ],
)
def test_a_frame_outside_of_the_contract_is_refused(shared, name, shape, told):
    with pytest.raises(EngineError, match=told):
        YuNetSession(shared / "models" / name).infer(np.zeros(shape, np.uint8))


def test_another_network_is_no_face_detector(tiny_bundle):
    with pytest.raises(EngineError, match=r"not a face detector known here; give a YuNet ONNX file or a bundle"):
        YuNetSession(tiny_bundle().onnx)


def test_a_text_file_is_no_face_detector(tmp_path):
    (tmp_path / "faces.onnx").write_text("a text, not a graph")
    with pytest.raises(EngineError, match=r"faces\.onnx cannot be loaded"):
        YuNetSession(tmp_path / "faces.onnx")


def test_a_closed_detector_says_so(shared):
    session = YuNetSession(shared / "models" / FIXED)
    session.close()
    with pytest.raises(EngineError, match="closed"):
        session.infer(np.zeros((1, 320, 320, 3), np.uint8))

"""``facesr-edge train`` on two small faces."""

import cv2
import pytest
from facesr_edge.calibration.data.faces import sample_faces

SMALL = ("--depth", 1, "--width", 8, "--steps", 2, "--threads", 1)


@pytest.fixture
def faces(tmp_path):
    """A folder of two faces of 128 px."""
    folder = tmp_path / "faces"
    folder.mkdir()
    for n, face in enumerate(sample_faces()[:2]):
        cv2.imwrite(str(folder / f"{n}.png"), face)
    return folder


def test_train_writes_weights_that_build_accepts(facesr, faces, tmp_path):
    weights = tmp_path / "trained" / "weights.safetensors"
    trained = facesr("train", "--model", "idrn", "--faces", faces, "-o", weights.parent, *SMALL)
    assert trained.code == 0 and str(weights) in trained.out
    built = facesr("build", "--model", "idrn", "--weights", weights, "-o", tmp_path / "bundle")
    assert built.code == 0, built.err


def test_train_continues_from_initial_weights_and_reports_validation_scores(facesr, faces, tiny_weights, tmp_path):
    options = ["--init-weights", tiny_weights(), "--lr-scale", 0.5, "--val-faces", faces, "-o", tmp_path / "trained"]
    result = facesr("train", "--model", "idrn", "--faces", faces, *options, *SMALL)
    assert result.code == 0 and "gain_db" in result.err + result.out


def test_a_missing_face_folder_is_one_line(facesr, tmp_path):
    result = facesr("train", "--model", "idrn", "--faces", tmp_path / "missing", "-o", tmp_path / "out")
    assert result.code == 1 and "missing" in result.error


def test_recording_pairs_is_reported_without_a_terminal_and_an_interruption_keeps_them(facesr, faces, monkeypatch):
    def train_model(*arguments, prepare, **options):
        for done in range(41):
            prepare("recording pairs", done, 40)
        prepare("applying the teacher", 1, 40)
        raise KeyboardInterrupt

    monkeypatch.setattr("facesr_edge.training.train.train_model", train_model)
    result = facesr("train", "--model", "edge", "--recipe", "camera", "--faces", faces)
    *lines, last = result.err.splitlines()
    assert lines[:2] == ["recording pairs: 0 of 40 shards", "recording pairs: 4 of 40 shards"]
    assert lines[10:] == ["recording pairs: 40 of 40 shards", "applying the teacher: 1 of 40 shards"]
    assert result.code == 1 and "interrupted; the same command continues with the pairs that are recorded" in last

"""Distance of dlib's embeddings of upscaled and ground-truth faces."""

import sys
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import read_faces, sample_faces
from facesr_edge.calibration.metrics.evaluate import compute_metrics, enlarged, lr_hr_pairs, upscale_bicubic
from facesr_edge.calibration.metrics.identity_distance import SAME_PERSON, identity_distance
from facesr_edge.engines.errors import InputError, MissingDependencyError
from facesr_edge.engines.registry import open_session
from facesr_edge.zoo import catalogue


@pytest.fixture(scope="module")
def distance():
    pytest.importorskip("dlib")
    if find_spec("face_recognition_models") is None:  # its import needs pkg_resources
        pytest.skip("needs face-recognition-models")
    return identity_distance()


@pytest.fixture(scope="module")
def face():
    return sample_faces()[2]


def test_distance_is_zero_for_equal_faces_and_grows_with_blur(distance, face):
    blurred = [cv2.GaussianBlur(face, (0, 0), sigma) for sigma in (1, 3, 6)]
    distances = distance(np.stack([face, *blurred]), np.stack([face] * 4))
    assert distances[0] == 0 and (np.diff(distances) > 0.05).all() and distances[1] < SAME_PERSON


def test_other_people_are_farther_than_bicubic_and_a_network_nearer(distance, shared):
    faces = read_faces(shared / "faces" / "test")[:6]
    lr, hr = lr_hr_pairs(faces, 4)
    bicubic = distance(upscale_bicubic(lr, 4), hr).mean()
    network = distance(enlarged(open_session(catalogue.find("edge-tiny-x4"), "onnxruntime", 1, "fp32"), lr), hr).mean()
    assert network < bicubic < SAME_PERSON < distance(np.roll(hr, 1, axis=0), hr).mean()


def test_face_is_aligned_by_the_ground_truth(distance, face):
    gray = np.full_like(face, 128)  # no face would be found in it
    assert np.isfinite(distance(gray[None], face[None])).all()


def test_small_faces_are_found(distance, face):
    small = cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA)
    assert distance(small[None], small[None]) == 0


def test_ground_truth_without_a_face_is_left_out_and_counted(distance, face):
    pictures = np.stack([face, np.full_like(face, 128)])
    assert np.isnan(distance(pictures, pictures)).tolist() == [False, True]
    metrics = compute_metrics(pictures, pictures, pictures, {"identity_distance": distance})
    assert metrics == {"identity_distance": 0, "identity_distance_faces": 1}
    with pytest.raises(InputError, match="finds no face in 1 true faces"):
        distance(pictures[1:], pictures[1:])


@pytest.mark.parametrize("package", ["dlib", "face_recognition_models"])
def test_missing_package_raises_a_one_line_error(monkeypatch, package):
    pytest.importorskip("dlib")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'facesr-edge\[identity\]'"):
        identity_distance()

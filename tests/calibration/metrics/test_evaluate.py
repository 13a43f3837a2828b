"""The papers' protocol against a computation written on its own."""

import math

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import low_resolution, read_faces, sample_faces
from facesr_edge.calibration.metrics.evaluate import MEASURES, centres, compute_metrics, evaluate, lr_hr_pairs
from facesr_edge.engines.bundle.io_spec import IOSpec, super_resolution
from facesr_edge.engines.errors import EngineError, InputError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.registry import open_session
from facesr_edge.zoo import catalogue


class Cubic:
    """A session that enlarges as OpenCV does: nothing is gained over bicubic."""

    runtime = "OpenCV"

    def __init__(self, scale):
        self.io_spec = super_resolution(scale)

    def infer(self, batch):
        assert batch.shape[1] == batch.shape[2] and batch.shape[1] in self.io_spec.windows
        side = batch.shape[1] * self.io_spec.scale
        return np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC) for face in batch])


def shrinking(n, k):
    """Antialiased bicubic written out weight by weight: (n // k, n)."""

    def cubic(x):
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    rows = np.array([[cubic(abs((j + 0.5) - (i + 0.5) * k) / k) for j in range(n)] for i in range(n // k)])
    return rows / rows.sum(1, keepdims=True)


def mean_psnr(pictures, true, weights):
    total = 0.0
    for a, b in zip(pictures.astype(np.float64), true.astype(np.float64), strict=True):
        difference = (a - b) @ weights if weights is not None else a - b
        total += 20 * math.log10(255 / math.sqrt((difference**2).mean()))
    return total / len(true)


def independently(session, faces):
    """Luma and RGB PSNR of a x4 session and of bicubic, in dB."""
    hr = np.stack([f[(f.shape[0] - 128) // 2 :, (f.shape[1] - 128) // 2 :][:128, :128] for f in faces])
    d = shrinking(128, 4)
    lr = np.clip(np.rint(np.einsum("ij,njkc,lk->nilc", d, hr.astype(np.float64), d)), 0, 255).astype(np.uint8)
    sr = np.concatenate([session.infer(face[None]) for face in lr])
    bicubic = np.stack([cv2.resize(face, (128, 128), interpolation=cv2.INTER_CUBIC) for face in lr])
    y = np.array([24.966, 128.553, 65.481]) / 255
    return {
        "psnr_y_db": mean_psnr(sr, hr, y),
        "psnr_rgb_db": mean_psnr(sr, hr, None),
        "bicubic_psnr_y_db": mean_psnr(bicubic, hr, y),
        "bicubic_psnr_rgb_db": mean_psnr(bicubic, hr, None),
    }


def assert_agree(measured, expected):
    for name, value in expected.items():
        assert measured.to_dict()[name] == pytest.approx(value, abs=0.01), name
    assert measured.gain_db == pytest.approx(expected["psnr_y_db"] - expected["bicubic_psnr_y_db"], abs=0.01)


def test_the_sample_faces_are_measured_as_by_hand(tiny_bundle):
    session = OrtSession(tiny_bundle())
    assert_agree(evaluate(session, sample_faces()), independently(session, sample_faces()))


def test_the_model_that_ships_is_measured_as_by_hand_and_beats_bicubic(shared):
    faces = read_faces(shared / "faces" / "test")[:12]
    session = open_session(catalogue.find("idrn-x4"))
    measured = evaluate(session, faces)
    assert_agree(measured, independently(session, faces))
    assert measured.faces == 12 and measured.gain_db > 1
    assert all(measured.model[name] > measured.bicubic[name] for name in MEASURES)


def test_the_public_face_gives_the_same_pixels_as_the_engine_that_is_measured(shared):
    small = low_resolution(centres(read_faces(shared / "faces" / "test")[:3], 4), 4)
    with facesr_edge.load("idrn-x4") as sr:
        assert (sr.upscale(small) == open_session(catalogue.find("idrn-x4")).infer(small)).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_gains_nothing_over_bicubic(scale):
    measured = evaluate(Cubic(scale), sample_faces())
    assert measured.gain_db == pytest.approx(0, abs=1e-3)
    assert measured.model == pytest.approx(measured.bicubic, abs=1e-3) and set(measured.model) == set(MEASURES)


def test_a_larger_scale_is_harder():
    by_scale = [evaluate(Cubic(scale), sample_faces()).psnr_y_db for scale in (2, 3, 4)]
    assert by_scale[0] > by_scale[1] + 1 > by_scale[2] + 2


@pytest.mark.parametrize(("height", "width", "top", "left"), [(128, 128, 0, 0), (144, 144, 8, 8), (131, 200, 1, 36)])
def test_the_centre_of_each_face_is_taken(height, width, top, left):
    face = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3).astype(np.uint8)
    assert (centres([face], 4)[0] == face[top : top + 128, left : left + 128]).all()


@pytest.mark.parametrize(("scale", "side"), [(2, 128), (3, 126), (4, 128)])
def test_the_side_is_the_largest_that_the_scale_divides(scale, side):
    assert centres(sample_faces()[:2], scale).shape == (2, side, side, 3)


@pytest.mark.parametrize("shape", [(127, 128, 3), (128, 127, 3), (20, 20, 3)])
def test_a_face_that_is_too_small_is_told(shape):
    with pytest.raises(InputError, match=f"a face is {shape[1]}x{shape[0]} px, at least 128x128 is needed"):
        evaluate(Cubic(4), [np.zeros(shape, np.uint8)])


def test_a_face_that_comes_back_exactly_leaves_the_figures_finite():
    measured = evaluate(Cubic(4), [np.zeros((128, 128, 3), np.uint8), sample_faces()[0]])
    assert all(math.isfinite(value) for value in measured.to_dict().values()) and measured.gain_db == 0


def test_a_detector_is_not_measured_on_faces():
    session = Cubic(4)
    session.io_spec = IOSpec("face-detection", multiple=32)
    with pytest.raises(EngineError, match="only super-resolution networks"):
        evaluate(session, sample_faces())


def test_the_figures_are_ready_for_json():
    values = evaluate(Cubic(4), sample_faces()).to_dict()
    assert next(iter(values)) == "faces" and values["faces"] == 8 and "gain_db" in values
    assert all(round(value, 4) == value for value in values.values())


def darker(faces, scale, rng):
    """A degradation with chance in it."""
    small = faces[:, ::scale, ::scale].astype(np.int16)
    return np.clip(small - rng.integers(0, 60, (len(faces), 1, 1, 1)), 0, 255).astype(np.uint8)


def test_chance_begins_at_the_same_seed_in_every_evaluation():
    first, again = (evaluate(Cubic(4), sample_faces(), darker) for _ in range(2))
    assert first == again and first.psnr_y_db < evaluate(Cubic(4), sample_faces()).psnr_y_db - 3
    (small, _), (same, _) = (lr_hr_pairs(sample_faces(), 4, darker) for _ in range(2))
    assert (small == same).all() and len({int(sample_faces()[0][0, 0, 0]) - int(face[0, 0, 0]) for face in small}) > 1


def test_a_degradation_changes_what_bicubic_is_given_too():
    measured = evaluate(Cubic(4), sample_faces(), darker)
    assert measured.gain_db == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("scale", "small", "window"), [(3, 42, 48), (8, 16, 16), (4, 32, 32)])
def test_the_smallest_window_that_holds_the_face_is_taken(scale, small, window):
    session = Cubic(scale)
    session.io_spec = IOSpec("super-resolution", scale=scale, windows=(16, 32, 48))
    seen = []
    infer = session.infer
    session.infer = lambda batch: seen.append(batch) or infer(batch)
    evaluate(session, sample_faces())
    (batch,) = seen
    assert batch.shape[1:3] == (window, window)
    assert (batch[:, small:] == batch[:, small - 1 : small]).all()
    assert (batch[:, :, small:] == batch[:, :, small - 1 : small]).all()


def test_an_engine_whose_windows_are_too_small_is_told():
    session = Cubic(4)
    session.io_spec = IOSpec("super-resolution", scale=4, windows=(16,))
    with pytest.raises(EngineError, match="crops up to 16 px, these have 32"):
        evaluate(session, sample_faces())


def test_the_mean_perceptual_score_is_that_of_similarity_and_distance():
    faces = np.stack(sample_faces()[:2])
    measures = {"ssim_y": lambda a, b: np.array([0.8, 0.9]), "lpips": lambda a, b: np.array([0.2, 0.3])}
    assert compute_metrics(faces, faces, measures)["mps"] == pytest.approx(0.5 * (0.85 + 1 - 0.25))
    assert set(compute_metrics(faces, faces)) == set(MEASURES)


def test_only_what_is_asked_for_is_measured():
    measured = evaluate(Cubic(4), sample_faces(), measures={"psnr_y_db": MEASURES["psnr_y_db"]})
    assert set(measured.to_dict()) == {"faces", "psnr_y_db", "bicubic_psnr_y_db", "gain_db"}

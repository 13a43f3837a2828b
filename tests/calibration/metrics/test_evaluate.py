"""Evaluation protocol of the papers, compared with an independent implementation."""

import math

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import low_resolution, read_faces, sample_faces
from facesr_edge.calibration.metrics.evaluate import (
    METRICS,
    center_crops,
    common_crop_sizes,
    compute_metrics,
    evaluate,
    lr_hr_pairs,
    truth_side,
)
from facesr_edge.engines.bundle.io_spec import IOSpec, super_resolution
from facesr_edge.engines.errors import EngineError, InputError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.registry import open_session
from facesr_edge.zoo import catalogue


class Bicubic:
    """Session that upscales with OpenCV's bicubic interpolation: zero gain."""

    runtime = "OpenCV"

    def __init__(self, scale):
        self.io_spec = super_resolution(scale)

    def infer(self, batch):
        assert batch.shape[1] == batch.shape[2] and batch.shape[1] in self.io_spec.crop_sizes
        side = batch.shape[1] * self.io_spec.scale
        return np.stack([cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC) for face in batch])


def downscaling_matrix(n, k):
    """Antialiased bicubic downscaling by k, (n // k, n)."""

    def cubic(x):
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0

    rows = np.array([[cubic(abs((j + 0.5) - (i + 0.5) * k) / k) for j in range(n)] for i in range(n // k)])
    return rows / rows.sum(1, keepdims=True)


def mean_psnr(sr, hr, weights):
    total = 0.0
    for a, b in zip(sr.astype(np.float64), hr.astype(np.float64), strict=True):
        difference = (a - b) @ weights if weights is not None else a - b
        total += 20 * math.log10(255 / math.sqrt((difference**2).mean()))
    return total / len(hr)


def independent_psnr(session, faces):
    """Luma and RGB PSNR of a x4 session and of bicubic, in dB."""
    hr = np.stack([f[(f.shape[0] - 128) // 2 :, (f.shape[1] - 128) // 2 :][:128, :128] for f in faces])
    d = downscaling_matrix(128, 4)
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


def assert_agree(evaluation, expected):
    for name, value in expected.items():
        assert evaluation.to_dict()[name] == pytest.approx(value, abs=0.01), name
    assert evaluation.gain_db == pytest.approx(expected["psnr_y_db"] - expected["bicubic_psnr_y_db"], abs=0.01)


def test_sample_faces_agree_with_the_independent_implementation(tiny_bundle):
    session = OrtSession(tiny_bundle())
    assert_agree(evaluate(session, sample_faces()), independent_psnr(session, sample_faces()))


def test_shipped_model_agrees_with_the_independent_implementation_and_exceeds_bicubic(shared):
    faces = read_faces(shared / "faces" / "test")[:12]
    session = open_session(catalogue.find("idrn-x4"))
    evaluation = evaluate(session, faces)
    assert_agree(evaluation, independent_psnr(session, faces))
    assert evaluation.faces == 12 and evaluation.gain_db > 1
    assert all(evaluation.model[name] > evaluation.bicubic[name] for name in METRICS)


def test_public_api_returns_the_pixels_of_the_evaluated_engine():
    lr = low_resolution(center_crops(sample_faces()[:3], 4), 4)
    with facesr_edge.load("idrn-x4") as sr:
        assert (sr.upscale(lr) == open_session(catalogue.find("idrn-x4")).infer(lr)).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_has_zero_gain(scale):
    evaluation = evaluate(Bicubic(scale), sample_faces()[:2])
    assert evaluation.gain_db == pytest.approx(0, abs=1e-3)
    assert evaluation.model == pytest.approx(evaluation.bicubic, abs=1e-3) and set(evaluation.model) == set(METRICS)


def test_psnr_falls_with_the_scale():
    by_scale = [evaluate(Bicubic(scale), sample_faces()[:2]).psnr_y_db for scale in (2, 3, 4)]
    assert by_scale[0] > by_scale[1] + 1 > by_scale[2] + 2


@pytest.mark.parametrize(("height", "width", "top", "left"), [(128, 128, 0, 0), (144, 144, 8, 8), (131, 200, 1, 36)])
def test_faces_are_center_cropped(height, width, top, left):
    face = np.arange(height * width * 3, dtype=np.uint32).reshape(height, width, 3).astype(np.uint8)
    assert (center_crops([face], 4)[0] == face[top : top + 128, left : left + 128]).all()


def blank(side, *, width=None):
    return np.zeros((side, width or side, 3), np.uint8)


@pytest.mark.parametrize(
    ("scale", "face", "crop_sizes", "side"),
    [
        (2, 144, (), 128),
        (3, 144, (), 144),
        (3, 143, (), 96),
        (3, 128, (), 96),
        (4, 144, (), 128),
        (4, 1024, (), 128),
        (8, 144, (), 128),
        (8, 256, (32, 48, 64), 256),
        (8, 255, (32, 48, 64), 128),  # no crop size fits: padded
        (3, 144, (128,), 126),
        (2, 144, (16, 64), 128),
        (2, 200, (16,), 128),  # 32 px are too few for VIF
        (2, 144, (56, 72), 144),  # equally near: the larger one
    ],
)
def test_side_makes_a_crop_size_of_the_network(scale, face, crop_sizes, side):
    assert truth_side([blank(face, width=2 * face), blank(face + 40)], scale, crop_sizes) == side
    assert center_crops([blank(face)], scale, crop_sizes).shape == (1, side, side, 3)


@pytest.mark.parametrize("name", [name for name in catalogue.names() if name != catalogue.DEFAULT_DETECTOR])
def test_faces_of_144_px_need_no_padding_for_any_model(name):
    io_spec = catalogue.find(name).card.io_spec
    side = truth_side([blank(144)], io_spec.scale, io_spec.crop_sizes)
    assert side in (128, 144) and side / io_spec.scale in io_spec.crop_sizes


def test_common_crop_sizes_are_those_of_all_networks():
    io_specs = [super_resolution(8), super_resolution(8, (32, 48, 96)), super_resolution(8, (48, 96))]
    assert common_crop_sizes(io_specs) == {48} and common_crop_sizes([*io_specs, super_resolution(8, (16,))]) == set()


@pytest.mark.parametrize(("side", "height", "width"), [(144, 144, 144), (144, 160, 151), (96, 128, 128)])
def test_x3_is_evaluated_on_whole_crop_sizes(side, height, width):
    session, sizes = Bicubic(3), []
    infer = session.infer
    session.infer = lambda batch: sizes.append(batch.shape[1]) or infer(batch)
    face = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    _, hr = lr_hr_pairs([face], 3)
    assert (hr[0] == face[top : top + side, left : left + side]).all()
    assert evaluate(session, [face]).gain_db == 0 and sizes == [side // 3]


@pytest.mark.parametrize("shape", [(127, 128, 3), (128, 127, 3), (20, 20, 3)])
def test_face_that_is_too_small_raises(shape):
    with pytest.raises(InputError, match=f"a face is {shape[1]}x{shape[0]} px, at least 128x128 is needed"):
        evaluate(Bicubic(4), [np.zeros(shape, np.uint8)])


def test_metrics_are_finite_for_equal_images():
    evaluation = evaluate(Bicubic(4), [np.zeros((128, 128, 3), np.uint8), sample_faces()[0]])
    assert all(math.isfinite(value) for value in evaluation.to_dict().values()) and evaluation.gain_db == 0


def test_detector_cannot_be_evaluated_on_faces():
    session = Bicubic(4)
    session.io_spec = IOSpec("face-detection", multiple=32)
    with pytest.raises(EngineError, match="only super-resolution networks"):
        evaluate(session, sample_faces())


def test_evaluation_is_json_serializable():
    values = evaluate(Bicubic(4), sample_faces()[:3]).to_dict()
    assert next(iter(values)) == "faces" and values["faces"] == 3 and "gain_db" in values
    assert all(round(value, 4) == value for value in values.values())


def random_darkening(faces, scale, rng):
    """Degradation that uses the random generator."""
    lr = faces[:, ::scale, ::scale].astype(np.int16)
    return np.clip(lr - rng.integers(0, 60, (len(faces), 1, 1, 1)), 0, 255).astype(np.uint8)


def test_random_degradation_is_reproducible():
    first, again = (evaluate(Bicubic(4), sample_faces(), random_darkening) for _ in range(2))
    assert first == again and first.psnr_y_db < evaluate(Bicubic(4), sample_faces()).psnr_y_db - 3
    assert first.gain_db == pytest.approx(0, abs=1e-3)  # bicubic gets the same pixels
    (lr, _), (same, _) = (lr_hr_pairs(sample_faces(), 4, random_darkening) for _ in range(2))
    assert (lr == same).all() and len({int(sample_faces()[0][0, 0, 0]) - int(face[0, 0, 0]) for face in lr}) > 1


@pytest.mark.parametrize(("scale", "side", "crop_size"), [(3, 42, 56), (8, 16, 16), (4, 32, 32)])
def test_faces_are_padded_to_the_smallest_crop_size(scale, side, crop_size):
    session = Bicubic(scale)
    session.io_spec = IOSpec("super-resolution", scale=scale, crop_sizes=(crop_size, 96))
    batches = []
    infer = session.infer
    session.infer = lambda batch: batches.append(batch) or infer(batch)
    evaluate(session, sample_faces()[:2])
    (batch,) = batches
    assert batch.shape[1:3] == (crop_size, crop_size)
    assert (batch[:, side:] == batch[:, side - 1 : side]).all()
    assert (batch[:, :, side:] == batch[:, :, side - 1 : side]).all()


def test_faces_above_every_crop_size_raise():
    session = Bicubic(4)
    session.io_spec = IOSpec("super-resolution", scale=4, crop_sizes=(8,))
    with pytest.raises(EngineError, match="crops up to 8 px, got 32 px"):
        evaluate(session, sample_faces())


def test_mean_perceptual_score_combines_ssim_and_lpips():
    faces = np.stack(sample_faces()[:2])
    metrics = {"ssim_y": lambda a, b: np.array([0.8, 0.9]), "lpips": lambda a, b: np.array([0.2, 0.3])}
    assert compute_metrics(faces, faces, faces, metrics)["mps"] == pytest.approx(0.5 * (0.85 + 1 - 0.25))
    assert set(compute_metrics(faces, faces, faces)) == set(METRICS)


def test_mean_leaves_out_faces_on_which_a_metric_cannot_be_measured():
    faces = np.stack(sample_faces()[:3])
    metrics = compute_metrics(faces, faces, faces, {"identity": lambda sr, hr: np.array([0.5, np.nan, 0.7])})
    assert metrics == {"identity": pytest.approx(0.6), "identity_faces": 2}


@pytest.mark.parametrize(("height", "width"), [(256, 256), (300, 260), (257, 400)])
def test_crop_size_reduces_the_largest_center_square_by_area(height, width):
    face = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    _, hr = lr_hr_pairs([face], 4, crop=32)
    square = face[top : top + side, left : left + side]
    assert (hr[0] == cv2.resize(square, (128, 128), interpolation=cv2.INTER_AREA)).all()


def test_faces_too_small_for_the_crop_size_are_left_out():
    sizes = [(256, 256), (255, 300), (300, 255), (400, 300)]
    faces = [np.full((*size, 3), n, np.uint8) for n, size in enumerate(sizes)]
    lr, hr = lr_hr_pairs(faces, 4, crop=64)
    assert lr.shape == (2, 64, 64, 3) and [face[0, 0, 0] for face in hr] == [0, 3]


@pytest.mark.parametrize(
    ("scale", "crop", "error", "message"),
    [(4, 33, InputError, "need faces of 132x132 px; all 8 are smaller"), (2, 20, UsageError, "at least 41 px")],
)
def test_crop_size_without_faces_raises(scale, crop, error, message):
    with pytest.raises(error, match=message):
        lr_hr_pairs(sample_faces(), scale, crop=crop)


def test_only_requested_metrics_are_computed():
    evaluation = evaluate(Bicubic(4), sample_faces()[:1], metrics={"psnr_y_db": METRICS["psnr_y_db"]})
    assert set(evaluation.to_dict()) == {"faces", "psnr_y_db", "bicubic_psnr_y_db", "gain_db"}

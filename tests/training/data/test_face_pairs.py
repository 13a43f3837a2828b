"""Pairs of faces: batches, loss, teacher and scores."""

import cv2
import numpy as np
import pytest
import torch
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.calibration.metrics.evaluate import center_crops, upscale_bicubic
from facesr_edge.calibration.metrics.image import mean_db, psnr_y
from facesr_edge.engines.bundle.io_spec import IOSpec
from facesr_edge.engines.errors import EngineError, InputError
from facesr_edge.networks import build_network
from facesr_edge.networks.layers.bicubic import resize_batch
from facesr_edge.networks.layers.pixels import to_rgb
from facesr_edge.training.data.degrade import CLEAN_PROBABILITY
from facesr_edge.training.data.faces import FacePairs
from facesr_edge.training.recipe import Recipe
from PIL import Image
from torch import nn


def recipe(scale=2, **changes):
    config = {"depth": 1, "width": 8, "scale": scale, "bicubic_skip": True}
    return Recipe("idrn", config, **{"steps": 1, "batch": 6, "crop": 48, "learning_rate": 1e-3, **changes})


def bicubic(scale):
    """A network whose output is the bicubic picture."""
    network = build_network("idrn", recipe(scale).config)
    nn.init.zeros_(network.tail.weight)
    return network.eval()


@pytest.fixture
def folder(tmp_path):
    """Two faces of different sizes, without repeated patches."""
    cv2.imwrite(str(tmp_path / "a.png"), sample_faces()[0])
    cv2.imwrite(str(tmp_path / "b.png"), sample_faces()[4][:60, :101])
    return tmp_path


def contains(picture, crop):
    """Whether the picture contains the crop exactly."""
    height, width = crop.shape[:2]
    match = cv2.matchTemplate(picture, np.ascontiguousarray(crop), cv2.TM_SQDIFF)
    y, x = np.unravel_index(match.argmin(), match.shape)
    return (picture[y : y + height, x : x + width] == crop).all()


def test_a_batch_has_crops_of_the_faces_some_of_them_mirrored(folder):
    batch = FacePairs(recipe(batch=40), folder, None).batch(np.random.default_rng(0))
    assert batch.hr.shape == (40, 48, 48, 3) and batch.hr.dtype == torch.uint8
    assert batch.lr.shape == (40, 24, 24, 3) and batch.scale == 2
    pictures = [cv2.imread(str(path)) for path in sorted(folder.iterdir())]
    sources = set()
    for crop in batch.hr.numpy():
        matches = {
            (n, m) for n, p in enumerate(pictures) for m in (False, True) if contains(p, crop[:, ::-1] if m else crop)
        }
        assert len(matches) == 1
        sources |= matches
    assert sources == {(0, False), (0, True), (1, False), (1, True)}


def test_a_face_of_the_size_of_the_crop_is_used_whole(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), sample_faces()[0][:48, :48])
    batch = FacePairs(recipe(), tmp_path, None).batch(np.random.default_rng(0))
    whole = sample_faces()[0][:48, :48]
    assert all(np.array_equal(crop, whole) or np.array_equal(crop[:, ::-1], whole) for crop in batch.hr.numpy())


def test_a_face_smaller_than_the_crop_raises(folder):
    with pytest.raises(InputError, match=r"b\.png is 101x60 px, at least 64x64 is needed"):
        FacePairs(recipe(crop=64), folder, None)


def test_a_validation_face_that_is_too_small_raises(folder):
    with pytest.raises(InputError, match=r"b\.png is 101x60 px, at least 128x128 is needed"):
        FacePairs(recipe(), folder, folder)


def test_batches_are_reproducible(folder):
    task = FacePairs(recipe(), folder, None)
    one, same, other = (task.batch(np.random.default_rng((1, n))) for n in (5, 5, 6))
    assert torch.equal(one.hr, same.hr) and torch.equal(one.lr, same.lr) and not torch.equal(one.hr, other.hr)


def test_to_rgb_gives_rgb_between_0_and_1():
    picture = np.zeros((1, 4, 4, 3), np.uint8)
    picture[..., 0], picture[..., 2] = 51, 255  # blue, red
    assert to_rgb(torch.from_numpy(picture))[0, :, 0, 0].tolist() == pytest.approx([1, 0, 0.2])


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_the_loss_compares_super_resolved_inputs_with_the_targets(folder, scale, loss):
    task = FacePairs(recipe(scale, losses={loss: 1.0}), folder, None)
    batch = task.batch(np.random.default_rng(0))

    def resized(x, side):
        channels = [Image.fromarray(c, "F").resize((side, side), Image.Resampling.BICUBIC) for c in x]
        return np.stack([np.asarray(c) for c in channels])

    errors = []
    for crop in to_rgb(batch.hr).numpy():
        small = np.clip(np.rint(resized(crop, 48 // scale) * 255), 0, 255).astype(np.float32) / 255
        errors.append(resized(small, 48) - crop)
    expected = np.abs(errors).mean() if loss == "l1" else (np.array(errors) ** 2).mean()
    with torch.inference_mode():
        assert float(task.loss(bicubic(scale), batch)) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_gain_is_relative_to_opencvs_bicubic(tmp_path, scale):
    for n, face in enumerate(sample_faces()):
        cv2.imwrite(str(tmp_path / f"{n}.png"), face)
    task, network = FacePairs(recipe(scale), tmp_path, tmp_path), bicubic(scale)
    with torch.inference_mode():
        scores = task.evaluate(network)
        lr, hr, _ = task.validation
        actual = np.clip(np.rint(resize_batch(lr, *hr.shape[1:3])), 0, 255).astype(np.uint8)
        expected = mean_db(psnr_y(actual, hr)) - mean_db(psnr_y(upscale_bicubic(lr, scale), hr))
        assert scores["gain_db"] == pytest.approx(expected, abs=0.02) and 20 < scores["psnr_y_db"] < 45
        network.tail.bias.data += 0.1
        assert task.evaluate(network)["gain_db"] < -1


def test_the_score_is_the_luma_psnr_of_rounded_pixels(tmp_path):
    for n, face in enumerate(sample_faces()[:3]):
        cv2.imwrite(str(tmp_path / f"{n}.png"), face)
    task, network = FacePairs(recipe(4), tmp_path, tmp_path), bicubic(4)
    lr, hr, _ = task.validation
    assert (hr == center_crops(sample_faces()[:3], 4)).all()
    with torch.inference_mode():
        sr = (network(to_rgb(torch.from_numpy(lr))).clamp(0, 1) * 255).round().permute(0, 2, 3, 1).numpy()[..., ::-1]
        difference = (sr - hr.astype(float)) @ (np.array([24.966, 128.553, 65.481]) / 255)
        expected = np.mean([20 * np.log10(255 / np.sqrt((d**2).mean())) for d in difference])
        assert task.evaluate(network)["psnr_y_db"] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("scale", "side"), [(2, 128), (3, 144), (4, 128)])
def test_validation_faces_are_cut_as_in_the_evaluation(tmp_path, scale, side):
    face = np.random.default_rng(0).integers(0, 256, (150, 148, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "face.png"), face)
    lr, hr, _ = FacePairs(recipe(scale), tmp_path, tmp_path).validation
    assert lr.shape[1:3] == (side // scale, side // scale) and (hr == center_crops([face], scale)).all()
    assert hr.shape == (1, side, side, 3)


def test_without_validation_faces_there_is_no_score(folder):
    assert FacePairs(recipe(), folder, None).evaluate(bicubic(2)) == {}


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_a_fraction_of_the_faces_is_clean_whatever_the_degradation(folder, fraction):
    plan = recipe(batch=40, degradation="camera", clean=fraction)
    batch = FacePairs(plan, folder, None).batch(np.random.default_rng(0))
    bicubic_lr = low_resolution(batch.hr.numpy(), 2)
    clean = (batch.lr.numpy() == bicubic_lr).all((1, 2, 3)).mean()
    assert abs(clean - (fraction + (1 - fraction) * CLEAN_PROBABILITY)) < 0.15


class AsymmetricTeacher:
    """Teacher with a brighter left half; records its inputs."""

    io_spec = IOSpec("super-resolution", scale=2, crop_sizes=(24,))

    def __init__(self):
        self.inputs = []

    def infer(self, batch):
        self.inputs.append(batch)
        enlarged = np.repeat(np.repeat(batch, 2, 1), 2, 2) // 2
        enlarged[:, :, : enlarged.shape[2] // 2] += 100
        return enlarged


def test_the_teachers_output_is_the_mean_over_both_flips_of_the_networks_input(folder):
    teacher = AsymmetricTeacher()
    batch = FacePairs(recipe(distill_weight=0.5), folder, None, None, teacher).batch(np.random.default_rng(0))
    straight, mirrored = teacher.inputs
    assert (straight == batch.lr.numpy()).all() and (mirrored == batch.lr.numpy()[:, :, ::-1]).all()
    expected = np.repeat(np.repeat(batch.lr.numpy(), 2, 1), 2, 2) // 2 + 50
    assert (batch.teacher_sr.numpy() == expected).all()


def test_a_teacher_gets_padded_crops_if_larger_and_is_rejected_if_smaller(folder):
    teacher = AsymmetricTeacher()
    teacher.io_spec = IOSpec("super-resolution", scale=2, crop_sizes=(16, 32, 40))
    batch = FacePairs(recipe(distill_weight=0.5), folder, None, None, teacher).batch(np.random.default_rng(0))
    assert batch.teacher_sr.shape == batch.hr.shape and {batch.shape for batch in teacher.inputs} == {(6, 32, 32, 3)}
    teacher.io_spec = IOSpec("super-resolution", scale=2, crop_sizes=(16,))
    with pytest.raises(EngineError, match="the teacher does not accept crops of 24 px; omit --teacher"):
        FacePairs(recipe(distill_weight=0.5), folder, None, None, teacher)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_distill_weight_mixes_both_losses(folder, weight):
    task = FacePairs(recipe(distill_weight=weight, losses={"l2": 1.0}), folder, None, None, AsymmetricTeacher())
    batch, network = task.batch(np.random.default_rng(0)), bicubic(2)
    with torch.inference_mode():
        sr = network(to_rgb(batch.lr))
        true, distilled = (float((sr - to_rgb(hr)).square().mean()) for hr in (batch.hr, batch.teacher_sr))
        assert float(task.loss(network, batch)) == pytest.approx((1 - weight) * true + weight * distilled, rel=1e-5)

"""Registration of two crops of a face against known motions."""

import cv2
import numpy as np
import pytest
from facesr_edge.engines.multiframe.registration import (
    IDENTITY,
    MIN_CORRELATION,
    compose,
    inverse,
    luma,
    register,
    shift,
    template,
)

SIDES = (16, 32, 48, 64, 80, 128)
pytestmark = pytest.mark.filterwarnings("error")


def registered(first, second, *starts):
    return register(template(luma(first)), template(luma(second)), starts or (IDENTITY,))


def coded(crop, quality):
    """After JPEG."""
    return cv2.imdecode(cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def noisy(crop, levels, seed=0):
    noise = np.random.default_rng(seed).normal(0, levels, crop.shape)
    return np.clip(crop + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"x": 0.05, "y": -0.1},
        {"x": 0.5, "y": 0.25},
        {"x": -1.3, "y": 0.8},
        {"angle": 2.0, "x": 0.3},
        {"angle": -4.0, "y": 0.6},
        {"zoom": 1.03, "x": 0.4},
        {"zoom": 0.96},
        {"stretch": 0.97, "angle": 1.0, "x": 0.7, "y": 0.7},
    ],
)
def test_known_motions_are_found(drawn, about_center, error_px, side, change):
    motion = about_center(side, **change)
    found = registered(drawn(side), drawn(side, motion))
    assert error_px(found.motion, motion, side) < (0.12 if side == 16 else 0.08)
    assert not found.failed and found.correlation > 0.98


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("x", "y"), [(0.1, 0.05), (-0.1, 0.1), (0.0, -0.14)])
def test_jumps_are_found_without_an_expectation(drawn, error_px, side, x, y):
    motion = shift(x * side, y * side)
    found = registered(drawn(side), drawn(side, motion))
    assert error_px(found.motion, motion, side) < 0.1


def test_a_large_motion_is_found_if_it_is_expected(drawn, error_px):
    motion = shift(8.3, -5.6)
    found = registered(drawn(32), drawn(32, motion), IDENTITY, shift(-8, 6), shift(8, -6))
    assert error_px(found.motion, motion, 32) < 0.1 and not found.failed


@pytest.mark.parametrize(("gain", "offset"), [(0.7, 0), (0.7, 40), (1.3, -30), (1.0, 30), (1.0, -30), (0.85, 10)])
def test_changes_of_the_light_do_not_move_the_face(drawn, about_center, error_px, gain, offset):
    motion = about_center(32, angle=1, x=0.4, y=-0.3)
    second = np.clip(np.rint(drawn(32, motion) * gain + offset), 0, 255).astype(np.uint8)
    found = registered(drawn(32), second)
    assert error_px(found.motion, motion, 32) < 0.1 and not found.failed


@pytest.mark.parametrize(
    ("change", "limit"), [(lambda crop: noisy(crop, 6), 0.15), (lambda crop: coded(crop, 50), 0.2)]
)
def test_noise_and_compression_cost_little(drawn, about_center, error_px, change, limit):
    motion = about_center(32, angle=1, x=0.4, y=-0.3)
    found = registered(change(drawn(32)), change(drawn(32, motion)))
    assert error_px(found.motion, motion, 32) < limit and not found.failed


@pytest.mark.parametrize("rows", [slice(0, 9), slice(20, 32)])
def test_a_hand_that_stays_does_not_hold_the_face_back(drawn, error_px, rows):
    motion = shift(0.8, 0.0)
    first, second = drawn(32), drawn(32, motion)
    first[rows, :14] = second[rows, :14] = (120, 150, 200)
    assert error_px(registered(first, second).motion, motion, 32) < 0.15


def test_a_face_in_front_of_a_textured_wall_moves_as_the_face(drawn, error_px):
    wall = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    y, x = np.mgrid[:32, :32] - 15.5
    motion = shift(1.2, 0.5)
    first = np.where((np.hypot(x, y) < 13)[..., None], drawn(32), wall)
    second = np.where((np.hypot(x - 1.2, y - 0.5) < 13)[..., None], drawn(32, motion), wall)
    assert error_px(registered(first, second).motion, motion, 32) < 0.15


@pytest.mark.parametrize(("first", "second"), [(48, 64), (64, 48), (32, 48), (48, 32), (64, 80), (128, 112)])
def test_crops_of_different_sides_are_registered(drawn, error_px, first, second):
    margin = (second - first) / 2
    small, large = drawn(first, width=2.0 * first), drawn(second, shift(0.4, -0.3), width=2.0 * second)
    motion = shift(margin + 0.4, margin - 0.3)
    found = registered(small, large, shift(round(margin), round(margin)))
    assert error_px(found.motion, motion, first) < 0.2 and not found.failed


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_crops_fail_without_a_warning(drawn, side, level):
    flat = np.full((side, side, 3), level, np.uint8)
    face = drawn(side)
    for first, second in ((flat, flat), (flat, face), (face, flat)):
        found = registered(first, second)
        assert found.failed and np.isfinite(found.motion).all()


@pytest.mark.parametrize("side", SIDES)
def test_noise_fails_without_a_warning(side):
    first, second = (np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8) for seed in (1, 2))
    assert registered(first, second).failed


def test_a_saturated_face_is_registered(drawn, error_px):
    motion = shift(0.6, 0.2)
    first, second = (np.clip(crop * 1.8, 0, 255).astype(np.uint8) for crop in (drawn(32), drawn(32, motion)))
    found = registered(first, second)
    assert error_px(found.motion, motion, 32) < 0.15 and not found.failed


@pytest.mark.parametrize(
    "start", [shift(1e9, -1e9), shift(0, 40), (0.0,) * 6, (1e6,) * 6, (-1.0, 0.0, 31.0, 0.0, 1.0, 0.0)]
)
def test_senseless_expectations_fail_or_are_left(drawn, start):
    found = registered(drawn(32), drawn(32, shift(0.5, 0)), start)
    assert found.failed or abs(found.motion[2] - 0.5) < 0.5
    found = registered(drawn(32), drawn(32, shift(0.5, 0)), start, IDENTITY)
    assert not found.failed and abs(found.motion[2] - 0.5) < 0.5


def test_elsewhere_in_the_picture_is_not_the_same_face(drawn):
    elsewhere = [drawn(32, center_xy=center) for center in ((100, 250), (420, 120), (256, 380))]
    assert max(registered(drawn(32), other).correlation for other in elsewhere) < MIN_CORRELATION


def test_maps_compose_and_invert(about_center):
    first, second = about_center(32, 10, 1.1, 0.9, 3, -2), about_center(32, -5, 0.8, 1.0, 1, 1)
    point = np.array((5.0, 7.0, 1.0))
    together = np.reshape(compose(second, first), (2, 3)) @ point
    in_turn = np.reshape(second, (2, 3)) @ (*(np.reshape(first, (2, 3)) @ point), 1)
    assert together == pytest.approx(in_turn)
    assert compose(inverse(first), first) == pytest.approx(IDENTITY, abs=1e-12)


@pytest.mark.parametrize("encoding", ["clean", "dark", "noisy"])
def test_people_are_distinguished(shared, encoding):
    paths = sorted((shared / "faces" / "test").iterdir())[:24]
    crops = [cv2.resize(cv2.imread(str(path)), (32, 32), interpolation=cv2.INTER_AREA) for path in paths]
    change = {
        "clean": lambda crop: crop,
        "dark": lambda crop: noisy(crop * np.float32(0.25), 2),
        "noisy": lambda crop: noisy(crop, 8),
    }[encoding]
    same = [registered(change(crop), coded(change(crop), 75)) for crop in crops]
    other = [registered(change(one), change(two)) for one, two in zip(crops, crops[1:] + crops[:1], strict=True)]
    assert not any(found.failed for found in same)
    assert all(found.failed for found in other)

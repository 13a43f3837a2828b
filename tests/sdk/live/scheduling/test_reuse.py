"""Reuse of an upscaled face: alignment of known motions, moved detail, still faces, and failures."""

from __future__ import annotations

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.sdk.live.scheduling.plan import MAX_LEVELS, REUSE_LEVELS
from facesr_edge.sdk.live.scheduling.reuse import STILL_LEVELS, Alignment, align, keep, reused
from facesr_edge.sdk.pipeline.crop import Window

SIDE, FACE = 48, 30
WINDOW = Window(0, 0, SIDE)
BOX = np.array([9, 9, 39, 39], np.float32)
MOTIONS = {
    "shift": (1.0, 0.0, 2.3, -1.6),
    "sub-pixel shift": (1.0, 0.0, 0.4, 0.3),
    "zoom": (1.06, 0.0, 0.5, 0.0),
    "turn": (1.0, 4.0, 0.0, 0.8),
    "all": (0.95, -3.0, -1.5, 1.2),
    "far": (1.0, 2.0, -9.0, 6.0),
}


def drawn(
    portrait: np.ndarray, motion: tuple[float, float, float, float], noise: float = 0.0, seed: int = 0
) -> np.ndarray:
    """A crop with the face of the portrait, zoomed, turned by degrees and shifted by crop pixels about its center."""
    zoom, degrees, dx, dy = motion
    scale = zoom * FACE / 110
    matrix = cv2.getRotationMatrix2D((127.5, 120.0), degrees, scale)
    matrix[:, 2] += np.array([(SIDE - 1) / 2 + dx, (SIDE - 1) / 2 + dy]) - (127.5, 120.0)
    smooth = cv2.GaussianBlur(portrait, (0, 0), 0.5 / scale)
    crop = cv2.warpAffine(smooth, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    random = np.random.default_rng(seed).normal(0, noise, crop.shape)
    return np.clip(np.rint(crop + random), 0, 255).astype(np.uint8)


def truth(motion: tuple[float, float, float, float]) -> np.ndarray:
    """Coordinates in the moved crop -> in the unmoved one."""
    zoom, degrees, dx, dy = motion
    forward = cv2.getRotationMatrix2D(((SIDE - 1) / 2, (SIDE - 1) / 2), degrees, zoom)
    forward[:, 2] += (dx, dy)
    return cv2.invertAffineTransform(forward)


@pytest.fixture(scope="module")
def network():
    with facesr_edge.load("edge-tiny-x4-camera", threads=1, engine="onnxruntime", precision="fp32") as pipeline:
        yield pipeline.upscale


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b).mean()))


@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS)
def test_alignment_finds_a_known_motion(portrait, network, motion) -> None:
    first = drawn(portrait, (1, 0, 0, 0), 2.0, 1)
    kept = keep(first, network(first[None])[0], BOX, WINDOW, 0.0)
    found = align(kept, drawn(portrait, motion, 2.0, 2), BOX, WINDOW)
    corners = np.array([(12, 12, 1), (36, 12, 1), (12, 36, 1), (36, 36, 1)], float)
    errors = np.linalg.norm(corners @ found.to_kept.T - corners @ truth(motion).T, axis=1)
    assert errors.mean() < 0.25
    assert found.change < (6.0 if motion == MOTIONS["far"] else REUSE_LEVELS)


@pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS)
def test_moved_detail_is_that_of_the_network(portrait, network, motion) -> None:
    first, later = drawn(portrait, (1, 0, 0, 0)), drawn(portrait, motion)
    kept = keep(first, network(first[None])[0], BOX, WINDOW, 0.0)
    moved = reused(kept, later, align(kept, later, BOX, WINDOW))
    full = network(later[None])[0]
    bicubic = cv2.resize(later, full.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    assert psnr_db(moved, full) > max(38.0, psnr_db(bicubic, full) + 2)


def test_a_window_of_another_size_is_aligned_too(portrait, network) -> None:
    first = drawn(portrait, (1, 0, 0, 0))
    kept = keep(first, network(first[None])[0], BOX, WINDOW, 0.0)
    larger = cv2.copyMakeBorder(first, 8, 8, 8, 8, cv2.BORDER_REPLICATE)
    found = align(kept, larger, BOX, Window(-8, -8, 64))
    assert found.change < 0.2
    assert np.abs(found.to_kept - [[1, 0, -8], [0, 1, -8]]).max() < 0.05
    assert reused(kept, larger, found).shape == (256, 256, 3)


def test_a_still_face_does_not_flicker(portrait, network) -> None:
    first = drawn(portrait, (1, 0, 0, 0), 1.5, 1)
    kept = keep(first, network(first[None])[0], BOX, WINDOW, 0.0)
    for seed in range(2, 12):
        later = drawn(portrait, (1, 0, 0, 0), 1.5, seed)
        found = align(kept, later, BOX + np.float32(0.2), WINDOW)
        assert found.still
        assert reused(kept, later, found) is kept.pixels


def test_a_face_that_moves_slowly_is_not_still(portrait, network) -> None:
    first = drawn(portrait, (1, 0, 0, 0))
    kept = keep(first, network(first[None])[0], BOX, WINDOW, 0.0)
    assert not align(kept, drawn(portrait, (1, 0, 0.3, 0)), BOX, WINDOW).still
    assert not align(kept, first, BOX, Window(1, 0, SIDE)).still, "the window moved"


def test_another_face_or_none_is_not_reused(portrait, network) -> None:
    first = drawn(portrait, (1, 0, 0, 0))
    kept = keep(first, network(first[None])[0], BOX, WINDOW, 0.0)
    rng = np.random.default_rng(0)
    for other in (
        first[::-1].copy(),
        np.full_like(first, 128),
        rng.integers(0, 256, first.shape, np.uint8).astype(np.uint8),
    ):
        assert align(kept, other, BOX, WINDOW).change > MAX_LEVELS


def test_a_face_without_texture_is_aligned_without_a_warning() -> None:
    flat = np.full((SIDE, SIDE, 3), 90, np.uint8)
    kept = keep(flat, np.full((4 * SIDE, 4 * SIDE, 3), 90, np.uint8), BOX, WINDOW, 0.0)
    found = align(kept, flat, BOX, WINDOW)
    assert found.change < STILL_LEVELS
    assert np.isfinite(found.to_kept).all()


@pytest.mark.parametrize(("zoom", "degrees"), [(1.2, 0.0), (0.85, 0.0), (1.1, 8.0)])
def test_detail_lies_where_the_motion_puts_it(zoom: float, degrees: float) -> None:
    """Smooth detail on the four-fold grid, moved by a known matrix."""

    def detail(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return 40 * np.sin(0.35 * x + 0.2 * y) + 30 * np.cos(0.3 * y)

    grid = (np.arange(4 * SIDE) + 0.5) / 4 - 0.5  # crop coordinates of the samples
    y, x = np.meshgrid(grid, grid, indexing="ij")
    crop = np.full((SIDE, SIDE, 3), 128, np.uint8)
    pixels = np.repeat(np.rint(128 + detail(y, x))[..., None], 3, axis=2).astype(np.uint8)
    kept = keep(crop, pixels, BOX, WINDOW, 0.0)
    to_kept = truth((zoom, degrees, 1.3, -0.8))
    moved = reused(kept, crop, Alignment(to_kept, 0.0, False))
    old_x, old_y = (to_kept[row, 0] * x + to_kept[row, 1] * y + to_kept[row, 2] for row in (0, 1))
    inside = (np.minimum(old_x, old_y) > 1) & (np.maximum(old_x, old_y) < SIDE - 2)
    errors = moved[..., 0].astype(float) - (128 + detail(old_y, old_x))
    assert np.sqrt(np.square(errors[inside]).mean()) < 0.6

"""Codecs, sensors and lenses, each alone: errors grow with what is asked, and nothing moves or changes its tint."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.training.data.codecs import h264, jpeg
from facesr_edge.training.data.optics import SHRINKS, blurred, disc, gaussian, noisy, random_blur, shrunken


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def small():
    """(8, 32, 32, 3): faces as bicubic shrinks them."""
    return low_resolution(np.stack(sample_faces()), 4)


@pytest.fixture(scope="module")
def codecs(small):
    """Name -> from worst to best, what a codec made of the faces."""
    film = np.stack([np.roll(small, shift, 2) for shift in (2, 1, 0)])
    return {
        "jpeg": [np.stack([jpeg(face, q, rng(i)) for i, face in enumerate(small)]) for q in (20, 50, 80, 100)],
        "h264": [h264(film, crf, rng()) for crf in (44, 34, 24, 2)],
    }


def rms(error):
    return float(np.sqrt((np.asarray(error, float) ** 2).mean()))


@pytest.mark.parametrize("name", ["jpeg", "h264"])
def test_the_error_of_a_codec_grows_with_its_strength(codecs, small, name):
    errors = [rms(coded.astype(float) - small) for coded in codecs[name]]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 2 * errors[2] and errors[-1] < 3.5  # chroma is halved even at the best


@pytest.mark.parametrize("name", ["jpeg", "h264"])
def test_a_codec_keeps_brightness_and_tint(codecs, small, name):
    for coded in codecs[name][1:]:
        assert (
            np.abs((coded.astype(float) - small).mean((0, 1, 2))).max() < 2
        )  # the suit is orange, and codecs drop faint chroma


def test_the_error_of_a_codec_has_the_steps_of_blocks():
    """A ramp becomes steps of a block's side, wherever they lie: the most is lost at one place in eight."""
    ramp = np.repeat(np.linspace(60, 90, 64).astype(np.uint8)[None, :, None], 64, 0).repeat(3, 2)
    coded = jpeg(ramp, 5, rng(1)).astype(float)[..., 1].mean(0)
    jumps = np.abs(np.diff(coded))
    by_phase = [jumps[phase::8].mean() for phase in range(8)]
    assert max(by_phase) > 5 * np.median(by_phase)


def test_codecs_see_a_face_anywhere_on_their_blocks(small):
    face = small[0]
    assert len({jpeg(face, 40, rng(seed)).tobytes() for seed in range(8)}) > 4
    assert len({h264(face[None, None], 34, rng(seed)).tobytes() for seed in range(8)}) > 4


def test_frames_are_predicted_from_those_before(small):
    """Where nothing moves, a later frame costs little and the last is as good as the first; noise before it shows."""
    still = np.repeat(small[None], 4, 0)
    before = still.copy()
    before[:-1] = 255 - before[:-1]
    assert not np.array_equal(h264(still, 36, rng()), h264(before, 36, rng()))
    np.testing.assert_array_equal(h264(still, 36, rng()), h264(still, 36, rng()))


@pytest.mark.parametrize("shape", [(1, 1, 8, 8, 3), (2, 3, 24, 20, 3), (4, 9, 33, 47, 3)])
def test_films_of_any_number_and_size_come_back_in_their_order(shape):
    grey = np.linspace(20, 235, shape[1])[None, :, None, None, None] + np.zeros(shape)
    last = h264(grey.astype(np.uint8), 20, rng())
    assert last.shape == shape[1:]
    np.testing.assert_allclose(last.mean((1, 2, 3)), grey[0].mean((1, 2, 3)), atol=1.5)


def test_grain_is_as_strong_as_asked_and_the_dark_has_more_of_it():
    patches = np.stack([np.full((96, 96, 3), grey, np.float32) for grey in (12, 120, 120, 120, 220)])
    grain = np.array([4, 0, 4, 8, 4])
    error = noisy(patches, grain, rng()) - patches
    dark, none, some, more, bright = (rms(part - part.mean()) for part in error)
    assert none == 0 and dark > 1.2 * some
    assert more == pytest.approx(2 * some, rel=0.15) and bright == pytest.approx(some, rel=0.15)
    assert 2.5 < some < 4  # interpolated from one site in two or four: less than on the sensor
    assert np.abs(error[1:].mean((1, 2))).max() < 0.3


def test_grain_spreads_over_neighbours_and_red_and_blue_are_blotchier_than_green():
    error = noisy(np.full((4, 64, 64, 3), 128, np.float32), np.full(4, 8.0), rng()) - 128.0
    blue, green, red = (
        (error[:, :, 1:, c] * error[:, :, :-1, c]).mean() / (error[..., c] ** 2).mean() for c in range(3)
    )
    assert min(blue, red) > 0.55 and 0.3 < green < 0.5  # two thirds and two fifths, by the weights of interpolation


@pytest.mark.parametrize("shrink", SHRINKS)
@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_every_filter_keeps_the_grid_and_the_mean(shrink, scale):
    """A slope's pixel x is what it was at scale·x + (scale - 1) / 2."""
    y, x = np.mgrid[: 16 * scale, : 16 * scale].astype(np.float32)
    small = shrunken(np.stack((y, x, np.full_like(x, 7)), 2), scale, shrink)
    place = scale * np.arange(16) + (scale - 1) / 2
    inner = slice(3, -3)  # at the border a filter sees one side only
    np.testing.assert_allclose(small[inner, 5, 0], place[inner], atol=1e-2)
    np.testing.assert_allclose(small[5, inner, 1], place[inner], atol=1e-2)
    np.testing.assert_allclose(small[..., 2], 7, atol=1e-5)


def test_bicubic_among_the_filters_is_the_papers(small):
    faces = np.stack(sample_faces())
    ours = np.stack([shrunken(face.astype(np.float32), 4, "bicubic") for face in faces])
    np.testing.assert_allclose(np.clip(ours, 0, 255), small, atol=0.501)


@pytest.mark.parametrize(
    ("kernel", "along", "across"),
    [
        (gaussian(2.0, 2.0, 0), 2.0, 2.0),
        (gaussian(3.0, 1.0, 0.7), 3.0, 1.0),
        (gaussian(0, 0, 0), 0, 0),
        (disc(0), 0, 0),
        (disc(4.0), 2.0, 2.0),  # a disc's deviation is half its radius
    ],
)
def test_a_blur_is_as_wide_as_asked_and_shifts_nothing(kernel, along, across):
    side = len(kernel)
    assert float(kernel.sum()) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-7)
    y, x = np.mgrid[:side, :side] - side // 2
    moments = [[float((kernel * a * b).sum()) for a in (x, y)] for b in (x, y)]
    low, high = np.sqrt(np.clip(np.linalg.eigvalsh(moments), 0, None))
    assert (high, low) == (pytest.approx(along, rel=0.06, abs=0.01), pytest.approx(across, rel=0.06, abs=0.01))


def test_random_blurs_are_of_every_kind_and_none_where_the_camera_is_perfect():
    generator = rng()
    widths = []
    for _ in range(200):
        kernel = random_blur(4, 1.0, generator)
        y, x = np.mgrid[: len(kernel), : len(kernel)] - len(kernel) // 2
        values = np.linalg.eigvalsh([[float((kernel * a * b).sum()) for a in (x, y)] for b in (x, y)])
        widths.append(np.sqrt(np.clip(values, 0.01, None)))
    across, along = np.array(widths).T
    assert 0.3 < np.mean(along < 1.1 * across) < 0.6  # round and discs
    assert np.mean(along > 2 * across) > 0.2  # trails and oblong
    assert 4 < along.max() < 7 and 1 < along.min() < 2  # a bad camera blurs always
    face = sample_faces()[0]
    np.testing.assert_allclose(blurred(face, random_blur(4, 0.0, generator)), face, atol=1e-3)


def test_blur_of_a_flat_picture_is_flat_to_its_border():
    flat = np.full((24, 30, 3), 90, np.uint8)
    np.testing.assert_allclose(blurred(flat, gaussian(4, 2, 1)), 90, atol=1e-3)
    assert cv2.Laplacian(blurred(flat, disc(3)), cv2.CV_32F).max() < 1e-3

"""Recorded pairs and named chains: pixel grid, truth, block grid, reproducibility."""

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.training.data.cameras.background import Backgrounds
from facesr_edge.training.data.cameras.chain import NAMED, Chain, random_chain
from facesr_edge.training.data.cameras.motion import Motion
from facesr_edge.training.data.cameras.pairs import DEGRADATIONS, degrade, draw_pairs
from facesr_edge.training.data.cameras.sequences import Cell, cells_for, record


@pytest.fixture(scope="module")
def faces():
    return np.stack(sample_faces())


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_an_ideal_camera_equals_bicubic_inside_of_the_crop(faces, scale):
    faces = faces[:, :96, :96]
    recorded = degrade(faces, scale, rng(), Chain("bicubic")).astype(int)
    difference = np.abs(recorded - low_resolution(faces, scale))[:, 4:-4, 4:-4]
    assert difference.max() <= 1


@pytest.mark.parametrize("name", NAMED)
def test_named_chains_keep_the_pixel_grid_and_the_colors(faces, name):
    recorded = DEGRADATIONS[name](faces, 4, rng())
    clean = low_resolution(faces, 4)
    assert recorded.shape == clean.shape and recorded.dtype == np.uint8
    shifts = []
    for small, reference in zip(recorded, clean, strict=True):
        gray = [cv2.cvtColor(x, cv2.COLOR_BGR2GRAY).astype(np.float32) for x in (reference, small)]
        shifts.append(cv2.phaseCorrelate(*gray, cv2.createHanningWindow(gray[0].shape[::-1], cv2.CV_32F))[0])
    assert np.abs(np.median(shifts, 0)).max() < 0.15
    assert np.abs(recorded.astype(float) - clean).mean((0, 1, 2)).max() < 12
    assert np.abs((recorded.astype(float) - clean).mean((0, 1, 2))).max() < 3


def test_chains_are_ordered_by_the_severity_of_their_codec(faces):
    clean = low_resolution(faces, 4)

    def error(name):
        return np.mean((DEGRADATIONS[name](faces, 4, rng()).astype(float) - clean) ** 2)

    assert error("frame") < error("jpeg-90") < error("jpeg-75") < error("jpeg-50")
    assert error("h264-23") < error("h264-28") < error("h264-33")


def test_equal_seeds_give_equal_crops_and_others_another_phase_of_the_block_grid(faces):
    first, again, other = (DEGRADATIONS["jpeg-50"](faces, 4, rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_more_faces_than_cells_are_recorded_in_several_frames(faces):
    many = np.concatenate([faces] * 10)
    recorded = degrade(many, 4, rng(), Chain("bicubic"))
    assert len(recorded) == 80 and len(cells_for(40, rng())) < 80
    np.testing.assert_allclose(recorded[72:], recorded[:8], atol=30)


def test_faces_that_do_not_fit_into_a_frame_raise():
    with pytest.raises(UsageError, match="a camera records crops of up to 332 px, got 340 px"):
        degrade(np.zeros((1, 680, 680, 3), np.uint8), 2, rng(), Chain())
    assert degrade(np.zeros((1, 664, 664, 3), np.uint8), 2, rng(), Chain()).shape == (1, 332, 332, 3)


def test_the_truth_of_a_moving_face_is_the_picture_itself(faces):
    """A face at whole pixels is copied into the truth; its low-resolution pixels are those of the truth."""
    cell = Cell(100, 80, 60, 60)
    motion = Motion((4 * 130 + 1.5, 4 * 110 + 1.5), velocity_xy=(3.0, -2.0))
    recording = record([faces[0]], [cell], [motion], Chain("bicubic", frames=3), Backgrounds(None), 4, [0, 2], rng())
    for number, time in enumerate(recording.times):
        truth = recording.truth(number, 0, 110, 90, 40)
        expected = cv2.matchTemplate(truth, faces[0][16:112, 16:112], cv2.TM_SQDIFF_NORMED)
        assert expected.min() < 1e-6
        y, x = np.unravel_index(expected.argmin(), expected.shape)
        assert (x, y) == (16 + 4 * 20 + 2 - 64 + 3 * time, 16 + 4 * 20 + 2 - 64 - 2 * time)
        low = low_resolution(truth[None], 4)[0].astype(int)
        assert np.abs(low - recording.frames[number, 90:130, 110:150])[6:-6, 6:-6].max() <= 2


def test_turning_faces_have_a_truth_that_fits(faces):
    motion = Motion((4 * 130 + 1.5, 4 * 110 + 1.5), angle=0.2, turn=0.02, zoom=0.005, whole_pixels=False)
    chain = Chain("area", frames=4)
    recording = record([faces[0]], [Cell(100, 80, 60, 60)], [motion], chain, Backgrounds(None), 4, [3], rng())
    low = cv2.resize(recording.truth(0, 0, 114, 94, 32), (32, 32), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(low - recording.frames[0, 94:126, 114:146]).mean() < 1.5


@pytest.mark.parametrize(("portraits", "large"), [(8, 0), (0, 2), (8, 2)])
def test_pairs_are_crops_of_portraits_or_of_large_faces(faces, portraits, large):
    big = [cv2.resize(face, (320, 320), interpolation=cv2.INTER_CUBIC) for face in faces[:large]]
    errors = []
    for seed in range(4):
        lr, hr = draw_pairs(list(faces[:portraits]), big, Backgrounds(None), 4, 32, rng(seed))
        assert lr.shape[1:] == (32, 32, 3) and hr.shape == (len(lr), 128, 128, 3) and 20 < len(lr) <= 120
        errors.append(np.sqrt(np.mean((lr.astype(float) - low_resolution(hr, 4)) ** 2, (1, 2, 3))))
    assert np.median(np.concatenate(errors)) < 20


def test_random_chains_cover_every_codec_and_the_clean_frame():
    chains = [random_chain(rng(seed)) for seed in range(300)]
    names = {codec.name for chain in chains for codec in chain.codecs}
    assert names == {"h264", "h265", "mjpeg", "jpeg", "gif"}
    assert any(len(chain.codecs) == 2 for chain in chains)
    assert 0.1 < np.mean([chain.sensor == Chain().sensor and not chain.blur for chain in chains]) < 0.4


def test_backgrounds_come_from_the_folder(faces, tmp_path):
    cv2.imwrite(str(tmp_path / "red.png"), np.full((90, 160, 3), (0, 0, 200), np.uint8))
    background = Backgrounds(tmp_path).draw(640, 360, 4, 0.0, rng())
    assert np.allclose(background.low, (0, 0, 200)) and np.allclose(background.window(100, 100, 64), (0, 0, 200))


@pytest.mark.parametrize("seed", range(4))
def test_mirrored_backgrounds_are_the_mirror_image_and_are_not_copied_for_every_window(tmp_path, seed):
    picture = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    drawn = Backgrounds(tmp_path)._picture(rng(seed))
    assert drawn.flags.c_contiguous
    assert np.array_equal(drawn, picture) or np.array_equal(drawn, picture[:, ::-1])


def test_a_background_that_is_too_small_raises(tmp_path):
    cv2.imwrite(str(tmp_path / "thin.png"), np.zeros((2, 300, 3), np.uint8))
    with pytest.raises(InputError, match=r"thin\.png is 300x2 px, at least 16x16 is needed; remove it"):
        Backgrounds(tmp_path).draw(640, 360, 4, 0.0, rng())


@pytest.mark.parametrize("seed", range(4))
def test_the_truth_of_a_background_fits_at_the_bottom_of_the_frame(seed):
    background = Backgrounds(None).draw(640, 360, 4, 0.0, rng(seed))
    low = low_resolution(np.clip(background.window(4 * 600, 4 * 320, 4 * 40), 0, 255).astype(np.uint8)[None], 4)[0]
    gray = [cv2.cvtColor(x.astype(np.float32), cv2.COLOR_BGR2GRAY) for x in (low, background.low[320:, 600:])]
    shift, _ = cv2.phaseCorrelate(*gray, cv2.createHanningWindow(gray[0].shape[::-1], cv2.CV_32F))
    assert np.abs(shift).max() < 0.1

"""Recorded tracks: true and registered motions, exact truth, codecs of whole frames, expressions."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import low_resolution, sample_faces
from facesr_edge.training.data.cameras import sequences
from facesr_edge.training.data.cameras.background import Backgrounds
from facesr_edge.training.data.cameras.chain import NAMED, Chain
from facesr_edge.training.data.cameras.expressions import (
    BLINK,
    STAGES,
    blinking,
    random_blink,
    random_speech,
    speaking,
)
from facesr_edge.training.data.cameras.head_motion import HeadMotion
from facesr_edge.training.data.cameras.landmarks import FaceLandmarks
from facesr_edge.training.data.cameras.tracks import (
    FRAMES,
    draw_tracks,
    given_tracks,
    living_faces,
    record_tracks,
)
from facesr_edge.zoo import catalogue

SIDE, SCALE, SHORT = 32, 4, 7
IDEAL = Chain("bicubic", frames=9)
MOTIONS = {
    "rest": {},
    "shift": {"velocity_xy": (3.3, -2.1)},
    "turn": {"turn": 0.015},
    "zoom": {"zoom": 0.006},
    "stretch": {"stretch": 0.008, "velocity_xy": (-1.7, 0.4)},
    "shake": {"shake_xy": (*((1.3 * (-1) ** t, 0.9 * (t % 3)) for t in range(8)), (0.0, 0.0))},
}


@pytest.fixture(scope="module")
def landmarks():
    return FaceLandmarks(catalogue.FOLDER / catalogue.DEFAULT_DETECTOR)


def rng(seed=0):
    return np.random.default_rng(seed)


def recorded(chain, **motion):
    """Tracks of the sample faces, all with the same motion."""
    faces = sample_faces()
    cells = sequences.cells_for(SIDE, rng())[: len(faces)]
    centers = [(SCALE * (c.x + c.width / 2) - 0.5, SCALE * (c.y + c.height / 2) - 0.5) for c in cells]
    motions = [HeadMotion(chain.frames - 1, center, **motion) for center in centers]
    living = living_faces(faces, motions, chain, SCALE, None, 0.0, rng())
    return record_tracks(living, cells, chain, Backgrounds(None), SCALE, SIDE, rng(), SHORT)


def psnr(one, other):
    return -10 * np.log10(np.mean(np.square(one.astype(float) - other)) / 255**2 + 1e-9)


def aligned_psnr(crop, newest, motion):
    """PSNR of the face's middle in an earlier crop, moved onto the newest one."""
    moved = cv2.warpAffine(crop, motion, (SIDE, SIDE), flags=cv2.INTER_CUBIC)
    return psnr(moved[10:22, 10:22], newest[10:22, 10:22])


@pytest.mark.parametrize("kind", MOTIONS)
def test_true_motions_carry_earlier_crops_onto_the_newest(kind):
    tracks = recorded(IDEAL, **MOTIONS[kind])
    assert tracks.motions.shape == (len(tracks.lr), SHORT, 2, 3) and tracks.lr.shape[1] == SHORT
    np.testing.assert_allclose(tracks.motions[:, -1], np.broadcast_to(np.eye(2, 3), (len(tracks.lr), 2, 3)), atol=1e-6)
    scores = [
        aligned_psnr(lr[t], lr[-1], motions[t])
        for lr, motions in zip(tracks.lr, tracks.motions, strict=True)
        for t in (0, 3, SHORT - 2)
    ]
    assert np.median(scores) > 30 and min(scores) > 24  # interpolation of aliased pixels


def test_crops_that_are_not_moved_differ_more():
    tracks = recorded(IDEAL, **MOTIONS["shift"])
    with_motion, without = (
        np.median([aligned_psnr(lr[0], lr[-1], m) for lr, m in zip(tracks.lr, motions, strict=True)])
        for motions in (tracks.motions[:, 0], tracks.motions[:, -1])
    )
    assert with_motion > without + 3


def test_the_truth_is_exact_at_the_end_of_every_motion():
    for kind in ("rest", "shift", "zoom"):
        tracks = recorded(IDEAL, **MOTIONS[kind])
        for lr, hr in zip(tracks.lr[:, -1], tracks.hr, strict=True):
            clean = low_resolution(hr[None], SCALE)[0]
            assert np.abs(clean.astype(int) - lr)[4:-4, 4:-4].max() <= 2
            assert any(
                cv2.matchTemplate(hr[32:96, 32:96], face, cv2.TM_SQDIFF).min() <= 64 * 64 * 3
                for face in (cv2.copyMakeBorder(f, 40, 40, 40, 40, cv2.BORDER_CONSTANT) for f in sample_faces())
            )


def test_registered_motions_agree_with_the_true_ones():
    tracks = given_tracks(sample_faces(), replace(IDEAL, frames=FRAMES), Backgrounds(None), SCALE, SIDE, rng(3))
    middle = np.array(((SIDE - 1) / 2, (SIDE - 1) / 2, 1))
    error = np.linalg.norm((tracks.registered - tracks.motions) @ middle, axis=-1)
    assert np.isfinite(error).mean() > 0.8 and np.nanmedian(error) < 0.15
    assert np.isnan(tracks.correlations[:, 0]).all() and (tracks.correlations[:, 1:] > 0.5).mean() > 0.8


def test_crops_before_a_failed_registration_have_no_motion():
    faces = [np.uint8(rng(seed).integers(0, 256, (128, 128, 3))) for seed in range(4)]
    fast = {"shake_xy": tuple((0.0, 0.0) if t != 4 else (90.0, 90.0) for t in range(7))}
    cells = sequences.cells_for(SIDE, rng())[: len(faces)]
    centers = [(SCALE * (c.x + c.width / 2) - 0.5, SCALE * (c.y + c.height / 2) - 0.5) for c in cells]
    chain = Chain("bicubic", frames=SHORT)
    living = living_faces(faces, [HeadMotion(6, c, **fast) for c in centers], chain, SCALE, None, 0.0, rng())
    tracks = record_tracks(living, cells, chain, Backgrounds(None), SCALE, SIDE, rng(), SHORT)
    lost = np.isnan(tracks.registered).any((2, 3))
    assert lost.any() and not lost[:, -1].any()
    assert (np.diff(lost.astype(int), axis=1) <= 0).all()  # once lost, everything before is


def test_codecs_see_whole_frames_and_only_the_last_crops_are_kept(monkeypatch):
    sizes, recode = [], sequences.recode

    def spy(frames, codec, keep):
        sizes.append((frames.shape, tuple(keep)))
        return recode(frames, codec, keep)

    monkeypatch.setattr(sequences, "recode", spy)
    tracks = recorded(NAMED["h264-28"])
    assert sizes == [((8, 360, 640, 3), tuple(range(1, 8)))]
    clean = recorded(Chain(frames=8))
    assert 24 < psnr(tracks.lr, clean.lr) < 40
    np.testing.assert_array_equal(tracks.hr, clean.hr)


def difference(stages):
    return np.abs(stages[-1].astype(int) - stages[0]).max(2)


def test_a_blink_changes_the_eyes_only(landmarks):
    face = sample_faces()[0]
    points = landmarks(face)
    stages = blinking(face, points)
    assert len(stages) == STAGES and np.array_equal(stages[0], face)
    unit, y, x = np.hypot(*(points[1] - points[0])), *np.mgrid[:128, :128]
    away = np.min([np.hypot(x - eye[0], (y - eye[1])) for eye in points[:2]], axis=0)
    changed = difference(stages)
    assert changed[away < 0.15 * unit].max() > 40 and changed[away > 0.8 * unit].max() == 0


def test_speech_changes_the_mouth_and_the_chin_only(landmarks):
    face = sample_faces()[0]
    points = landmarks(face)
    changed, mouth = difference(speaking(face, points)), points[3:].mean(0)
    assert changed[: int(mouth[1])].max() == 0
    assert changed[int(mouth[1]) : int(mouth[1] + 20), int(mouth[0]) - 10 : int(mouth[0]) + 10].max() > 25


def test_landmarks_lie_on_the_face_and_noise_has_none(landmarks):
    for face in sample_faces():
        left, right, nose, *mouth = landmarks(cv2.resize(face, (90, 180)))
        assert left[0] < nose[0] < right[0] and max(left[1], right[1]) < nose[1] < min(corner[1] for corner in mouth)
        assert 0 < left[0] < 90 and 0 < mouth[1][1] < 180
    assert landmarks(np.full((64, 64, 3), 90, np.uint8)) is None


def test_random_expressions_have_a_stage_for_each_frame():
    blinks = [random_blink(FRAMES, rng(seed)) for seed in range(300)]
    assert {len(one) for one in blinks} == {FRAMES}
    whole = "".join(map(str, BLINK))
    assert all("".join(map(str, one)).strip("0") in whole and any(one) for one in blinks)
    speech = [random_speech(FRAMES, rng(seed)) for seed in range(50)]
    assert {stage for one in speech for stage in one} == set(range(STAGES))


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_drawn_tracks_have_the_sizes_of_the_scale_and_depend_on_the_seed(landmarks, scale):
    faces = [cv2.resize(face, (144, 144)) for face in sample_faces()]
    one, again, other = (
        draw_tracks(faces, [], landmarks, Backgrounds(None), scale, 24, rng(seed)) for seed in (1, 1, 2)
    )
    assert one.lr.shape[1:] == (FRAMES, 24, 24, 3) and one.hr.shape[1:] == (24 * scale, 24 * scale, 3)
    assert len({len(part) for part in one}) == 1
    for part, same in zip(one, again, strict=True):
        np.testing.assert_array_equal(part, same)
    assert one.lr.shape != other.lr.shape or not np.array_equal(one.lr, other.lr)

"""Frames of benchmarks: number, size, place and motion of their faces."""

from contextlib import closing

import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.sdk.bench.scenes import MAX_SHIFT, MAX_SIDE, MIN_SIDE, SIZES, make_scene, portraits_of


@pytest.fixture(scope="module")
def detector():
    import facesr_edge

    with closing(facesr_edge.load_detector(engine="onnxruntime", precision="fp32", threads=1)) as detector:
        yield detector


@pytest.fixture(scope="module")
def portraits(detector, astronaut):
    return portraits_of([astronaut], detector)


@pytest.mark.parametrize(("size", "faces"), [("480p", 1), ("480p", 8), ("480p", 32), ("1080p", 32)])
def test_the_detector_finds_exactly_the_faces_of_a_scene(detector, portraits, size, faces):
    scene = make_scene(size, faces, portraits)
    for index in (0, 5):
        frame = scene.frame(index).pixels
        boxes = detector(frame).boxes_xyxy
        assert (frame.shape[1], frame.shape[0]) == SIZES[size] and len(boxes) == scene.faces == faces
        sides = (boxes[:, 2:] - boxes[:, :2]).max(1)
        assert sides.min() > 0.9 * MIN_SIDE and sides.max() < 1.2 * MAX_SIDE


def test_faces_move_a_few_pixels_between_frames_over_a_still_background(portraits):
    scene = make_scene("480p", 4, portraits)
    first, second = (frame.pixels for frame in scene.frames(2))
    changed = np.flatnonzero((first != second).any(axis=(0, 2)))
    assert len(changed) and np.array_equal(first[:40, :40], second[:40, :40])
    assert scene.shift <= MAX_SHIFT
    assert np.array_equal(first, scene.frame(0).pixels) and not np.array_equal(second, scene.frame(3).pixels)


def test_portraits_do_not_overlap(portraits):
    scene = make_scene("480p", 32, portraits)
    covered = np.zeros(scene.background.shape[:2], int)
    for portrait, (x, y) in zip(scene.portraits, scene.corners, strict=True):
        reach = scene.shift
        covered[y - reach : y + len(portrait) + reach, x - reach : x + len(portrait) + reach] += 1
    assert covered.max() == 1


def test_more_faces_than_fit_raise(portraits):
    with pytest.raises(UsageError, match=r"64 faces of up to 72 px do not fit into 480p"):
        make_scene("480p", 64, portraits)


def test_other_faces_are_cut_to_the_face_and_images_without_one_are_skipped(detector, astronaut):
    view = cv2.resize(astronaut[20:220, 120:330], (400, 380))
    (portrait,) = portraits_of([np.full((200, 200, 3), 90, np.uint8), view], detector)
    assert 1 <= portrait.margin <= 1.41 and portrait.pixels.shape[0] == portrait.pixels.shape[1] < 380
    assert portrait.resized(50).shape == (round(50 * portrait.margin),) * 2 + (3,)
    with pytest.raises(InputError, match="no complete face in any of 1 images"):
        portraits_of([np.full((200, 200, 3), 90, np.uint8)], detector)

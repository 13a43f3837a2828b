"""Windows of tracks: steady for a still face, valid for every face."""

from itertools import pairwise

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import CROP_SIZES
from facesr_edge.sdk.live.tracks.windows import KEEP_MARGIN, stable_window
from facesr_edge.sdk.pipeline.crop import MARGIN, Window, window_for
from hypothesis import given, settings
from hypothesis import strategies as st

WH = (640, 360)


@pytest.fixture(scope="module")
def detector():
    detector = facesr_edge.load_detector(threads=1, score=0.2)
    yield detector
    detector.close()


def box(x, y, side, width=0.8):
    """Around a center."""
    return np.array([x - width * side / 2, y - side / 2, x + width * side / 2, y + side / 2], np.float32)


def windows_along(boxes, frame_wh=WH):
    window = None
    return [window := stable_window(window, one, frame_wh, CROP_SIZES) for one in boxes]


def motion(windows):
    """Mean shift of the center per frame, pixels, and the number of size changes."""
    centers = np.array([(w.x + w.side / 2, w.y + w.side / 2) for w in windows])
    switches = sum(a.side != b.side for a, b in pairwise(windows))
    return np.abs(np.diff(centers, axis=0)).max(1).mean(), switches


@pytest.mark.parametrize("side", [9, 14, 21.33, 32, 42.67, 53.33, 64, 74.67, 85])
def test_a_still_face_at_a_size_border_keeps_its_window_under_noise(side):
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.02 * side, (1000, 4))  # of each edge: what the detector shows at worst
    windows = windows_along(box(300, 180, side) + noise)
    jitter, switches = motion(windows)
    assert jitter <= 0.02 and switches <= 2


def test_without_hysteresis_the_same_face_flips():
    noise = np.random.default_rng(1).normal(0, 0.02 * 32, (1000, 4))
    windows = [window_for((box(300, 180, 32) + noise_).astype(np.float32), WH, CROP_SIZES) for noise_ in noise]
    jitter, switches = motion(windows)
    assert jitter > 0.2 and switches > 100


def test_a_window_stays_until_the_face_leaves_its_margin_then_centers_it():
    boxes = [box(300 + x, 180, 20) for x in range(30)]
    windows = windows_along(boxes)
    kept = [b == a for a, b in pairwise(windows)]
    assert 3 <= kept.index(False) <= 4  # slack (32 - 1.3 * 20) / 2 = 3
    moved = kept.index(False) + 1
    assert windows[moved] == window_for(boxes[moved], WH, CROP_SIZES)
    assert 4 <= len(set(windows)) <= 10


def test_the_size_follows_a_face_that_grows_and_shrinks():
    sides = [*np.linspace(10, 80, 100), *np.linspace(80, 10, 100)]
    windows = windows_along([box(300, 180, side) for side in sides])
    assert [w.side for w in windows[:100]] == sorted(w.side for w in windows[:100])
    assert windows[0].side == windows[-1].side == 32 and max(w.side for w in windows) == 112
    assert motion(windows)[1] == 2 * (len({w.side for w in windows}) - 1)


def test_a_face_at_the_border_of_the_largest_window_does_not_flip_between_it_and_none():
    largest = CROP_SIZES[-1] / MARGIN
    rng = np.random.default_rng(2)
    windows = windows_along([box(300, 180, side) for side in largest * rng.normal(1, 0.03, 200)])
    changes = sum((a is None) != (b is None) for a, b in pairwise(windows))
    assert changes <= 1
    assert stable_window(windows[-1], box(300, 180, 1.3 * largest), WH, CROP_SIZES) is None


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-20, 660), st.floats(-20, 380), st.floats(1, 120), st.floats(0.5, 1.5)), min_size=1),
    st.sampled_from([WH, (100, 60), (20, 20)]),
)
def test_windows_are_valid_whatever_the_faces_do(faces, frame_wh):
    window = None
    for face in faces:
        one = box(*face)
        window = stable_window(window, one, frame_wh, CROP_SIZES)
        length = max(one[2:] - one[:2])
        if window is None:
            assert MARGIN * length > CROP_SIZES[-1]
            continue
        assert window.side in CROP_SIZES and window.side >= KEEP_MARGIN * length - 1e-3
        assert_inside(window, frame_wh)
        assert_holds(window, one, KEEP_MARGIN * length, frame_wh)


def assert_inside(window, frame_wh):
    for start, length in zip((window.x, window.y), frame_wh, strict=True):
        assert 0 <= start <= length - window.side or start <= 0 <= length <= start + window.side


def assert_holds(window, one, needed, frame_wh):
    """The square of the needed side around the box lies in the window, as far as the frame goes; within rounding."""
    for start, center, length in zip((window.x, window.y), (one[:2] + one[2:]) / 2, frame_wh, strict=True):
        low, high = max(center - needed / 2, 0), min(center + needed / 2, length)
        assert start <= low + 0.51 and high <= start + window.side + 0.51


def test_a_window_of_another_frame_or_engine_is_replaced():
    one = box(300, 180, 20)
    fresh = window_for(one, WH, CROP_SIZES)
    assert stable_window(Window(290, 170, 33), one, WH, CROP_SIZES) == fresh
    assert stable_window(fresh, box(90, 50, 20), (100, 60), CROP_SIZES) == window_for(
        box(90, 50, 20), (100, 60), CROP_SIZES
    )


@pytest.mark.parametrize("side", [14, 21.3, 32, 43])
def test_the_detectors_boxes_of_a_still_face_under_camera_noise_keep_the_window(detector, astronaut, side):
    factor = side / 115  # height of the face in the picture
    picture = cv2.resize(astronaut, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(3)
    noisy = [np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8) for _ in range(100)]
    boxes = [detector(frame).boxes_xyxy[0] for frame in noisy]
    jitter, switches = motion(windows_along(boxes, picture.shape[1::-1]))
    assert jitter <= 0.2 and switches <= 1

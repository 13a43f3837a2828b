"""Pictures for the page: sizes, close-ups, encoded once, limited in rate and share of time."""

import time
from threading import Barrier, Thread

import numpy as np
import pytest
from facesr_edge.sdk.live.monitoring.monitor import Monitor
from facesr_edge.sdk.live.web import pictures
from facesr_edge.sdk.live.web.pictures import INTERVAL_S, MAX_FACES, Pictures, Shown, close_up, composite
from support.live_runs import decode, make_face, make_result


@pytest.mark.parametrize(
    ("size_wh", "outscale", "width", "expected_wh"),
    [((64, 48), 2, 960, (128, 96)), ((64, 48), 2, 64, (64, 48)), ((64, 48), 2, 100, (100, 75)),
     ((64, 48), 1, 960, (64, 48)), ((1920, 1080), 2, 640, (640, 360)), ((640, 360), 4, 960, (960, 540))],
)  # fmt: skip
def test_a_view_is_not_wider_than_asked_and_not_larger_than_the_composite(size_wh, outscale, width, expected_wh):
    result = make_result(size_wh=size_wh, outscale=outscale, faces=[make_face(1)])
    assert composite(result, width).shape == (expected_wh[1], expected_wh[0], 3)


def test_a_view_in_full_size_is_the_composite_of_the_run():
    result = make_result(faces=[make_face(1)])
    frame = result.source.pixels.copy()
    view = composite(result, 960)
    assert "frame" not in vars(result)  # the composite of the run is not made for it
    np.testing.assert_array_equal(view, result.frame)
    np.testing.assert_array_equal(composite(make_result(outscale=1, faces=[make_face(1)]), 64)[:10], frame[:10])
    np.testing.assert_array_equal(result.source.pixels, frame)


@pytest.mark.parametrize("box", [(20, 20, 40, 44), (10, 12, 30, 36), (14, 16, 46, 48), (44, 46, 60, 60)])
def test_camera_and_estimate_show_the_same_part_of_the_frame(box):
    original, estimate = close_up(make_face(1, box=box))
    side = min(32, int(np.ceil(1.3 * max(box[2] - box[0], box[3] - box[1]))))
    assert original.shape == (side, side, 3) and estimate.shape == (4 * side, 4 * side, 3)
    np.testing.assert_array_equal(original, estimate[::4, ::4])  # as `make_face` made them


def test_the_camera_crop_is_shown_without_loss():
    face = make_face(1)
    original, estimate = Shown(1, make_result(faces=[face]), 0.0).faces()[1]
    np.testing.assert_array_equal(decode(original), close_up(face)[0])
    assert decode(estimate).shape == (128, 128, 3)


def test_at_most_twelve_faces_have_pictures():
    faces = [make_face(track) for track in range(1, 20)]
    assert list(Shown(1, make_result(faces=faces), 0.0).faces()) == list(range(1, MAX_FACES + 1))


def test_a_picture_is_encoded_once_for_all_viewers(monkeypatch):
    encoded = []
    monkeypatch.setattr(pictures, "jpeg", lambda pixels, quality: encoded.append(pixels.shape) or b"jpeg")
    shown, together = Shown(1, make_result(faces=[make_face(1)]), 0.0), Barrier(8)

    def look():
        together.wait()
        shown.view(640), shown.faces()

    viewers = [Thread(target=look) for _ in range(8)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()
    assert encoded in ([(96, 128, 3), (128, 128, 3)], [(128, 128, 3), (96, 128, 3)])


def test_all_viewers_see_the_same_result_and_at_most_five_a_second():
    now_s, monitor = [0.0], Monitor()
    source = Pictures(monitor, clock=lambda: now_s[0])
    assert source.shown("a") is None
    seen = []
    for n in range(100):  # 100 frames/s for a second, two viewers
        now_s[0] = n / 100
        monitor.done(make_result(index=n))
        first, second = source.shown("a"), source.shown("a")
        assert first is second
        seen.append(first.number)
    assert len(set(seen)) == 5 and seen[0] == 1
    now_s[0] += INTERVAL_S
    assert source.shown("a").number == 100  # then the newest


def test_pictures_take_a_limited_share_of_the_time():
    now_s, monitor = [0.0], Monitor()
    source = Pictures(monitor, clock=lambda: now_s[0])
    monitor.done(make_result(size_wh=(1920, 1080)))
    first = source.shown("a")
    first.cost_s = 0.1  # a picture takes 100 ms of a core: at most 2.5 a second
    monitor.done(make_result(index=1))
    now_s[0] = 0.39
    assert source.shown("a") is first
    now_s[0] = 0.41
    assert source.shown("a").number == 2
    start = time.thread_time()
    first.view(960)
    assert 0 < first.cost_s - 0.1 <= time.thread_time() - start


def test_nothing_is_encoded_while_nobody_looks(monkeypatch):
    monkeypatch.setattr(pictures, "jpeg", lambda *arguments: pytest.fail("encoded"))
    monitor = Monitor()
    Pictures(monitor)
    for n in range(20):
        monitor.done(make_result(index=n, faces=[make_face(1)]))
    assert monitor.newest("a")[0] == 20 and "frame" not in vars(monitor.newest("a")[1])

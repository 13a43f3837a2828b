"""Tracks: stable ids for faces that move, hide, cross and leave."""

import numpy as np
import pytest
from facesr_edge.engines.bundle.io_spec import CROP_SIZES
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.live.tracks.tracker import MAX_LOST_S, TrackerOptions, TrackerState, predict, track_next

WH = (640, 360)


def faces(*rows):
    """Rows of center x, y, side and score."""
    boxes = np.array([(x - s / 2, y - s / 2, x + s / 2, y + s / 2) for x, y, s, _ in rows], np.float32).reshape(-1, 4)
    points = np.array([[(x, y)] * 5 for x, y, _, _ in rows], np.float32).reshape(-1, 5, 2)
    return Detections(boxes, np.array([row[3] for row in rows], np.float32), points)


def follow(frames, times=None, state=None, options=None):
    """States after each frame; None stands for a frame without detection."""
    states, state = [], state or TrackerState()
    for index, detections in enumerate(frames):
        time_s = times[index] if times is not None else index / 25
        if detections is None:
            state = predict(state, time_s, WH, CROP_SIZES)
        else:
            state = track_next(state, detections, time_s, WH, CROP_SIZES, options or TrackerOptions())
        states.append(state)
    return states


def ids(states):
    return [tuple(track.id for track in state.tracks) for state in states]


def test_a_face_keeps_its_id_and_new_faces_count_up():
    still = (100, 100, 30, 0.9)
    states = follow([faces(still), faces(still, (300, 100, 30, 0.9)), faces((300, 100, 30, 0.9), still)])
    assert ids(states) == [(1,), (1, 2), (1, 2)]
    assert states[2].tracks[1].box_xyxy.tolist() == [285, 85, 315, 115]
    assert [track.frames for track in states[2].tracks] == [3, 2]


def test_weak_faces_become_tracks_at_their_second_detection_in_a_row():
    weak, none = faces((100, 100, 30, 0.55)), faces()
    assert ids(follow([weak, weak, weak])) == [(), (1,), (1,)]
    assert ids(follow([weak, none, weak, none])) == [()] * 4
    assert ids(follow([weak, None, weak])) == [(), (), (1,)]
    assert not any(state.ended for state in follow([weak, none, weak, none]))


def test_detections_below_the_score_continue_tracks_but_start_none():
    strong, faint = faces((100, 100, 30, 0.9)), faces((100, 100, 30, 0.3))
    assert ids(follow([strong, *[faint] * 20])) == [(1,)] * 21
    assert ids(follow([faint] * 5)) == [()] * 5


def test_a_face_that_is_not_found_is_shown_for_five_frames_where_it_is_expected():
    walk = [faces((100 + 4 * n, 100, 30, 0.9)) for n in range(10)]
    found = follow([*walk, *[faces()] * 5, faces((100 + 4 * 15, 100, 30, 0.9))])
    assert ids(found) == [(1,)] * 16 and not any(state.ended for state in found)
    lost = found[12].tracks[0]
    assert not lost.detected and lost.frames_missed == 3
    assert lost.box_xyxy[0] == pytest.approx(85 + 4 * 12, abs=0.5)
    assert lost.landmarks[0, 0] == pytest.approx(100 + 4 * 12, abs=0.5)


def test_a_face_hidden_for_less_than_a_second_comes_back_with_its_id():
    walk = [faces((100 + 2 * n, 100, 30, 0.9)) for n in range(10)]
    states = follow([*walk, *[faces()] * 20, faces((100 + 2 * 30, 100, 30, 0.9))])
    assert ids(states) == [(1,)] * 15 + [()] * 15 + [(1,)]
    assert [len(state.hidden) for state in states[14:17]] == [0, 1, 1]
    assert not any(state.ended for state in states) and states[-1].tracks[0].frames == 11


@pytest.mark.parametrize(("none", "last"), [(faces(), 35), (None, 40)], ids=["searched", "predicted"])
def test_a_lost_track_ends_once_in_the_first_search_after_a_second(none, last):
    still = [faces((100, 100, 30, 0.9))] * 10
    ended = [state.ended for state in follow([*still, *[faces()] * 10, *[none] * 20, *[faces()] * 20])]
    assert ended.count((1,)) == 1 and set(ended) == {(), (1,)}
    assert ended.index((1,)) == last


@pytest.mark.parametrize(("speed", "fps"), [(0, 2), (0, 25), (4, 5), (4, 10), (9, 10), (9, 25), (20, 25), (20, 50)])
def test_a_small_face_is_followed_at_any_frame_rate_and_irregular_times(speed, fps):
    """Speeds in sides per second; frames come up to twice as late, and one in five is lost."""
    rng = np.random.default_rng(fps)
    times = np.cumsum(rng.uniform(0.5, 2.0, 60) / fps)
    times = times[times < 560 / (16 * max(speed, 1))]
    frames = [
        faces((30 + 16 * speed * t, 100 + rng.normal(0, 0.6), 16, 0.9)) if rng.random() > 0.2 or n < 1 else faces()
        for n, t in enumerate(times)
    ]
    states = follow(frames, times)
    assert set(ids(states)) == {(1,)}
    assert states[-1].tracks[0].velocity_xy[0] == pytest.approx(16 * speed, abs=16)


def test_predicted_frames_move_the_face_and_count_no_miss():
    walk = [faces((100 + 8 * n, 100, 30, 0.9)) for n in range(8)]
    states = follow([*walk, *[None] * 8, faces((100 + 8 * 16, 100, 30, 0.9))])
    assert set(ids(states)) == {(1,)}
    predicted = states[14].tracks[0]
    assert not predicted.detected and predicted.frames_missed == 0 and predicted.frames == 8
    assert predicted.box_xyxy[0] == pytest.approx(85 + 8 * 14, abs=2)
    assert predicted.last_s == states[7].time_s


def test_faces_that_cross_keep_their_ids():
    frames = [faces((100 + 10 * n, 100, 24, 0.9), (300 - 10 * n, 112, 24, 0.9)) for n in range(20)]
    last = follow(frames)[-1].tracks
    assert [track.id for track in last] == [1, 2]
    assert last[0].box_xyxy[0] > 250 and last[1].box_xyxy[0] < 150


def test_a_face_that_walks_out_of_the_frame_ends_at_once():
    states = follow([*[faces((560 + 12 * n, 100, 30, 0.9)) for n in range(6)], *[faces()] * 4])
    assert [state.ended for state in states].index((1,)) <= 8


@pytest.mark.parametrize("step", ["track", "predict"])
def test_tracks_end_after_an_outage_and_with_another_frame_size(step):
    before = follow([faces((100, 100, 30, 0.9))])[-1]

    def after(time_s, frame_wh):
        if step == "predict":
            return predict(before, time_s, frame_wh, CROP_SIZES)
        return track_next(before, faces((100, 100, 30, 0.9)), time_s, frame_wh, CROP_SIZES)

    assert after(MAX_LOST_S - 0.1, WH).ended == ()
    for state in (after(MAX_LOST_S + 0.1, WH), after(0.1, (320, 180))):
        assert state.ended == (1,) and 1 not in [track.id for track in state.tracks]


@pytest.mark.parametrize("times", [[0.0] * 6, [5.0, 5.04, 5.08, 0.0, 0.04, 0.08]])
def test_frames_without_times_and_times_that_jump_back_are_followed(times):
    states = follow([faces((100 + 3 * n, 100, 30, 0.9)) for n in range(6)], times)
    assert set(ids(states)) == {(1,)}
    assert np.isfinite(states[-1].tracks[0].velocity_xy).all()


def test_a_window_of_a_track_is_stable_and_none_for_a_face_too_large():
    states = follow([faces((100 + n % 2, 100, 20, 0.9), (300, 180, 150, 0.9)) for n in range(10)])
    assert len({state.tracks[0].window for state in states}) == 1
    assert states[0].tracks[1].window is None


def test_the_state_stays_bounded_over_many_faces():
    rng = np.random.default_rng(4)
    state = TrackerState()
    for n in range(300):
        crowd = faces(*[(*rng.uniform((0, 0), WH), 20, rng.uniform(0.3, 1)) for _ in range(10)])
        state = follow([crowd], [n / 10], state)[-1]
        assert len(state.tracks) + len(state.candidates) <= 10 * 7

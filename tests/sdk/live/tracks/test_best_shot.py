"""The best face of each track, given back once when the track ends."""

import json

import numpy as np
import pytest
from facesr_edge.sdk.live.tracks.best_shot import BestShots
from support.live_results import live_face, live_result


def test_the_best_face_of_a_track_comes_when_it_ends_once():
    shots = BestShots()
    for index, quality in enumerate((0.2, 0.8, 0.5)):
        assert shots.add(live_result(live_face(1, quality=quality), index=index)) == ()
    (shot,) = shots.add(live_result(ended=(1,), index=3))
    assert (shot.index, shot.face.usability.score, shot.frames, shot.ended) == (1, 0.8, 3, True)
    assert (shot.first_s, shot.time_s, shot.last_s) == pytest.approx((0, 0.1, 0.2))
    assert shots.add(live_result(ended=(1,), index=4)) == () and len(shots) == 0


def test_tracks_of_several_cameras_with_equal_ids_are_kept_apart():
    shots = BestShots()
    shots.add(live_result(live_face(1, quality=0.3), camera="door"))
    shots.add(live_result(live_face(1, quality=0.6), camera="yard"))
    (shot,) = shots.add(live_result(camera="door", ended=(1,), index=1))
    assert (shot.camera, shot.face.usability.score) == ("door", 0.3)
    assert [one.camera for one in shots.current()] == ["yard"]


def test_predicted_faces_and_damaged_frames_do_not_count():
    shots = BestShots()
    shots.add(live_result(live_face(1, quality=0.9, detected=False)))
    shots.add(live_result(live_face(1, quality=0.9), index=1, damaged=True))
    assert shots.add(live_result(index=2, ended=(1,))) == ()
    shots.add(live_result(live_face(2, quality=0.4), index=3))
    shots.add(live_result(live_face(2, quality=0.9, detected=False), index=4))
    (shot,) = shots.add(live_result(index=5, ended=(2,)))
    assert shot.index == 3


def test_a_face_of_the_network_is_preferred_to_a_slightly_better_one_without():
    shots = BestShots()
    shots.add(live_result(live_face(1, quality=0.5)))
    shots.add(live_result(live_face(1, quality=0.6, treatment="reused"), index=1))
    assert shots.current()[0].index == 0
    shots.add(live_result(live_face(1, quality=0.9, treatment="bicubic"), index=2))
    assert shots.current()[0].index == 2


def test_on_request_the_tracks_stay_open_and_closing_gives_the_rest():
    shots = BestShots()
    shots.add(live_result(live_face(1), live_face(2)))
    assert [shot.face.track_id for shot in shots.current()] == [1, 2]
    rest = shots.close()
    assert [(shot.face.track_id, shot.ended) for shot in rest] == [(1, False), (2, False)]
    assert shots.close() == () and len(shots) == 0


def test_with_too_many_tracks_the_one_not_seen_for_longest_is_given_back():
    shots = BestShots(max_tracks=2)
    shots.add(live_result(live_face(1)))
    shots.add(live_result(live_face(2), index=1))
    shots.add(live_result(live_face(1), index=2))
    (given,) = shots.add(live_result(live_face(3), index=3))
    assert (given.face.track_id, given.ended) == (2, False) and len(shots) == 2


def test_pixels_are_copied_out_of_a_batch():
    batch = np.full((32, 256, 256, 3), 7, np.uint8)
    shots = BestShots()
    shots.add(live_result(live_face(1, pixels=batch[3])))
    kept = shots.current()[0].face.pixels
    assert kept.base is None
    batch[:] = 0
    assert (kept == 7).all()


def test_it_is_json():
    shots = BestShots()
    shots.add(live_result(live_face(1), index=4))
    record = json.loads(json.dumps(shots.current()[0].to_dict()))
    assert record["camera"] == "door" and record["index"] == 4 and record["face"]["track_id"] == 1

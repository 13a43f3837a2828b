"""The best face of each track of a video, in bounded memory, and the count of what is left out."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from facesr_edge.calibration.data.faces import astronaut
from facesr_edge.sdk.evidence import video_faces
from facesr_edge.sdk.evidence.video_faces import VideoFaces
from facesr_edge.sdk.pipeline.results import Face
from support.evidence import face_at, result_of

SIDES = (32, 48, 64, 96, 128)
WINDOW = (100, 100, 132, 132)


def collected(*results, **options):
    faces = VideoFaces(SIDES, 0.5, **options)
    for result in results:
        faces.add(result)
    return faces.close()


def reasons(left_out):
    return {left.reason.split()[0]: left.count for left in left_out}


def test_each_track_has_its_best_face_with_the_view_of_its_frame():
    frames = [result_of(n, face_at(100 + 2 * n, 100, sharp=n == 3), face_at(400, 100, sharp=n == 5)) for n in range(8)]
    items, views, left_out = collected(*frames)
    assert [(item.track.id, item.frame.index, item.track.frames) for item in items] == [(1, 3, 8), (2, 5, 8)]
    assert [view.index for view in views] == [3, 5] and left_out == []
    assert [(item.track.first_s, item.track.last_s, item.track.ended) for item in items] == [(0.0, 0.7, False)] * 2
    assert all(item.face.original.base is None for item in items)


def moving(count, frames, start=0):
    """Frames with the sample face, which moves by half a pixel, enlarged as if made from several frames."""
    picture = astronaut()[20:244, 116:340]
    results = []
    for n in range(start, start + count):
        truth = picture[48 : 48 + 128, 20 + 2 * n : 20 + 2 * n + 128]
        crop = cv2.resize(truth, (32, 32), interpolation=cv2.INTER_AREA)
        face = Face(
            np.array([106, 106, 126, 126], np.float32), 0.9, np.full((5, 2), 116, np.float32), WINDOW, crop, truth, 40.0
        )
        results.append(result_of(n, replace(face, frames=frames)))
    return results


def enlarged(crops):
    return np.stack([cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC) for crop in crops])


def test_the_gain_of_several_frames_is_measured_on_the_frames_that_follow():
    items, _, _ = collected(*moving(6, frames=3), single=enlarged)
    assert [item.gain.frames for item in items] == [5] and items[0].gain.gain_db > 2
    assert items[0].to_dict()["gain_of_several_frames"]["frames"] == 5


def test_the_gain_is_not_measured_for_single_frames_gaps_or_without_a_network():
    for results, single in ((moving(4, 1), enlarged), (moving(4, 3)[::2], enlarged), (moving(4, 3), None)):
        items, _, _ = collected(*results, single=single)
        assert [item.gain for item in items] == [None]
        assert items[0].to_dict()["gain_of_several_frames"] is None


def test_a_long_track_is_measured_on_a_limited_number_of_frames(monkeypatch):
    monkeypatch.setattr(video_faces, "MAX_MEASURED", 2)
    items, _, _ = collected(*moving(6, frames=3), single=enlarged)
    assert items[0].gain.frames == 2


def test_a_face_in_a_damaged_frame_counts_less_but_is_not_lost():
    items, _, _ = collected(*(result_of(n, face_at(100, 100), damaged=n == 0) for n in range(3)))
    assert [item.frame.index for item in items] == [1]
    items, _, _ = collected(result_of(0, face_at(100, 100), damaged=True))
    assert [item.frame.damaged for item in items] == [True]


def test_of_many_tracks_the_best_stay_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(video_faces, "MAX_TRACKS", 3)
    frames = [
        result_of(100 * n, face_at(100, 100, sharp=n in (2, 5, 9)), face_at(20 + 60 * (n % 9), 260, 20, sharp=False))
        for n in range(10)
    ]  # 10 s apart: each is a track of its own
    items, views, left_out = collected(*frames)
    assert [item.frame.index for item in items] == [200, 500, 900] and len(views) == 3
    assert reasons(left_out) == {"tracks": 17}


def test_weak_detections_and_faces_that_are_too_large_are_counted():
    large = (100, 20, 400, 320)
    frames = [
        result_of(0, face_at(500, 100, score=0.55)),
        result_of(1),
        result_of(2, face_at(30, 30, score=0.55), large=[large]),
    ]
    items, _, left_out = collected(*frames)
    assert items == [] and reasons(left_out) == {"weak": 2, "faces": 1}
    confirmed = [result_of(n, face_at(500, 100, score=0.55)) for n in range(3)]
    items, _, left_out = collected(*confirmed)
    assert len(items) == 1 and left_out == []


def test_faces_of_pages_have_no_tracks():
    items, _, left_out = collected(*(result_of(n, face_at(100, 100, score=0.55)) for n in range(3)), tracked=False)
    assert [(item.frame.index, item.track) for item in items] == [(0, None), (1, None), (2, None)] and left_out == []

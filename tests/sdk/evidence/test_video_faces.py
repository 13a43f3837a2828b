"""The best face of each track of a video, in bounded memory, and the count of what is left out."""

from __future__ import annotations

import numpy as np
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.evidence import video_faces
from facesr_edge.sdk.evidence.video_faces import VideoFaces
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.results import Face, FrameResult
from support.evidence import noisy

SIDES = (32, 48, 64, 96, 128)


def face_at(x, y, side=40, score=0.9, sharp=True):
    box = np.array([x, y, x + side, y + side], np.float32)
    points = [(0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)]
    landmarks = np.array([(x + u * side, y + v * side) for u, v in points], np.float32)
    original = noisy(64) if sharp else np.full((64, 64, 3), 90, np.uint8)
    window = (int(x) - 12, int(y) - 12, int(x) + 52, int(y) + 52)
    return Face(box, score, landmarks, window, original, np.zeros((128, 128, 3), np.uint8), 40.0)


def result_of(index, *faces, large=(), damaged=False):
    frame = Frame(np.full((360, 640, 3), 90, np.uint8), index, index / 10, pts=index, damaged=damaged)
    boxes = np.array(large, np.float32).reshape(-1, 4)
    too_large = Detections(boxes, np.full(len(boxes), 0.9, np.float32), np.zeros((len(boxes), 5, 2), np.float32))
    return FrameResult(frame, None, faces, too_large)


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

"""Faces of consecutive frames are linked into tracks, and every break of a stream begins new ones."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
from facesr_edge.engines.postprocess import Detections
from facesr_edge.sdk.pipeline.chunks import CHUNK_FRAMES
from facesr_edge.sdk.pipeline.crop import crops_of, windows_for
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.stream_tracks import StreamTracks

SIDES = (32, 48, 64)
SIDE = 30
"""Of the faces, pixels."""


def scene(seed):
    """A background of (180, 320, 3), smooth and without faces."""
    pixels = np.random.default_rng(seed).integers(40, 200, (6, 10, 3)).astype(np.uint8)
    return cv2.resize(pixels, (320, 180), interpolation=cv2.INTER_CUBIC)


def detections(centers):
    boxes = np.array([[x - SIDE / 2, y - SIDE / 2, x + SIDE / 2, y + SIDE / 2] for x, y in centers], np.float32)
    landmarks = np.repeat(boxes.reshape(-1, 2, 2).mean(1)[:, None], 5, 1).astype(np.float32)
    return Detections(boxes.reshape(-1, 4), np.full(len(boxes), 0.9, np.float32), landmarks.reshape(-1, 5, 2))


@pytest.fixture(scope="module")
def show(put_face):
    """Give a frame with faces at x, y (top left) to the tracks; returns the tracked crop of each face."""

    def shown(tracks, places, index=0, time_s=0.0, seed=0, **settings):
        pixels = scene(seed)
        found = detections([put_face(pixels, x, y, SIDE) for x, y in places])
        frame = Frame(pixels, index, time_s, **settings)
        windows, _ = windows_for(found, pixels.shape, SIDES)
        crops = crops_of(pixels, windows)
        followed = tracks.follow(frame, found, crops)
        of_face = {}
        for batch, known in zip(crops, followed, strict=True):
            of_face |= dict(zip(batch.indices, known, strict=True))
        return [of_face[n] for n in range(len(places))]

    return shown


def of_history(face):
    """Crops that a face is made from, and the frames that they are said to be from."""
    return face.history.earlier, face.earlier_frames


def counts(show, tracks, frames):
    """Number of crops of the only face in each frame; `frames` are the settings of the frames."""
    return [show(tracks, [(100 + n, 60)], **settings)[0].history.frames for n, settings in enumerate(frames)]


def test_the_crops_of_a_moving_face_are_collected_up_to_the_maximum(show):
    tracks = StreamTracks(4, SIDES)
    faces = [show(tracks, [(60 + 3 * n, 40 + n)], n, n / 25)[0] for n in range(7)]
    kept = [face.history.newest for face in faces]
    assert [face.history.frames for face in faces] == [1, 2, 3, 4, 4, 4, 4]
    assert [face.earlier_frames for face in faces[:4]] == [(), (0,), (0, 1), (0, 1, 2)]
    for n, face in enumerate(faces[4:], 4):
        assert len(face.earlier_frames) == 3 and [*face.earlier_frames, n] == sorted({*face.earlier_frames, n})
        assert all(np.array_equal(old, kept[index]) for (old, _), index in zip(*of_history(face), strict=True))


def test_each_face_has_crops_of_its_own(show):
    tracks = StreamTracks(4, SIDES)
    for n in range(3):
        show(tracks, [(20 + 2 * n, 40), (200 - 2 * n, 70)], n, n / 25)
    first, second, third = show(tracks, [(194, 70), (100, 10), (26, 40)], 3, 3 / 25)
    assert [face.history.frames for face in (first, second, third)] == [4, 1, 4]
    assert first.history.origin_xy[0] > second.history.origin_xy[0] > third.history.origin_xy[0]


def test_a_face_that_is_not_detected_in_a_frame_keeps_its_crops(show):
    tracks = StreamTracks(7, SIDES)
    for n in range(3):
        show(tracks, [(60 + n, 40)], n, n / 25)
    show(tracks, [], 3, 3 / 25)
    (face,) = show(tracks, [(64, 40)], 4, 4 / 25)
    assert face.history.frames == 4 and face.earlier_frames == (0, 1, 2)


def test_frames_without_timestamps_follow_each_other(show):
    assert counts(show, StreamTracks(7, SIDES), [{"index": n} for n in range(4)]) == [1, 2, 3, 4]
    assert counts(show, StreamTracks(7, SIDES), [{}] * 3) == [1, 2, 3]


@pytest.mark.parametrize(
    "second",
    [
        pytest.param({"time_s": 0.01}, id="time goes back"),
        pytest.param({"time_s": 0.04}, id="time stands still"),
        pytest.param({"time_s": 9.0}, id="long gap"),
        pytest.param({"index": CHUNK_FRAMES, "time_s": 0.08}, id="chunk"),
        pytest.param({"time_s": 0.08, "name": "face.png"}, id="picture"),
    ],
)
def test_a_frame_that_does_not_follow_begins_new_tracks(show, second):
    frames = [{"index": 8}, {"index": 9, "time_s": 0.04}, {"index": 10, **second}]
    assert counts(show, StreamTracks(7, SIDES), frames) == [1, 2, 1]


def test_files_of_a_folder_do_not_follow_each_other_and_count_their_frames_by_themselves(show):
    picture = {"index": 246, "name": "a.png"}
    animation = [
        {"index": 247 + n, "name": "b.png", "pts": 40 * n, "time_base": Fraction(1, 1000), "time_s": n / 25}
        for n in range(6)
    ]
    assert counts(show, StreamTracks(7, SIDES), [picture, *animation]) == [1, 1, 2, 3, 4, 5, 6]


def test_a_cut_begins_new_tracks_though_the_next_face_is_at_the_same_place(show):
    tracks = StreamTracks(7, SIDES)
    before = counts(show, tracks, [{"index": n, "time_s": n / 25} for n in range(4)])
    after = counts(show, tracks, [{"index": n, "time_s": n / 25, "seed": 7} for n in range(4, 7)])
    assert before == [1, 2, 3, 4] and after == [1, 2, 3]


def test_pictures_and_pages_do_not_follow_each_other(show):
    pictures = [{"index": n, "name": "one.png"} for n in range(3)]
    pages = [
        {"index": n, "time_s": float(n), "name": "pages.tif", "pts": 1000 * n, "time_base": Fraction(1, 1000)}
        for n in range(3)
    ]
    assert counts(show, StreamTracks(7, SIDES), pictures) == counts(show, StreamTracks(7, SIDES), pages) == [1, 1, 1]


def test_the_frames_of_an_animation_and_numbered_pictures_follow_each_other(show):
    def timed(name, n):
        return {"index": n, "time_s": n / 10, "name": name, "pts": n, "time_base": Fraction(1, 10)}

    one, other = ([timed(f"{name}.webp", n) for n in range(3)] for name in "ab")
    assert counts(show, StreamTracks(7, SIDES), [*one, *other]) == [1, 2, 3, 1, 2, 3]
    numbered = [timed(f"{n:05d}.tif", n) for n in range(3)]
    assert counts(show, StreamTracks(7, SIDES), numbered) == [1, 2, 3]


def test_a_face_that_shows_another_person_begins_a_new_history(show):
    tracks = StreamTracks(7, SIDES)
    for n in range(3):
        show(tracks, [(60, 40)], n, n / 25)
    pixels = scene(0)
    pixels[30:110, 40:150] = np.random.default_rng(1).integers(0, 255, (80, 110, 3))
    found = detections([(60 + 1.28 * SIDE, 40 + 1.2 * SIDE)])
    windows, _ = windows_for(found, pixels.shape, SIDES)
    ((face,),) = tracks.follow(Frame(pixels, 3, 3 / 25), found, crops_of(pixels, windows))
    assert face.history.frames == 1 and face.earlier_frames == ()

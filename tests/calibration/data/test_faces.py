"""Faces from a folder, and the small pictures that the papers make of them."""

import weakref

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import PICTURE_SUFFIXES, low_resolution, read_faces, sample_faces, subsample
from facesr_edge.engines.errors import InputError
from PIL import Image


@pytest.fixture
def face():
    return sample_faces()[0]


def test_pictures_are_read_in_the_order_of_their_names(tmp_path, face):
    for name, level in (("b.png", 20), ("a.PNG", 10), ("c.bmp", 30)):
        ok, data = cv2.imencode(name[1:].lower(), np.full((16, 24, 3), level, np.uint8))
        (tmp_path / name).write_bytes(data.tobytes() if ok else b"")
    (tmp_path / "labels.json").write_text("{}")
    faces = read_faces(tmp_path)
    assert [int(f[0, 0, 0]) for f in faces] == [10, 20, 30]
    assert all(f.shape == (16, 24, 3) and f.dtype == np.uint8 for f in faces)


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES))
def test_every_kind_of_picture_is_read(tmp_path, face, suffix):
    assert cv2.imwrite(str(tmp_path / f"face{suffix}"), face)
    (read,) = read_faces(tmp_path)
    assert read.shape == face.shape and np.abs(read.astype(int) - face).mean() < 6


def test_grey_and_transparent_pictures_become_colour(tmp_path, face):
    cv2.imwrite(str(tmp_path / "a.png"), face[..., 0])
    cv2.imwrite(str(tmp_path / "b.png"), np.dstack([face, np.zeros((128, 128), np.uint8)]))
    grey, clear = read_faces(tmp_path)
    assert (grey == face[..., :1]).all() and (clear == face).all()


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(InputError, match="nowhere is not a folder; give one that holds pictures of faces"):
        read_faces(tmp_path / "nowhere")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "face.png").write_bytes(b"")
    with pytest.raises(InputError, match="is not a folder"):
        read_faces(tmp_path / "face.png")


@pytest.mark.parametrize("stranger", [None, "notes.txt", "face.gif"])
def test_a_folder_without_a_picture_is_told(tmp_path, stranger):
    if stranger:
        (tmp_path / stranger).write_text("text")
    with pytest.raises(InputError, match=r"no picture in .*; expected \.bmp, \.jpeg"):
        read_faces(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_a_broken_picture_is_told_by_its_name(tmp_path, face, content):
    cv2.imwrite(str(tmp_path / "a.png"), face)
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.png is not a readable picture; remove it or replace it"):
        read_faces(tmp_path)


def test_a_folder_named_like_a_picture_is_told(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match=r"a\.png is not a readable picture"):
        read_faces(tmp_path)


@pytest.mark.parametrize(("least", "enough"), [(127, True), (128, True), (129, False)])
def test_a_picture_that_is_too_small_is_told_with_both_sizes(tmp_path, face, least, enough):
    cv2.imwrite(str(tmp_path / "a.png"), np.hstack([face, face]))
    if enough:
        assert len(read_faces(tmp_path, least)) == 1
    else:
        with pytest.raises(InputError, match=r"a\.png is 256x128 px, at least 129x129 is needed"):
            read_faces(tmp_path, least)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_faces_are_shrunk_as_pillow_shrinks_them(face, scale):
    side = 128 // scale * scale
    small = low_resolution(face[None, :side, :side], scale)
    assert small.shape == (1, side // scale, side // scale, 3) and small.dtype == np.uint8
    size = (side // scale, side // scale)
    channels = [Image.fromarray(face[:side, :side, c].astype(np.float32), "F") for c in range(3)]
    pillow = np.stack([np.asarray(c.resize(size, Image.Resampling.BICUBIC)) for c in channels], -1)
    assert np.abs(small[0] - np.clip(pillow, 0, 255)).max() <= 0.5 + 1e-2


def test_overshoot_is_clipped_and_does_not_wrap():
    stripes = np.zeros((1, 32, 32, 3), np.uint8)
    stripes[:, :, 13:] = 255
    row = low_resolution(stripes, 4)[0, 0, :, 0]
    assert row[0] == 0 and row[-1] == 255 and (np.diff(row.astype(int)) >= 0).all()


def test_the_sample_faces_are_different_views_of_the_right_size():
    faces = sample_faces()
    assert len(faces) == 8 and all(f.shape == (128, 128, 3) and f.dtype == np.uint8 for f in faces)
    assert all(f.flags.c_contiguous for f in faces)
    assert len({f.tobytes() for f in faces}) == 8 and (faces[1] == faces[0][:, ::-1]).all()


@pytest.mark.parametrize(("given", "most"), [(0, 4), (1, 4), (4, 4), (5, 4), (8, 4), (1000, 7), (3, 1)])
def test_some_of_many_are_taken_in_even_steps(given, most):
    taken = [int(picture[0]) for picture in subsample((np.array([n]) for n in range(given)), most)]
    assert len(taken) == min(given, most) and taken == sorted(set(taken))
    assert given < most or taken[0] == 0
    steps = np.diff([*taken, given])
    assert given <= most or steps.max() <= 2 * given / most


def test_a_video_is_never_held_whole():
    made = weakref.WeakSet()

    class Picture:
        """Something that can be seen to be let go of."""

    def frames():
        for _ in range(500):
            made.add(picture := Picture())
            yield picture
            del picture
            assert len(made) <= 2 * 8

    assert len(subsample(frames(), 8)) == 8

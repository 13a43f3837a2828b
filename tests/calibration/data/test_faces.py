"""Face crops: reading, downscaling, subsampling, and the sample faces."""

import weakref

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import IMAGE_SUFFIXES, low_resolution, read_faces, sample_faces, subsample
from facesr_edge.engines.errors import InputError
from PIL import Image


@pytest.fixture
def face():
    return sample_faces()[0]


def test_images_are_sorted_by_name(tmp_path):
    for name, level in (("b.png", 20), ("a.PNG", 10), ("c.bmp", 30)):
        ok, data = cv2.imencode(name[1:].lower(), np.full((16, 24, 3), level, np.uint8))
        (tmp_path / name).write_bytes(data.tobytes() if ok else b"")
    (tmp_path / "labels.json").write_text("{}")
    faces = read_faces(tmp_path)
    assert [int(f[0, 0, 0]) for f in faces] == [10, 20, 30]
    assert all(f.shape == (16, 24, 3) and f.dtype == np.uint8 for f in faces)


@pytest.mark.parametrize("suffix", sorted(IMAGE_SUFFIXES))
def test_every_image_format_is_read(tmp_path, face, suffix):
    assert cv2.imwrite(str(tmp_path / f"face{suffix}"), face)
    (read,) = read_faces(tmp_path)
    assert read.shape == face.shape and np.abs(read.astype(int) - face).mean() < 6


def test_gray_and_transparent_images_become_bgr(tmp_path, face):
    cv2.imwrite(str(tmp_path / "a.png"), face[..., 0])
    cv2.imwrite(str(tmp_path / "b.png"), np.dstack([face, np.zeros((128, 128), np.uint8)]))
    gray, transparent = read_faces(tmp_path)
    assert (gray == face[..., :1]).all() and (transparent == face).all()


def test_path_that_is_no_folder_raises(tmp_path):
    (tmp_path / "face.png").write_bytes(b"")
    for name in ("nowhere", "face.png"):
        with pytest.raises(InputError, match=f"{name} is not a folder; give a folder of face images"):
            read_faces(tmp_path / name)


@pytest.mark.parametrize("other_file", [None, "notes.txt", "face.gif"])
def test_folder_without_images_raises(tmp_path, other_file):
    if other_file:
        (tmp_path / other_file).write_text("text")
    with pytest.raises(InputError, match=r"no image in .*; expected \.bmp, \.jpeg"):
        read_faces(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n"])
def test_unreadable_image_raises_with_its_name(tmp_path, face, content):
    cv2.imwrite(str(tmp_path / "a.png"), face)
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(InputError, match=r"b\.png is not a readable image; remove or replace it"):
        read_faces(tmp_path)


def test_folder_with_image_suffix_raises(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(InputError, match=r"a\.png is not a readable image"):
        read_faces(tmp_path)


@pytest.mark.parametrize(("min_side", "accepted"), [(127, True), (128, True), (129, False)])
def test_image_below_minimum_side_raises_with_both_sizes(tmp_path, face, min_side, accepted):
    cv2.imwrite(str(tmp_path / "a.png"), np.hstack([face, face]))
    if accepted:
        assert len(read_faces(tmp_path, min_side)) == 1
    else:
        with pytest.raises(InputError, match=r"a\.png is 256x128 px, at least 129x129 is needed"):
            read_faces(tmp_path, min_side)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downscaling_agrees_with_pillow(face, scale):
    side = 128 // scale * scale
    lr = low_resolution(face[None, :side, :side], scale)
    assert lr.shape == (1, side // scale, side // scale, 3) and lr.dtype == np.uint8
    size = (side // scale, side // scale)
    channels = [Image.fromarray(face[:side, :side, c].astype(np.float32), "F") for c in range(3)]
    pillow = np.stack([np.asarray(c.resize(size, Image.Resampling.BICUBIC)) for c in channels], -1)
    assert np.abs(lr[0] - np.clip(pillow, 0, 255)).max() <= 0.5 + 1e-2


def test_downscaling_clips_overshoot():
    stripes = np.zeros((1, 32, 32, 3), np.uint8)
    stripes[:, :, 13:] = 255
    row = low_resolution(stripes, 4)[0, 0, :, 0]
    assert row[0] == 0 and row[-1] == 255 and (np.diff(row.astype(int)) >= 0).all()


def test_sample_faces_are_eight_different_views():
    faces = sample_faces()
    assert len(faces) == 8 and all(f.shape == (128, 128, 3) and f.dtype == np.uint8 for f in faces)
    assert all(f.flags.c_contiguous for f in faces)
    assert len({f.tobytes() for f in faces}) == 8 and (faces[1] == faces[0][:, ::-1]).all()


@pytest.mark.parametrize(("length", "max_count"), [(0, 4), (1, 4), (4, 4), (5, 4), (8, 4), (1000, 7), (3, 1)])
def test_subsample_is_evenly_spaced(length, max_count):
    chosen = [int(image[0]) for image in subsample((np.array([n]) for n in range(length)), max_count)]
    assert len(chosen) == min(length, max_count) and chosen == sorted(set(chosen))
    assert length < max_count or chosen[0] == 0
    steps = np.diff([*chosen, length])
    assert length <= max_count or steps.max() <= 2 * length / max_count


def test_subsample_holds_at_most_twice_the_count():
    alive = weakref.WeakSet()

    class Image:
        """Object whose lifetime can be observed."""

    def frames():
        for _ in range(500):
            alive.add(image := Image())
            yield image
            del image
            assert len(alive) <= 2 * 8

    assert len(subsample(frames(), 8)) == 8

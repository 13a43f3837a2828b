"""What verification says of pictures that a valid signer replaced, of transparent ones and of other names."""

import io
import shutil

import cv2
import numpy as np
import pytest
from facesr_edge import UsageError
from facesr_edge.sdk.provenance.c2pa_library import Ingredient, read, sign
from facesr_edge.sdk.provenance.credentials import load_credentials
from facesr_edge.sdk.provenance.face_records import LABEL
from support.verification import checks


@pytest.fixture(scope="module")
def signed_jpeg(tmp_path_factory, write, originals, identity):
    """A signed JPEG, not to be changed."""
    path = tmp_path_factory.mktemp("signed") / "out.jpg"
    write(originals("face.png"), path, identity("Lab"))
    return path


@pytest.fixture(scope="module")
def signed_png(tmp_path_factory, write, originals, identity):
    """A signed PNG, not to be changed."""
    path = tmp_path_factory.mktemp("signed") / "out.png"
    write(originals("face.png"), path, identity("Lab"))
    return path


@pytest.fixture
def forged(tmp_path, signed_jpeg, originals, identity):
    """Function: pixels -> JPEG with the assertion of the signed one, signed by the same signer."""

    def make(change):
        one = identity("Lab")
        with signed_jpeg.open("rb") as stream:
            assertion = read(stream, "image/jpeg", "x").assertions[LABEL]
        data = cv2.imencode(".jpg", change(cv2.imread(str(signed_jpeg))))[1].tobytes()
        manifest = {
            "claim_generator_info": [{"name": "facesr-edge", "version": "0"}],
            "title": "x.jpg",
            "assertions": [{"label": LABEL, "data": assertion}],
        }
        path = tmp_path / "x.jpg"
        with path.open("x+b") as target:
            credentials = load_credentials(one.cert, one.key)
            original = Ingredient(originals("face.png"), "image/png")
            sign(credentials, "image/jpeg", io.BytesIO(data), target, manifest, original)
        return path

    return make


def test_another_picture_in_a_lossy_format_is_wrong(forged, originals):
    ok, found = checks(forged(lambda pixels: 255 - pixels), original=originals("face.png"))
    assert not ok
    assert "another picture than the recomputed one" in found["file", "wrong"]


def test_another_face_in_a_lossy_format_is_wrong(forged, originals):
    def change(pixels):
        pixels[40:70, 80:100] = 0
        return pixels

    ok, found = checks(forged(change), original=originals("face.png"))
    assert not ok
    assert "lowest of a face" in found["file", "wrong"]


def test_a_lossy_picture_of_low_quality_is_not_called_another_one(tmp_path, write, originals, identity):
    write(originals("face.png"), tmp_path / "out.jpg", identity("Lab"), quality=5)
    ok, found = checks(tmp_path / "out.jpg", original=originals("face.png"))
    assert ok
    assert "too low to tell losses of encoding from changes" in found["file", "unchecked"]


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
def test_a_transparent_picture_is_right(tmp_path, write, face_frame, identity, suffix):
    alpha = np.full(face_frame.shape[:2], 255, np.uint8)
    alpha[:, :20], alpha[80:, 100:] = 0, 128
    noise = np.random.default_rng(1).integers(0, 255, face_frame.shape, np.uint8)
    pixels = np.where(alpha[:, :, None] == 0, noise, face_frame)
    cv2.imwrite(str(tmp_path / "in.png"), np.dstack((pixels, alpha)))
    write(tmp_path / "in.png", tmp_path / f"out{suffix}", identity("Lab"))
    ok, found = checks(tmp_path / f"out{suffix}", original=tmp_path / "in.png")
    assert ok
    assert ("composite", "right") in found
    assert ("file", "note" if suffix == ".jpg" else "right") in found


def test_a_copy_with_another_name_is_verified(tmp_path, signed_png, originals):
    for name in ("noext", "x.jpg"):
        shutil.copy(signed_png, tmp_path / name)
        ok, found = checks(tmp_path / name, original=originals("face.png"))
        assert ok
        assert ("file", "right") in found
        assert "compositeWithTrainedAlgorithmicMedia" in found["mark", "note"]


def test_a_file_of_no_known_format_is_not_called_unsigned(tmp_path):
    (tmp_path / "x.png").write_bytes(b"text")
    ok, found = checks(tmp_path / "x.png")
    assert not ok
    assert "its format is not known" in found["signature", "unchecked"]


def test_the_signer_of_a_changed_file_is_not_established(tmp_path, signed_png, identity):
    data = bytearray(signed_png.read_bytes())
    data[data.find(b"IDAT") + 200] ^= 1
    (tmp_path / "x.png").write_bytes(data)
    for trusted in (None, identity("Lab").ca):
        ok, found = checks(tmp_path / "x.png", trusted=trusted)
        assert not ok
        assert "is not established" in found["signer", "unchecked"]


def test_damaged_certificates_and_those_of_no_issuer_are_refused(tmp_path, signed_png, identity):
    one = identity("Lab")
    (tmp_path / "bad.pem").write_bytes(one.ca.read_bytes().replace(b"M", b"N", 5))
    with pytest.raises(UsageError, match="no PEM certificate"):
        checks(signed_png, trusted=tmp_path / "bad.pem")
    with pytest.raises(UsageError, match="issues no certificates"):
        checks(signed_png, trusted=one.cert)

"""`facesr-edge verify`: what is right, tampered, swapped or signed by others, each said in its line."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from facesr_edge.sdk.provenance.c2pa_library import Ingredient, sign
from facesr_edge.sdk.provenance.credentials import load_credentials
from facesr_edge.sdk.provenance.face_records import LABEL, FacesAssertion
from facesr_edge.sdk.provenance.seal import Seal, original_of
from support.verification import checks

OUTPUTS = [("face.png", "out.png"), ("face.png", "out.jpg"), ("clip.mp4", "out.mp4"), ("pages.tif", "out.tif")]


@pytest.fixture(scope="module")
def signed(tmp_path_factory, write, originals, identity):
    """Function: original, output -> signed file, not to be changed."""
    folder = tmp_path_factory.mktemp("signed")

    def make(original="face.png", output="out.png"):
        path = folder / output
        if not path.exists():
            write(originals(original), path, identity("Lab"))
        return path

    return make


def assertion_of(file):
    from facesr_edge.sdk.provenance.c2pa_library import read
    from facesr_edge.sdk.provenance.signable import media_type

    with file.open("rb") as stream:
        return FacesAssertion.from_dict(read(stream, media_type(file.name), str(file)).assertions[LABEL])


def signed_with(path, assertion, identity, original):
    """A file signed by a valid signer who states something else."""
    credentials = load_credentials(identity.cert, identity.key)
    manifest = {
        "claim_generator_info": [{"name": "facesr-edge", "version": "0"}],
        "title": path.name,
        "assertions": [{"label": LABEL, "data": assertion}],
    }
    bare = cv2.imencode(".png", cv2.imread(str(path)))[1].tobytes()
    path.write_bytes(bare)
    target = path.with_suffix(".new")
    with path.open("rb") as source, target.open("x+b") as file:
        sign(credentials, "image/png", source, file, manifest, Ingredient(original, "image/png"))
    target.replace(path)


@pytest.mark.parametrize("original, output", OUTPUTS)
def test_an_output_is_right_with_its_original_and_authority(signed, originals, identity, original, output):
    ok, found = checks(signed(original, output), original=originals(original), trusted=identity("Lab").ca)
    assert ok
    assert {("signature", "right"), ("signer", "right"), ("original", "right"), ("faces", "right")} <= set(found)
    assert not [check for check, state in found if state == "wrong"]
    assert "equal bit for bit" in found["faces", "right"]
    if output == "out.png":
        assert found["file", "right"] == "its pixels are those of the recomputed picture, bit for bit"
    if output == "out.jpg":
        assert "PSNR" in found["file", "note"]


def test_without_original_and_authority_it_says_what_was_not_checked(signed):
    ok, found = checks(signed())
    assert ok
    assert "give --cert" in found["signer", "unchecked"]
    assert "give --original" in found["original", "unchecked"]


@pytest.mark.parametrize("original, output", OUTPUTS)
def test_a_changed_byte_of_the_pixels_is_reported(tmp_path, signed, originals, original, output):
    path = tmp_path / output
    data = bytearray(signed(original, output).read_bytes())
    at = {".png": data.find(b"IDAT") + 200, ".mp4": data.find(b"mdat") + 300}.get(path.suffix, len(data) // 8)
    data[at] ^= 1
    path.write_bytes(data)
    ok, found = checks(path, original=originals(original))
    assert not ok
    assert ("signature", "wrong") in found
    assert ("original", "right") not in found, "what a broken signature says is not compared"


def test_another_original_is_reported(tmp_path, signed, originals, identity):
    frame = cv2.imread(str(originals("face.png")))
    frame[0, 0] ^= 1
    cv2.imwrite(str(tmp_path / "swapped.png"), frame)
    ok, found = checks(signed(), original=tmp_path / "swapped.png", trusted=identity("Lab").ca)
    assert not ok
    assert "is another file than the signed face.png" in found["original", "wrong"]
    assert ("faces", "unchecked") in found


def test_a_signer_whom_the_certificates_do_not_vouch_for_is_reported(signed, identity):
    ok, found = checks(signed(), trusted=identity("Other").ca)
    assert not ok
    assert "Lab" in found["signer", "wrong"]


def test_faces_that_the_network_does_not_make_are_reported(tmp_path, signed, originals, identity):
    """A valid signature of a picture that somebody painted in."""
    path = tmp_path / "out.png"
    shutil.copy(signed(), path)
    assertion = assertion_of(path)
    (face,) = assertion.frame.faces
    forged = replace(face, pixels_sha256="0" * 64)
    pixels = cv2.imread(str(path))
    pixels[50, 60] = 0
    cv2.imwrite(str(path), pixels)
    signed_with(
        path,
        replace(assertion, frame=replace(assertion.frame, faces=(forged,))).to_dict(),
        identity("Lab"),
        originals("face.png"),
    )
    ok, found = checks(path, original=originals("face.png"), trusted=identity("Lab").ca)
    assert not ok
    assert ("signature", "right") in found
    assert "the network's pixels are not those of the signature" in found["faces", "wrong"]
    assert "1 pixels differ" in found["file", "wrong"]


def test_another_engine_or_processor_is_not_called_tampering(tmp_path, signed, originals, identity):
    path = tmp_path / "out.png"
    shutil.copy(signed(), path)
    assertion = assertion_of(path)
    (face,) = assertion.frame.faces
    elsewhere = replace(
        assertion,
        settings={**assertion.settings, "processor": "another one"},
        frame=replace(assertion.frame, composite_sha256="0" * 64, faces=(replace(face, pixels_sha256="0" * 64),)),
    )
    pixels = cv2.imread(str(path))
    y, x = (2 * (face.window_xyxy[1] + 10), 2 * (face.window_xyxy[0] + 10))
    pixels[y, x] ^= 1
    cv2.imwrite(str(path), pixels)
    signed_with(path, elsewhere.to_dict(), identity("Lab"), originals("face.png"))
    ok, found = checks(path, original=originals("face.png"))
    assert ok
    assert "engines may round differently: signed on another one" in found["faces", "unchecked"]
    assert not [check for check, state in found if state == "wrong"]
    assert any("1 pixels differ from the recomputed picture, by up to 1 of 255" in text for text in found.values())


def test_a_network_that_is_not_here_is_not_recomputed(tmp_path, signed, originals, identity):
    path = tmp_path / "out.png"
    shutil.copy(signed(), path)
    assertion = assertion_of(path)
    for network in (
        replace(assertion.network, fingerprint="0123"),
        replace(assertion.network, name="unknown-x4"),
        replace(assertion.network, detector="detector 0123"),
    ):
        shutil.copy(signed(), path)
        signed_with(path, replace(assertion, network=network).to_dict(), identity("Lab"), originals("face.png"))
        ok, found = checks(path, original=originals("face.png"))
        assert ok
        assert "not recomputed" in found["faces", "unchecked"]
        assert ("faces", "right") not in found


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: {},
        lambda data: {**data, "format": 99},
        lambda data: {**data, "chunks": [{"first": "x"}]},
        lambda data: {**data, "original": {"name": 1}},
        lambda data: {**data, "settings": {}},
        lambda data: {**data, "settings": {**data["settings"], "outscale": 99}},
        lambda data: {**data, "frame": {**data["frame"], "index": 10**9}},
        lambda data: {
            **data,
            "frame": {
                **data["frame"],
                "faces": [
                    {
                        **data["frame"]["faces"][0],
                        "window_xyxy": {"left": 0, "top": 0, "right": 10**9, "bottom": 10**9},
                    }
                ],
            },
        },
    ],
)
def test_a_signature_of_another_form_is_reported_and_never_fails(tmp_path, signed, originals, identity, damage):
    path = tmp_path / "out.png"
    shutil.copy(signed(), path)
    signed_with(path, damage(assertion_of(path).to_dict()), identity("Lab"), originals("face.png"))
    ok, found = checks(path, original=originals("face.png"))
    assert ("signature", "right") in found
    assert not ok or ("faces", "unchecked") in found


def test_a_file_that_is_not_signed_says_so_and_names_its_term(tmp_path, write, originals):
    for original, output in (("face.png", "out.png"), ("clip.mp4", "out.mkv"), ("face.png", "out.bmp")):
        write(originals(original), tmp_path / output)
        ok, found = checks(tmp_path / output)
        assert not ok
        assert found["signature", "wrong"] == "the file is not signed"
        expected = "no digital source type" if output == "out.bmp" else "compositeWithTrainedAlgorithmicMedia"
        assert expected in found["mark", "note"]


def test_a_signature_of_other_software_says_nothing_about_faces(tmp_path, identity):
    one = identity("Lab")
    credentials = load_credentials(one.cert, one.key)
    cv2.imwrite(str(tmp_path / "bare.png"), np.zeros((8, 8, 3), np.uint8))
    manifest = {"claim_generator_info": [{"name": "Editor", "version": "1"}], "title": "x", "assertions": []}
    with (tmp_path / "bare.png").open("rb") as source, (tmp_path / "x.png").open("x+b") as target:
        sign(credentials, "image/png", source, target, manifest, None)
    ok, found = checks(tmp_path / "x.png")
    assert not ok
    assert "the signature of Editor/1" in found["faces", "wrong"]


def test_the_original_s_hash_is_that_of_its_bytes(originals):
    import hashlib

    path = originals("face.png")
    assert original_of(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_seal_without_faces_says_how_to_get_them(tmp_path, originals, identity):
    import facesr_edge

    one = identity("Lab")
    with facesr_edge.open_source(originals("face.png")) as source:
        seal = Seal(load_credentials(one.cert, one.key), source)
        with pytest.raises(facesr_edge.UsageError, match="from run"):
            seal.sign_bytes(b"", tmp_path / "x.png", "x.png")
    json.dumps(vars(original_of(originals("face.png"))))

"""Signed outputs: every format is read by C2PA's own reader, with the original, the network and the faces."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge import UsageError
from facesr_edge.sdk.provenance.credentials import load_credentials
from facesr_edge.sdk.provenance.face_records import LABEL, FacesAssertion, pixels_sha256
from facesr_edge.sdk.provenance.seal import original_of
from facesr_edge.sdk.provenance.signable import media_type
from facesr_edge.sdk.provenance.statement import DIGITAL_SOURCE_TYPE

KINDS = {
    "face.png": ["out.png", "out.jpg", "out.webp", "out.tif", "out.avif", "out.heic", "out.jxl"],
    "pages.tif": ["out.tif", "out.png", "out.webp", "out.mp4"],
    "clip.mp4": ["out.mp4", "out.mov", "out.m4v", "out.avi", "out.gif"],
}


def read(path, identity):
    """What C2PA's reader says with the authority as the only trusted one."""
    import c2pa.c2pa as library

    trust = {"trust_anchors": identity.ca.read_text()}
    settings = library.Settings.from_dict({"verify": {"verify_trust": True}, "trust": trust})
    with path.open("rb") as file:
        reader = library.Reader(media_type(path.name), file, context=library.Context(settings))
        return json.loads(reader.json())


def active(store):
    return store["manifests"][store["active_manifest"]]


def faces_of(store):
    (data,) = (found["data"] for found in active(store)["assertions"] if found["label"] == LABEL)
    return FacesAssertion.from_dict(data)


@pytest.mark.parametrize("original, output", [(one, name) for one, names in KINDS.items() for name in names])
def test_every_kind_of_output_is_signed_and_trusted(tmp_path, write, originals, identity, original, output):
    one = identity("Lab")
    write(originals(original), tmp_path / output, one)
    store = read(tmp_path / output, one)
    assert store["validation_state"] == "Trusted", store.get("validation_status")
    manifest = active(store)
    assert manifest["claim_generator_info"][0]["name"] == "facesr-edge"
    (parent,) = manifest["ingredients"]
    assert (parent["title"], parent["relationship"]) == (original, "parentOf")
    (actions,) = (found["data"]["actions"] for found in manifest["assertions"] if found["label"] == "c2pa.actions.v2")
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.resized", "c2pa.edited"]
    assert actions[-1]["digitalSourceType"] == DIGITAL_SOURCE_TYPE
    faces = faces_of(store)
    count = 1 if original == "face.png" else 3
    assert (faces.faces, faces.frames, faces.complete) == (count, count, True)
    assert faces.original == original_of(originals(original))
    assert [path.name for path in tmp_path.iterdir()] == [output], "no unsigned or temporary file may stay"


def test_the_signature_names_the_network_and_the_hashes_of_each_face(tmp_path, write, originals, identity, nano):
    one = identity("Lab")
    write(originals("face.png"), tmp_path / "out.png", one)
    faces = faces_of(read(tmp_path / "out.png", one))
    with facesr_edge.open_source(originals("face.png")) as source:
        result = nano(next(iter(source)))
    (record,), (face,) = faces.frame.faces, result.faces
    assert record.window_xyxy == face.window_xyxy
    assert record.original_sha256 == pixels_sha256(face.original)
    assert record.pixels_sha256 == pixels_sha256(face.pixels)
    assert record.consistency_db == pytest.approx(face.consistency_db, abs=0.01)
    assert faces.frame.composite_sha256 == pixels_sha256(result.frame)
    assert (faces.network.name, faces.network.fingerprint) == (nano.card.name, nano.card.fingerprint)
    assert faces.settings["outscale"] == 2


@pytest.mark.parametrize("kind, algorithm", [("p384", "es384"), ("rsa", "ps256"), ("ed25519", "ed25519")])
def test_the_algorithm_follows_from_the_key(identity, kind, algorithm):
    one = identity("Lab", kind)
    assert load_credentials(one.cert, one.key).algorithm == algorithm


def test_wrong_credentials_are_refused_before_any_work(tmp_path, identity):
    one, other = identity("Lab"), identity("Other")
    (tmp_path / "text").write_text("hello")
    expired, server = identity("Lab", days=-1), identity("Lab", usage="server")
    for cert, key, problem in (
        (one.cert, other.key, "is not the key of the first certificate"),
        (one.key, one.cert, "holds no PEM certificate"),
        (one.cert, tmp_path / "text", "holds no PEM private key"),
        (expired.cert, expired.key, "is valid from"),
        (server.cert, server.key, "does not sign"),
    ):
        with pytest.raises(UsageError, match=problem):
            load_credentials(cert, key)
    with pytest.raises(UsageError, match="time-stamp authority"):
        load_credentials(one.cert, one.key, "ftp://stamp")


def test_an_encrypted_key_is_refused_with_the_command_that_decrypts_it(tmp_path, identity):
    from cryptography.hazmat.primitives import serialization

    one = identity("Lab")
    key = serialization.load_pem_private_key(one.key.read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "key.pem").write_bytes(key.private_bytes(encoding, form, secret))
    with pytest.raises(UsageError, match="is encrypted; decrypt it: openssl pkey"):
        load_credentials(one.cert, tmp_path / "key.pem")


@pytest.mark.parametrize("output", ["out.mkv", "out.webm", "-"])
def test_a_video_that_cannot_be_signed_is_refused_before_any_work(tmp_path, write, originals, identity, output):
    with pytest.raises(UsageError, match="cannot be signed"):
        write(originals("clip.mp4"), output if output == "-" else tmp_path / output, identity("Lab"))
    assert not list(tmp_path.iterdir())


def test_an_unreachable_time_stamp_authority_leaves_no_picture(tmp_path, originals, identity, nano):
    one, dead = identity("Lab"), "http://127.0.0.1:9/"
    with pytest.raises(facesr_edge.OutputError, match=f"no time stamp from {dead}"):
        load_credentials(one.cert, one.key, dead)
    credentials = replace(load_credentials(one.cert, one.key), timestamp_url=dead)  # as if it failed later
    with facesr_edge.open_source(originals("face.png")) as source:
        sink = facesr_edge.open_sink(tmp_path / "out.png", source, outscale=2, sign=credentials)
        with pytest.raises(facesr_edge.OutputError, match=r"out.png cannot be signed"), sink:
            list(facesr_edge.run(nano, source, sink))
    assert not list(tmp_path.iterdir())


def test_a_folder_signs_every_picture_with_its_own_original(tmp_path, write, face_frame, identity):
    one, folder = identity("Lab"), tmp_path / "in"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), face_frame)
    cv2.imwrite(str(folder / "b.jpg"), np.full((40, 50, 3), 90, np.uint8))
    write(folder, tmp_path / "out", one)
    for name, count in (("a.png", 1), ("b.jpg", 0)):
        store = read(tmp_path / "out" / name, one)
        faces = faces_of(store)
        assert store["validation_state"] == "Trusted"
        assert (faces.faces, faces.frame.index) == (count, 0)
        assert faces.original == original_of(folder / name)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.jpg"]


def test_numbered_pictures_of_a_video_are_signed_with_their_frame(tmp_path, write, originals, identity):
    one = identity("Lab")
    write(originals("clip.mp4"), tmp_path / "%03d.jpg", one)
    for index in range(3):
        faces = faces_of(read(tmp_path / f"{index:03d}.jpg", one))
        assert (faces.frame.index, faces.original.name) == (index, "clip.mp4")


def test_a_picture_without_metadata_is_signed_in_every_format(tmp_path, write, identity):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((40, 50, 3), 90, np.uint8))
    one = identity("Lab")
    for suffix in (".png", ".jxl"):
        write(tmp_path / "wall.png", tmp_path / f"out{suffix}", one)
        assert read(tmp_path / f"out{suffix}", one)["validation_state"] == "Trusted"


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_the_documented_commands_make_a_certificate_that_signs(tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "provenance.md").read_text("utf-8")
    (commands,) = [block for block in page.split("```") if block.lstrip().startswith("openssl req -x509")]
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, check=True, capture_output=True)
    credentials = load_credentials(tmp_path / "cert.pem", tmp_path / "key.pem")
    assert (credentials.algorithm, credentials.subject) == ("es256", "CN=Evidence desk,O=My Lab")

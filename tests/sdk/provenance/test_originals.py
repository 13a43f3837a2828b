"""What a signature says of originals that C2PA cannot read, that changed, or whose own signature is not valid."""

import io
import os
import shutil

import facesr_edge
import pytest
from facesr_edge.sdk.media.images.embed import png_chunk
from facesr_edge.sdk.provenance import c2pa_library
from facesr_edge.sdk.provenance.credentials import load_credentials
from support.verification import checks


def test_a_file_with_another_suffix_is_signed_as_what_it_is(tmp_path, write, originals, identity):
    shutil.copy(originals("face.png"), tmp_path / "png.jpg")
    sink = write(tmp_path / "png.jpg", tmp_path / "out.png", identity("Lab"))
    assert not [note for note in sink.notes if "C2PA" in note]
    ok, found = checks(tmp_path / "out.png", original=tmp_path / "png.jpg")
    assert ok
    assert ("original", "right") in found


def test_an_original_that_c2pa_cannot_read_is_signed_by_name_and_hash(tmp_path, write, originals, identity):
    data = originals("face.png").read_bytes()
    (tmp_path / "in.png").write_bytes(data[:33] + png_chunk(b"caBX", b"no manifest") + data[33:])
    sink = write(tmp_path / "in.png", tmp_path / "out.png", identity("Lab"))
    ok, found = checks(tmp_path / "out.png", original=tmp_path / "in.png")
    assert ok
    assert ("original", "right") in found
    assert [note for note in sink.notes if "only its name and hash are signed" in note]


def test_an_original_that_was_replaced_during_the_run_is_not_signed(tmp_path, nano, originals, identity):
    one = identity("Lab")
    shutil.copy(originals("clip.mp4"), tmp_path / "in.mp4")
    shutil.copy(originals("clip.mp4"), tmp_path / "other.mp4")
    with (
        facesr_edge.open_source(tmp_path / "in.mp4") as source,
        facesr_edge.open_sink(
            tmp_path / "out.mp4", source, outscale=2, sign=load_credentials(one.cert, one.key)
        ) as sink,
    ):
        for _ in facesr_edge.run(nano, source, sink):
            if (tmp_path / "other.mp4").exists():
                (tmp_path / "other.mp4").replace(tmp_path / "in.mp4")
    assert [note for note in sink.notes if "in.mp4: has changed since it was opened" in note]
    ok, found = checks(tmp_path / "out.mp4", original=tmp_path / "in.mp4")
    assert ok
    assert "no original is signed" in found["original", "unchecked"]


def test_an_original_whose_own_signature_is_broken_is_named(tmp_path, write, originals, identity):
    write(originals("face.png"), tmp_path / "in.jpg", identity("Lab"))
    (tmp_path / "in.jpg").write_bytes((tmp_path / "in.jpg").read_bytes() + b"appended")
    sink = write(tmp_path / "in.jpg", tmp_path / "out.png", identity("Lab"))
    assert [note for note in sink.notes if "in.jpg: its own signature is not valid" in note]
    ok, found = checks(tmp_path / "out.png")
    assert ok
    assert "the original's own signature is not valid" in found["original", "note"]


def test_an_original_with_a_valid_signature_gets_no_note(tmp_path, write, originals, identity):
    write(originals("face.png"), tmp_path / "in.jpg", identity("Lab"))
    sink = write(tmp_path / "in.jpg", tmp_path / "out.png", identity("Lab"))
    assert not [note for note in sink.notes if "own signature" in note]
    assert ("original", "note") not in checks(tmp_path / "out.png")[1]


@pytest.mark.skipif(os.name != "posix", reason="names that are not UTF-8")
def test_names_that_are_not_utf_8_are_signed(tmp_path, write, originals, identity):
    original, output = (tmp_path / os.fsdecode(name) for name in (b"in\xff.png", b"out\xff.png"))
    shutil.copy(originals("face.png"), original)
    write(original, output, identity("Lab"))
    ok, found = checks(output, original=original)
    assert ok
    assert ("original", "right") in found


def test_a_signature_without_a_time_stamp_says_until_when_it_holds(tmp_path, write, originals, identity):
    one = identity("Lab")
    expires = load_credentials(one.cert, one.key).expires
    sink = write(originals("face.png"), tmp_path / "out.png", one)
    assert [note for note in sink.notes if f"verifiable until {expires}" in note]


def test_an_expired_certificate_is_named_as_the_reason(monkeypatch, tmp_path, write, originals, identity):
    write(originals("face.png"), tmp_path / "out.png", identity("Lab"))
    found = c2pa_library.read(io.BytesIO((tmp_path / "out.png").read_bytes()), "image/png", "x")
    expired = c2pa_library.replace(found, state="Invalid", failures=((c2pa_library.EXPIRED, "certificate expired"),))
    monkeypatch.setattr(c2pa_library, "read", lambda *arguments: expired)
    ok, found = checks(tmp_path / "out.png")
    assert not ok
    assert "no time stamp shows that it was valid" in found["signature", "wrong"]

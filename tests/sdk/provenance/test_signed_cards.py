"""``run --sign --evidence``: pictures of cards that have pixels of a network are signed, and `verify` takes them."""

import hashlib
import json

import pytest
from facesr_edge.sdk.cli.main import main
from facesr_edge.sdk.evidence.signed_pictures import SOURCE_LABEL
from facesr_edge.sdk.provenance.c2pa_library import read
from facesr_edge.sdk.provenance.face_records import LABEL, FacesAssertion
from facesr_edge.sdk.provenance.verify import VerifyOptions, verify
from support.evidence import checked_record

MODEL = ("--model", "edge-nano-x4-camera", "--engine", "onnxruntime", "--precision", "fp32", "--threads", "1")


@pytest.fixture
def run(capfd, identity):
    """Run the command with a signer: arguments -> exit code, stderr."""
    signer = identity("Lab")

    def call(*arguments):
        with pytest.raises(SystemExit) as exit_info:
            main(["run", *map(str, (*arguments, *MODEL, "--sign", signer.cert, signer.key))])
        err = capfd.readouterr().err
        assert "Traceback" not in err
        return exit_info.value.code, err

    return call


def test_pictures_with_pixels_of_a_network_are_signed_with_their_face_and_source(run, originals, identity, tmp_path):
    original = originals("face.png")
    code, err = run(original, "--evidence", tmp_path / "cards", "--uncertainty", tmp_path / "sheets")
    assert code == 0 and "pictures of the network signed" in err and "not signed: the pictures of --uncertainty" in err
    (folder,) = (tmp_path / "cards").iterdir()
    record = checked_record(folder)
    for name in ("face-1-estimate.png", "face-1-uncertainty.png"):
        found = verify(folder / name, VerifyOptions(trusted=identity("Lab").ca))
        states = {one.check: one.state for one in found.checks}
        assert found.ok and states["signature"] == states["signer"] == "right", found.checks
    with (folder / "face-1-estimate.png").open("rb") as file:
        assertions = read(file, "image/png", "estimate").assertions
    source = assertions[SOURCE_LABEL]
    assert source["sha256"] == hashlib.sha256(original.read_bytes()).hexdigest() == record["source"]["sha256"]
    (face,) = FacesAssertion.from_dict(assertions[LABEL]).frame.faces
    assert list(face.window_xyxy) == record["faces"][0]["window_xyxy"]
    with (folder / "face-1-original.png").open("rb") as file:
        assert read(file, "image/png", "original") is None


def test_cards_of_videos_are_signed_beside_the_output(run, originals, tmp_path):
    code, err = run(originals("clip.mp4"), "-o", tmp_path / "out.mp4", "--evidence", tmp_path / "cards")
    assert code == 0 and "not signed" not in err
    (folder,) = (tmp_path / "cards").iterdir()
    assert (
        verify(folder / "face-1-estimate.png", VerifyOptions()).ok and verify(tmp_path / "out.mp4", VerifyOptions()).ok
    )
    assert json.loads((folder / "evidence.json").read_text())["faces"]


def test_a_picture_of_a_card_that_is_changed_is_not_valid(run, originals, tmp_path):
    assert run(originals("face.png"), "--evidence", tmp_path)[0] == 0
    (path,) = tmp_path.glob("*/face-1-estimate.png")
    data = bytearray(path.read_bytes())
    data[-30] ^= 1
    path.write_bytes(data)
    assert not verify(path, VerifyOptions()).ok


def test_signing_without_anything_to_sign_is_refused(run, originals, tmp_path):
    code, err = run(originals("face.png"), "--uncertainty", tmp_path / "sheets")
    assert code == 2 and "give -o OUTPUT or --evidence DIR" in err

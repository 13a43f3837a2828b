"""Signed faces of several frames: `verify` replays the frames of the original."""

import facesr_edge
import numpy as np
import pytest
from facesr_edge.sdk.provenance.c2pa_library import read
from facesr_edge.sdk.provenance.credentials import load_credentials
from facesr_edge.sdk.provenance.face_records import LABEL, ONE_FRAME, SEVERAL_FRAMES, FacesAssertion
from support.archives import write_video
from support.verification import checks

ENGINE = {"engine": "onnxruntime", "precision": "fp32", "threads": 1}


@pytest.fixture(scope="module")
def clip(tmp_path_factory, put_face):
    """A video of a face that moves, in five frames."""
    frames = []
    for n in range(5):
        frame = np.full((96, 128, 3), 118, np.uint8)
        put_face(frame, 20 + n, 10, 30)
        frames.append(frame)
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", frames, options={"crf": "12"})


@pytest.fixture(scope="module")
def signed(tmp_path_factory, clip, nano, tiny_track_bundle, identity):
    """Function: number of frames → signed output, and the faces of its frames."""
    signer = identity("Lab")
    credentials = load_credentials(signer.cert, signer.key)

    def make(frames):
        path = tmp_path_factory.mktemp("signed") / "out.mp4"
        settings = {**ENGINE, "detector": nano.detector, "track_model": tiny_track_bundle.folder}
        with (
            facesr_edge.load("edge-nano-x4-camera", frames=frames, **settings) as pipeline,
            facesr_edge.open_source(clip) as source,
            facesr_edge.open_sink(path, source, outscale=2, sign=credentials) as sink,
        ):
            results = list(facesr_edge.run(pipeline, source, sink))
        return path, [face.frames for result in results for face in result.faces]

    return make


def document_of(path):
    with path.open("rb") as stream:
        return read(stream, "video/mp4", str(path)).assertions[LABEL]


def test_faces_of_several_frames_are_recomputed_from_the_original(signed, clip, identity, tiny_track_bundle):
    path, frames = signed(4)
    assert frames == [1, 2, 3, 4, 4]
    ok, found = checks(path, original=clip, trusted=identity("Lab").ca, track_model=str(tiny_track_bundle.folder))
    assert ok and "5 faces in 5 frames recomputed from the original, equal bit for bit" in found["faces", "right"]
    assertion = FacesAssertion.from_dict(document_of(path))
    assert document_of(path)["format"] == SEVERAL_FRAMES
    assert assertion.settings["frames"] == 4 and assertion.settings["track_model"] == "edge-track-x4"


def test_faces_of_one_frame_are_signed_as_before(signed):
    path, frames = signed(1)
    assert set(frames) == {1} and document_of(path)["format"] == ONE_FRAME
    assert "frames" not in document_of(path)["settings"]


def test_a_multi_frame_network_that_is_not_here_is_named(signed, clip, identity):
    path, _ = signed(4)
    _, found = checks(path, original=clip, trusted=identity("Lab").ca)
    assert "edge-track-x4" in found["faces", "unchecked"] and "--track-model" in found["faces", "unchecked"]


def test_another_number_of_frames_than_signed_makes_other_faces(signed, clip, identity, tiny_track_bundle, monkeypatch):
    monkeypatch.setattr("facesr_edge.sdk.provenance.seal.settings_of", _with_three_frames(), raising=True)
    path, _ = signed(4)
    ok, found = checks(path, original=clip, trusted=identity("Lab").ca, track_model=str(tiny_track_bundle.folder))
    assert not ok and "frames 0 to 4: the faces are not those of the signature" in found["faces", "wrong"]


def _with_three_frames():
    from facesr_edge.sdk.provenance.seal import settings_of

    return lambda pipeline, source: {**settings_of(pipeline, source), "frames": 3}

"""``facesr-edge run --frames``: faces of videos from several frames, on the command line."""

import json

import numpy as np
import pytest
from support.archives import write_video


@pytest.fixture(scope="module")
def clip(tmp_path_factory, put_face):
    """A video of a face that moves, in six frames."""
    frames = []
    for n in range(6):
        frame = np.full((96, 128, 3), 118, np.uint8)
        put_face(frame, 20 + n, 10, 30)
        frames.append(frame)
    return write_video(tmp_path_factory.mktemp("clips") / "clip.mp4", frames)


@pytest.fixture
def options(bundle, tiny_track_bundle):
    return ["--model", bundle, "--track-model", tiny_track_bundle.folder, "--engine", "onnxruntime", "--threads", "1"]


def test_json_has_the_number_of_frames_of_each_face(facesr, clip, options, tmp_path):
    result = facesr("run", clip, "--frames", "4", "--json", tmp_path / "f.json", *options)
    document = json.loads((tmp_path / "f.json").read_text())
    assert result.code == 0 and "up to 4 frames: edge-track-x4" in result.err
    assert (document["frames_of_a_face"], document["track_model"]) == (4, "edge-track-x4")
    assert [face["frames"] for frame in document["frames"] for face in frame["faces"]] == [1, 2, 3, 4, 4, 4]
    assert all("register" in frame["timings_ms"] for frame in document["frames"])


def test_a_single_picture_is_said_to_have_one_frame(facesr, image_file, options, tmp_path):
    result = facesr("run", image_file, "-o", tmp_path / "out.png", "--frames", "4", *options)
    assert result.code == 0 and "a single picture has one frame, and its faces are made from it" in result.err


def test_what_cannot_be_done_is_refused_in_one_line(facesr, clip, options):
    result = facesr("run", clip, "--frames", "9", "--json", *options)
    assert result.code == 2 and "frames is 9, expected 1 to 7, those of edge-track-x4" in result.error
    result = facesr("run", clip, "--frames", "3", "--json", "--uncertainty", "sheets", *options)
    assert result.code == 2 and "leave out uncertainty or frames" in result.error


def test_a_profile_has_the_registration_as_a_stage(facesr, clip, options, tmp_path):
    arguments = ("--frames", "2", "--track-frames", "4", "--html", tmp_path / "p.html", "--json", tmp_path / "p.json")
    result = facesr("profile", clip, *arguments, *options)
    stages = list(json.loads((tmp_path / "p.json").read_text())["stages_ms"])
    assert result.code == 0 and stages.index("crop") < stages.index("register") < stages.index("upscale")
    assert "register" in result.out and "<td>register</td>" in (tmp_path / "p.html").read_text()

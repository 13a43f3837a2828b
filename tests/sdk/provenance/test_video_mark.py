"""The mark of videos: a tag that players show, and XMP where the format holds it."""

import json
import shutil
import subprocess

import av
import numpy as np
import pytest
from facesr_edge.sdk.provenance.mark import mark_of
from facesr_edge.sdk.provenance.statement import DIGITAL_SOURCE_TYPE
from facesr_edge.sdk.provenance.video_mark import VIDEO_STATEMENT, mark_end

SUFFIXES = [".mp4", ".mov", ".mkv", ".webm", ".gif"]


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    """A video without faces."""
    path = tmp_path_factory.mktemp("wall") / "wall.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["comment"] = "mine"
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((64, 64, 3), 118, np.uint8), format="bgr24")))
        container.mux(stream.encode(None))
    return path


def tags(path):
    with av.open(str(path)) as container:
        list(container.decode(video=0))  # and it plays
        return {name.lower(): value for name, value in container.metadata.items()}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_videos_with_faces_name_the_term_and_play(tmp_path, write, originals, suffix):
    output = tmp_path / f"out{suffix}"
    write(originals("clip.mp4"), output)
    assert mark_of(output).text == f"digital source type {DIGITAL_SOURCE_TYPE}"
    found = tags(output)
    if suffix != ".gif":
        assert VIDEO_STATEMENT in found.values()
    if shutil.which("exiftool"):
        command = ["exiftool", "-json", "-DigitalSourceType", str(output)]
        (entry,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        assert entry["DigitalSourceType"] == DIGITAL_SOURCE_TYPE


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_videos_without_faces_do_not_name_the_term_and_keep_their_tags(tmp_path, write, wall, suffix):
    output = tmp_path / f"out{suffix}"
    write(wall, output)
    assert "no digital source type" in mark_of(output).text
    if suffix != ".gif":
        assert tags(output)["comment"] == "mine"


def test_an_avi_states_it_in_its_comment(tmp_path, write, originals):
    write(originals("clip.mp4"), tmp_path / "out.avi")
    assert tags(tmp_path / "out.avi")["comment"] == VIDEO_STATEMENT
    assert "the statement on upscaled faces" in mark_of(tmp_path / "out.avi").text


def test_no_provenance_leaves_the_mark_out(tmp_path, write, originals):
    write(originals("clip.mp4"), tmp_path / "out.mp4", no_provenance=True)
    assert "no digital source type" in mark_of(tmp_path / "out.mp4").text
    assert VIDEO_STATEMENT not in tags(tmp_path / "out.mp4").values()


def clip_with(path, pixels, tags):
    with av.open(str(path), "w") as container:
        container.metadata.update(tags)
        stream = container.add_stream("libx264", 25)
        stream.width, stream.height, stream.pix_fmt = pixels.shape[1], pixels.shape[0], "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return path


CAMERA, SYNTHETIC = (
    f"{DIGITAL_SOURCE_TYPE.rpartition('/')[0]}/{name}" for name in ("digitalCapture", "trainedAlgorithmicMedia")
)


@pytest.mark.parametrize("term", [CAMERA, SYNTHETIC, DIGITAL_SOURCE_TYPE])
def test_a_video_without_faces_keeps_the_term_and_the_tags_of_its_source(tmp_path, write, term):
    tags_in = {"COMMENT": DIGITAL_SOURCE_TYPE, "DIGITAL_SOURCE_TYPE": term}
    clip = clip_with(tmp_path / "in.mkv", np.full((64, 64, 3), 118, np.uint8), tags_in)
    write(clip, tmp_path / "out.mkv")
    found = tags(tmp_path / "out.mkv")
    assert (found["comment"], found["digital_source_type"]) == (DIGITAL_SOURCE_TYPE, term)


def test_a_video_with_faces_keeps_the_term_of_a_wholly_synthetic_source(tmp_path, write, face_frame):
    clip = clip_with(tmp_path / "in.mkv", face_frame, {"DIGITAL_SOURCE_TYPE": SYNTHETIC})
    for suffix in (".mkv", ".mp4"):
        write(clip, tmp_path / f"out{suffix}")
        assert mark_of(tmp_path / f"out{suffix}").text == f"digital source type {SYNTHETIC}"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
def test_a_marked_video_stays_marked_when_no_further_face_is_upscaled(tmp_path, write, wall, suffix):
    marked = tmp_path / "marked.mp4"
    write(wall, tmp_path / "plain.mp4")
    marked.write_bytes((tmp_path / "plain.mp4").read_bytes() + mark_end("mp4"))
    write(marked, tmp_path / f"out{suffix}")
    assert mark_of(tmp_path / f"out{suffix}").text == f"digital source type {DIGITAL_SOURCE_TYPE}"

"""Commands on the bundle of a multi-frame network: evaluated on tracks, refused where faces have one frame."""

import json

import cv2
import pytest
from facesr_edge.calibration.data.faces import sample_faces
from facesr_edge.zoo import catalogue


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    for index, face in enumerate(sample_faces()[:3]):
        cv2.imwrite(str(folder / f"{index}.png"), face)
    return folder


@pytest.fixture(scope="module")
def track(track_bundle):
    return track_bundle().folder


def test_eval_compares_with_the_model_for_single_frames_by_camera_and_frames(facesr, track, faces, tmp_path):
    names = ("--degradation", "frame", "--degradation", "h264-28", "--frames", 2, "--frames", 7)
    result = facesr("eval", "--model", track, "--faces", faces, *names, "--json", tmp_path / "e.json")
    assert result.code == 0 and f"over {catalogue.DEFAULT_MODEL}" in result.out
    values = json.loads((tmp_path / "e.json").read_text())
    assert values["single_frame"] == catalogue.DEFAULT_MODEL
    rows = values["evaluations"]
    conditions = [("frame", 2), ("frame", 7), ("h264-28", 2), ("h264-28", 7)]
    assert [(row["camera"], row["frames"]) for row in rows] == conditions and {row["faces"] for row in rows} == {3}
    assert len({row["psnr_y_db"] for row in rows}) == 4
    assert rows[0]["single_psnr_y_db"] == rows[1]["single_psnr_y_db"] > rows[3]["single_psnr_y_db"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--frames", 8), "reads 2 to 7 frames, got 8"),
        (("--degradation", "camera"), "camera 'camera'"),
        (("--model", catalogue.DEFAULT_MODEL), "is evaluated alone, on tracks; give no other --model"),
        (("--crop", 32), "--crop is not for a multi-frame network"),
        (("--single-frame", "edge-tiny-x2"), "edge-tiny-x2 is no network for single frames of scale 4"),
    ],
)
def test_eval_rejects_what_tracks_do_not_have(facesr, track, faces, options, message):
    result = facesr("eval", "--model", track, "--faces", faces, *options)
    assert result.code in (1, 2) and message in result.err


def test_options_of_tracks_need_a_multi_frame_network(facesr, faces):
    result = facesr("eval", "--faces", faces, "--frames", 3)
    assert result.code == 2 and "need --faces DIR and a multi-frame network as --model" in result.err


def test_run_refuses_it_as_the_model(facesr, track, image_file, tmp_path):
    result = facesr("run", image_file, "-o", tmp_path / "o.png", "--model", track)
    assert result.code == 1 and "reads several frames of a face and runs beside a model" in result.err
    assert len(result.err.strip().splitlines()) == 1 and not (tmp_path / "o.png").exists()


def test_export_for_triton_refuses_it(facesr, track, tmp_path):
    result = facesr("export", "triton", track, "-o", tmp_path / "models")
    assert result.code == 2 and "reads several frames of a face, and requests to Triton have one" in result.err


def test_inspect_shows_the_frames(facesr, track):
    result = facesr("inspect", track)
    assert result.code == 0 and "up to 7 of a track" in result.out

"""``facesr-edge profile``: table, report, trace, JSON; and --min-face."""

import json

import pytest


def test_profile_prints_a_table_and_writes_report_and_trace(facesr, image_file, bundle, tmp_path):
    html, trace = tmp_path / "p.html", tmp_path / "t.json"
    options = ["--frames", 4, "--warm-up", 1, "--model", bundle, "--html", html, "--trace", trace]
    result = facesr("profile", image_file, *options)
    assert result.code == 0 and "overhead" in result.out and "total" in result.out
    assert html.read_text().startswith("<!doctype html>")
    assert sum(event.get("cat") == "frame" for event in json.loads(trace.read_text())["traceEvents"]) == 4


def test_profile_writes_json(facesr, clips, bundle):
    result = facesr("profile", clips(8), "--frames", 4, "--json", "--model", bundle)
    document = json.loads(result.out)
    assert document["frames"] == 4 and document["stages_ms"]["encode"]["mean"] > 0


def test_profile_of_a_video_shorter_than_the_warm_up_is_reported_in_one_line(facesr, clips, bundle):
    result = facesr("profile", clips(2), "--warm-up", 3, "--model", bundle)
    assert result.code == 1 and "--warm-up" in result.error


@pytest.mark.parametrize(
    ("min_face", "expected"),
    [
        (8, "detect: 160x120 whole at full size, 0.02 Mpx, faces from 8 px"),
        (20, "detect: 160x120 whole at 0.5 of its size, 0.01 Mpx, faces from 20 px"),
        (5, "detect: 160x120 whole at 2 times its size, 0.08 Mpx, faces from 5 px"),
    ],
)
def test_min_face_sets_the_detector_input(facesr, image_file, bundle, min_face, expected):
    result = facesr("profile", image_file, "--frames", 1, "--warm-up", 0, "--model", bundle, "--min-face", min_face)
    assert result.code == 0 and expected in result.out


def test_json_has_the_detector_input(facesr, image_file, bundle):
    document = json.loads(
        facesr("profile", image_file, "--frames", 1, "--json", "--model", bundle, "--min-face", 20).out
    )
    assert document["detect"]["kind"] == "reduced" and document["detect"]["scale"] == 0.5


@pytest.mark.parametrize("min_face", ["0", "-3", "nan", "inf", "small"])
def test_invalid_min_face_is_a_usage_error(facesr, image_file, bundle, min_face):
    result = facesr("profile", image_file, "--model", bundle, "--min-face", min_face)
    assert result.code == 2 and ("1 or more" in result.error or "not a valid float" in result.error)


def test_profile_shows_what_detection_on_a_budget_saves_and_misses(facesr, clips, large_frame, bundle):
    options = ["--frames", 8, "--warm-up", 0, "--no-encode", "--model", bundle, "--detect-every", "4"]
    clip = clips(8, large_frame)
    assert "pixels saved" in facesr("profile", clip, *options).out
    budget = json.loads(facesr("profile", clip, *options, "--json").out)["detect"]["budget"]
    assert budget["frames"] == 8 and budget["full"] == 2 and 0 < budget["pixels_saved"] < 1
    assert budget["checked_frames"] >= 1 and budget["missed_faces"] == 0

"""``facesr-edge run`` with several inputs, broken files, JSON lines, summary and --strict."""

import functools
import json
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest


@pytest.fixture
def folder(tmp_path, image_file, clips):
    """Folder with two images, a video, a subfolder, a broken image and a text file."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/a.png"):
        (folder / name).write_bytes(image_file.read_bytes())
    cv2.imwrite(str(folder / "b.jpg"), cv2.imread(str(image_file)))
    (folder / "broken.png").write_bytes(image_file.read_bytes()[:2000])
    (folder / "clip.mp4").write_bytes(clips(3).read_bytes())
    (folder / "notes.txt").write_text("text")
    return folder


@pytest.fixture
def run(facesr, bundle):
    return functools.partial(facesr, "run", "--model", bundle, "--engine", "onnxruntime", "--threads", "1")


def files(path):
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_a_folder_of_images_and_videos_is_done_up_to_the_broken_file(run, folder, tmp_path):
    result = run(folder, "-o", tmp_path / "out", "--recursive", "--json", tmp_path / "new" / "f.json")
    assert result.code == 1 and result.error == "1 input failed; the others are done"
    assert files(tmp_path / "out") == ["a.png", "b.jpg", "clip.mp4", "sub/a.png"]
    assert "6 frames, 6 faces" in result.out and "1 skipped, 1 failed" in result.out
    assert "1 skipped: notes.txt" in result.err and "broken.png is truncated" in result.err
    document = json.loads((tmp_path / "new" / "f.json").read_text())
    assert document["sources"] == [str(folder)]
    sources = [frame["source"].removeprefix(f"{folder}/") for frame in document["frames"]]
    assert sources == ["a.png", "b.jpg", "sub/a.png", *["clip.mp4"] * 3]
    summary = document["summary"]
    assert (summary["frames"], summary["skipped"]) == (6, ["notes.txt"])
    assert [failure["name"] for failure in summary["failures"]] == ["broken.png"]


def test_without_recursive_subfolders_are_skipped_by_name(run, folder, tmp_path):
    (folder / "broken.png").unlink()
    result = run(folder, "-o", folder / "out")
    assert result.code == 0 and "2 skipped: notes.txt, sub/" in result.err
    assert files(folder / "out") == ["a.png", "b.jpg", "clip.mp4"]
    again = run(folder, "-o", folder / "out")  # the output is not read
    assert again.code == 0 and files(folder / "out") == ["a.png", "b.jpg", "clip.mp4"]


def test_patterns_and_files_go_to_one_folder(run, folder, tmp_path):
    result = run(folder / "*.mp4", folder / "**" / "a.png", folder / "b.jpg", "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert files(tmp_path / "out") == ["a.png", "b.jpg", "clip.mp4", "sub/a.png"]


def test_a_broken_or_missing_file_does_not_stop_the_others(run, folder, tmp_path, clips):
    (folder / "broken.mp4").write_bytes(b"this is not a video\n" * 20)
    result = run(folder / "broken.mp4", folder / "missing.png", folder / "clip.mp4", "-o", tmp_path / "out")
    assert result.code == 1 and result.error == "2 inputs failed; the others are done"
    assert files(tmp_path / "out") == ["clip.mp4"]
    failed = [line for line in result.err.splitlines() if line.startswith("failed: ")]
    assert len(failed) == 2 and "missing.png" in "".join(failed) and "broken.mp4" in "".join(failed)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["in/a.png", "in/sub/a.png", "-o", "out"], "would both be written to out/a.png"),
        (["in/a.png", "in/b.jpg", "-o", "in"], "is an input and would be overwritten"),
        (["in/a.png", "in/b.jpg", "-o", "out.png"], "give a folder"),
        (["in", "-o", "in/notes.txt"], "give a folder"),
        (["in", "-o", "in"], "would be overwritten"),
        (["in/a.png", "0", "-o", "out"], "run it alone"),
        (["in", "--recursive", "-o", "out", "--json", "-", "--jsonl", "-"], "both standard output"),
        (["in/a.png", "--json=in"], "expected a file that ends in .json"),
        (["in/a.png", "-o", "out.txt"], "cannot store"),
        (["in/clip.mp4", "in/a.png", "-o", "out", "--preset", "warp", "--subtitle", "x"], "No such option"),
        (["in/b.jpg", "in/a.png", "-o", "out", "--crf", "20"], "crf cannot be used"),
    ],
)
def test_what_cannot_be_written_is_refused_before_a_model_is_loaded(facesr, folder, monkeypatch, arguments, expected):
    monkeypatch.chdir(folder.parent)
    before = files(folder.parent)
    result = facesr("run", *arguments, "--model", "no-such-model")
    assert result.code == 2 and expected in result.error and files(folder.parent) == before


def test_an_output_folder_without_write_permission_is_refused(facesr, folder, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *arguments: False)
    result = facesr("run", folder, "-o", tmp_path / "out", "--model", "no-such-model")
    assert result.code == 1 and "permission denied" in result.error


def test_options_apply_to_the_outputs_that_have_them(run, folder, tmp_path):
    result = run(folder / "b.jpg", folder / "clip.mp4", "-o", tmp_path / "out", "--quality", "50", "--crf", "30")
    assert result.code == 0, result.err


def test_json_alone_tells_files_of_one_name_apart(run, folder):
    result = run(folder / "a.png", folder / "sub" / "a.png", "--json")
    frames = json.loads(result.out)["frames"]
    assert [frame["source"] for frame in frames] == [str(folder / "a.png"), str(folder / "sub" / "a.png")]


def test_json_lines_of_a_killed_run_are_valid(clips, bundle, tmp_path):
    lines = tmp_path / "f.jsonl"
    command = [sys.executable, "-m", "facesr_edge", "run", clips(1000), "--jsonl", lines, "--model", bundle]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        end = time.monotonic() + 60
        while not (lines.exists() and lines.read_bytes().count(b"\n") > 5):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    documents = [json.loads(line) for line in lines.read_text().splitlines()[:-1]]
    assert [document["type"] for document in documents[:3]] == ["run", "frame", "frame"]
    assert [document["index"] for document in documents[1:]] == list(range(len(documents) - 1))


def test_json_lines_on_stdout_are_the_only_output_there(run, image_file, tmp_path):
    result = run(image_file, "-o", tmp_path / "o.png", "--jsonl", "-")
    assert [json.loads(line)["type"] for line in result.out.splitlines()] == ["run", "frame", "summary"]
    assert "1 frame, 1 face" in result.err


def test_an_interrupted_run_of_several_inputs_tells_what_is_done(folder, clips, bundle, tmp_path):
    (folder / "long.mp4").write_bytes(clips(1000).read_bytes())
    arguments = [folder / "clip.mp4", folder / "long.mp4", folder / "b.jpg", "-o", tmp_path / "out"]
    command = [sys.executable, "-m", "facesr_edge", "run", *arguments, "--json", tmp_path / "f.json", "--model", bundle]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 60
        while not any((tmp_path / "out").glob("long*.mp4*")):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "stopped; 2 of 3 files are done; " in errors and "of 1000 frames are in" in errors
    assert json.loads((tmp_path / "f.json").read_text())["summary"]["complete"] is False


@pytest.mark.parametrize("strict", [False, True])
def test_a_note_is_an_error_with_strict_and_the_output_stays(run, clips, large_frame, tmp_path, strict):
    odd = tmp_path / "odd.png"
    cv2.imwrite(str(odd), np.dstack((large_frame, np.full(large_frame.shape[:2], 128, np.uint8))))
    result = run(odd, "-o", tmp_path / "o.jpg", "--json", tmp_path / "f.json", *(["--strict"] if strict else []))
    assert "note: " in result.err and (tmp_path / "o.jpg").exists()
    assert json.loads((tmp_path / "f.json").read_text())["notes"] and result.code == int(strict)
    assert not strict or result.error.startswith("--strict: 1 note")


def test_too_large_faces_are_counted_with_the_remedy(run, astronaut, tmp_path):
    cv2.imwrite(str(tmp_path / "portrait.png"), astronaut)
    result = run(tmp_path / "portrait.png", "-o", tmp_path / "o.png", "--json", tmp_path / "f.json")
    assert result.code == 0 and "(0 upscaled, 1 too large, left alone)" in result.out
    assert "downscale the input" in result.err
    summary = json.loads((tmp_path / "f.json").read_text())["summary"]
    assert (summary["faces"], summary["upscaled"], summary["too_large"]) == (1, 0, 1)

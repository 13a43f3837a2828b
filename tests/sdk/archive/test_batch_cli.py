"""What `facesr-edge batch` refuses, in one line, before any work."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from facesr_edge.sdk.archive.inputs import find_files
from facesr_edge.sdk.archive.summary import BatchSummary
from facesr_edge.sdk.cli.batch import command, print_summary


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg"], "missing.jpg cannot be read: no such file or directory"),
        (["0"], "0 is a live source"),
        (["rtsp://camera/stream"], "rtsp://camera/stream cannot be opened"),
        (["@missing.txt"], "the manifest missing.txt cannot be read"),
        (["a.png", "b.png", "-o", "out.mp4"], "out.mp4 is the name of a file; give a folder"),
        (["a.png", "--chunk", "300"], "a multiple of 250 frames"),
        (["frames/%05d.png"], "a video of numbered images"),
        (["a.png", "--codec", "h264"], "codec cannot be used for"),
        (["a.png", "b/a.png"], "would both be written to a.png"),
        (["a.png", "-o", "."], "is an input and would be overwritten"),
        (["a.png", "--model", "nothing"], "unknown model 'nothing'"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    for name in ("a.png", "b.png", "b/a.png"):
        (tmp_path / name).write_bytes(b"not read")
    output = [] if "-o" in arguments else ["-o", "out"]
    result = CliRunner().invoke(command, [*arguments, *output])
    assert result.exit_code != 0
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_ray_takes_an_address_but_no_input():
    for arguments, expected in (
        (["--ray", "in"], ("local", ("in",))),
        (["--ray", "auto", "in"], ("auto", ("in",))),
        (["--ray", "ray://head:10001", "in"], ("ray://head:10001", ("in",))),
        (["in", "--ray"], ("local", ("in",))),
    ):
        context = command.make_context("batch", [*arguments, "-o", "out"])
        assert (context.params["ray"], context.params["inputs"]) == expected


def test_files_of_a_manifest_keep_their_path_below_the_folder_that_they_share(tmp_path):
    for name in ("2024/may/a.png", "2024/june/a.png", "clip.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"not read")
    manifest = tmp_path / "files.txt"
    manifest.write_text(f"# may first\n{tmp_path}/2024/may/a.png\n\n{tmp_path}/2024/june/*.png\n")
    found = find_files([f"@{manifest}", str(tmp_path / "clip.mp4")], str(tmp_path / "out"))
    assert {file.output for file in found.files} == {"clip.mp4", "may/a.png", "june/a.png"}


def test_no_line_of_a_manifest_writes_outside_of_the_output_folder(tmp_path, monkeypatch):
    (tmp_path / "work" / "a").mkdir(parents=True)
    for name in ("z.png", "work/b.png", "work/a/c.png"):
        (tmp_path / name).write_bytes(b"not read")
    monkeypatch.chdir(tmp_path / "work")
    (tmp_path / "files.txt").write_text("a/../../z.png\nb.png\na/./c.png\n")
    found = find_files([f"@{tmp_path / 'files.txt'}"], str(tmp_path / "out"))
    assert [file.output for file in found.files] == ["z.png", "work/b.png", "work/a/c.png"]


def test_the_last_line_tells_of_large_faces_as_run_does_and_masks_the_output(capsys):
    summary = BatchSummary(files=2, done=2, frames=1, faces=143, upscaled=127, too_large=16, seconds=2)
    print_summary(summary, "s3://key:secret@archive/out")
    assert capsys.readouterr().out == (
        "2 of 2 files are done, 1 frame, 143 faces (127 upscaled, 16 too large, left alone) in 2.0 s (0.5 frames/s) "
        "→ s3://key:***@archive/out\n"
    )

"""Expansion of files, folders and patterns to inputs."""

import os
from pathlib import Path

import pytest
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.sdk.media.inputs import expand_inputs
from support.media import encoded


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Folder with images, videos, a subfolder, hidden and other files, and a loop; it is the working directory."""
    for name in ("b.png", "a.jpg", "clip.mp4", "notes.txt", ".hidden.png", "sub/a.jpg", "sub/deep/c.MOV", ".git/x.png"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "in" / "sub" / "loop").symlink_to(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "in"


def names(inputs):
    return [(found.name, found.kind) for found in inputs.found]


def test_a_folder_gives_its_images_and_videos_and_names_the_rest(tree):
    inputs = expand_inputs(["in"])
    assert names(inputs) == [("a.jpg", "image"), ("b.png", "image"), ("clip.mp4", "video")]
    assert inputs.skipped == (".git/", ".hidden.png", "notes.txt", "sub/") and inputs.folder == Path("in")


def test_recursive_reads_each_subfolder_once_and_keeps_relative_names(tree):
    inputs = expand_inputs(["in"], recursive=True)
    expected = ["a.jpg", "b.png", "clip.mp4", "sub/a.jpg", "sub/deep/c.MOV"]
    assert [found.name for found in inputs.found] == expected
    assert [found.source for found in inputs.found] == [f"in/{name}" for name in expected]
    assert sorted(inputs.skipped) == [".git/", ".hidden.png", "notes.txt"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.jpg", ["a.jpg"]),
        ("in/?.p[mn]g", ["b.png"]),
        ("in/**/*.jpg", ["a.jpg", "sub/a.jpg"]),
        ("in/*/*.jpg", ["sub/a.jpg"]),
        ("**/deep/*", ["in/sub/deep/c.MOV"]),
        ("in/**", ["a.jpg", "b.png", "clip.mp4", "sub/a.jpg", "sub/deep/c.MOV"]),
    ],
)
def test_patterns(tree, pattern, expected):
    inputs = expand_inputs([pattern])
    assert [found.name for found in inputs.found] == expected and not inputs.single
    assert expand_inputs([str(tree.parent / pattern)]).found[0].name == expected[0]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tree):
    (tree / "IMG[1].png").write_bytes(b"x")
    inputs = expand_inputs(["in/IMG[1].png"])
    assert names(inputs) == [("IMG[1].png", "image")] and inputs.single


def test_a_source_that_is_given_twice_is_read_once(tree):
    assert names(expand_inputs(["in/a.jpg", "in/*.jpg"])) == [("a.jpg", "image")]


def test_outputs_inside_of_the_input_are_not_read(tree):
    (tree / "out").mkdir()
    (tree / "out" / "a.jpg").write_bytes(b"x")
    (tree / "again").symlink_to(tree / "out")
    inputs = expand_inputs(["in"], recursive=True, outputs=[Path("in/out"), tree / "b.png"])
    assert [found.name for found in inputs.found] == ["a.jpg", "clip.mp4", "sub/a.jpg", "sub/deep/c.MOV"]
    assert "out/" not in expand_inputs(["in"], outputs=[Path("in/out")]).skipped


def test_a_file_without_a_known_suffix_is_recognized_by_its_content(tmp_path):
    (tmp_path / "picture").write_bytes(encoded(".png"))
    (tmp_path / "other.bin").write_bytes(b"nothing")
    found = expand_inputs([str(tmp_path / "picture"), str(tmp_path / "other.bin")]).found
    assert [one.kind for one in found] == ["image", "video"]


def test_a_pipe_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert expand_inputs([str(tmp_path / "pipe")]).found[0].kind == "other"


@pytest.mark.parametrize("argument", ["0", "rtsp://host/live", "http://host/live", "-", "/dev/video3"])
def test_a_live_source_is_the_only_input(tree, argument):
    assert expand_inputs([argument]).single
    with pytest.raises(UsageError, match="run it alone"):
        expand_inputs(["in/a.jpg", argument])


def test_urls_of_files_have_the_names_of_these_files(tree):
    inputs = expand_inputs(["http://host/a%20b.jpg?x=1", "https://host/clip.mp4"])
    assert names(inputs) == [("a b.jpg", "image"), ("clip.mp4", "video")]


def test_a_sequence_pattern_is_one_source(tree):
    assert names(expand_inputs(["in/frame_%05d.png", "in/a.jpg"]))[0] == ("frame_%05d.png", "other")


@pytest.mark.parametrize("argument", ["empty", "in/*.webp", "nothing/*"])
def test_what_matches_nothing_is_one_error(tree, argument):
    (tree.parent / "empty").mkdir()
    with pytest.raises(InputError, match=r"no images or videos|cannot be listed"):
        expand_inputs([argument])


def test_a_subfolder_that_cannot_be_listed_is_a_failure(tree, monkeypatch):
    listed = Path.iterdir

    def iterdir(self):
        if self.name == "deep":
            raise PermissionError(13, "Permission denied")
        return listed(self)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    inputs = expand_inputs(["in"], recursive=True)
    assert len(inputs.found) == 4 and "permission denied" in inputs.failures[0].reason

"""Folders of images: broken files, other kinds, animations among them, names and sizes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.engines.errors import MissingDependencyError, UsageError
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.images.sink import FolderSink, unused
from facesr_edge.sdk.media.images.source import FolderSource
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame
from PIL import Image
from support.pictures import HEIGHT, WIDTH, animation, encoded, pass_through, rgba, save

BLACK = np.zeros((8, 8, 3), np.uint8)


def picture(color: int = 90) -> Image.Image:
    return Image.new("RGB", (WIDTH, HEIGHT), (color, color, color))


def test_broken_files_are_failures_and_the_rest_is_done(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "a.png", picture())
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    (folder / "half.jpg").write_bytes(encoded(noise, "JPEG")[:3000] + b"\xff\xd9")
    (folder / "zeros.jpg").write_bytes(bytes(4096))
    (folder / "empty.png").write_bytes(b"")
    save(folder / "z.jpg", picture())
    source, sink = pass_through(folder, tmp_path / "out")
    assert {failure.name for failure in source.failures} == {"half.jpg", "zeros.jpg", "empty.png"}
    assert all(failure.name in failure.reason and "\n" not in failure.reason for failure in source.failures)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "z.jpg"]
    assert (sink.frames_written, source.exhausted) == (2, True)


def test_files_that_are_not_read_are_listed(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture())
    for name in ("notes.txt", "clip.mp4", ".hidden.png", "._a.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "inner").mkdir()
    source = open_source(tmp_path)
    assert source.skipped == ["._a.png", ".hidden.png", "clip.mp4", "inner/", "notes.txt"]
    assert [frame.name for frame in source] == ["a.png"]


def test_every_format_of_a_folder_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = ["a.png", "b.jpg", "c.webp", "d.bmp", "e.tif", "f.avif", "g.heic", "h.jxl"]
    for name in names:
        save(folder / name, picture())
    source, sink = pass_through(folder, tmp_path / "out")
    assert (source.failures, sink.notes) == ([], [])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    for name in names:
        with Image.open(tmp_path / "out" / name) as image:
            assert image.size == (2 * WIDTH, 2 * HEIGHT)
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - 90).max() <= 3


def test_animations_in_a_folder_keep_their_frames_and_loops(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    animation(folder / "a.webp", loop=2)
    save(folder / "b.png", picture())
    animation(folder / "c.png", durations=(40, 60), loop=5)
    animation(folder / "d.tif", durations=(0, 0, 0))
    source, sink = pass_through(folder, tmp_path / "out")
    assert (source.failures, source.notes, sink.notes, sink.frames_written) == ([], [], [], 10)
    counts = {}
    for path in sorted((tmp_path / "out").iterdir()):
        with Image.open(path) as image:
            counts[path.name] = (getattr(image, "n_frames", 1), image.info.get("loop"))
    assert counts == {"a.webp": (4, 2), "b.png": (1, None), "c.png": (2, 5), "d.tif": (3, None)}


def test_note_of_several_files_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        save(folder / name, picture().convert("CMYK"))
    source, _ = pass_through(folder, tmp_path / "out")
    assert source.notes == ["CMYK converted to sRGB without a profile (a.jpg and 2 more)"]


def test_image_that_becomes_too_large_for_its_format_is_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "a.webp", Image.new("RGB", (9000, 4)))
    save(folder / "b.png", Image.new("RGB", (9000, 4)))
    source, _ = pass_through(folder, tmp_path / "out")
    assert [failure.name for failure in source.failures] == ["a.webp"]
    assert "16383" in source.failures[0].reason
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.png"]


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 9000), (".jpg", 33_000), (".heic", 9000)])
def test_image_too_large_for_the_output_is_refused_before_the_work(tmp_path: Path, suffix: str, side: int) -> None:
    source = open_source(save(tmp_path / "in.png", Image.new("RGB", (side, 2))))
    with pytest.raises(UsageError, match="px a side"):
        open_sink(tmp_path / f"o{suffix}", source, outscale=2)
    assert [path.name for path in tmp_path.iterdir()] == ["in.png"]


def test_long_names_are_written(tmp_path: Path) -> None:
    name = "猫" * 82 + ".png"
    pass_through(save(tmp_path / name, picture()), tmp_path / "out" / name)
    animation(tmp_path / ("猫" * 83 + ".webp"))
    pass_through(tmp_path / ("猫" * 83 + ".webp"), tmp_path / "out")
    assert sorted(len(path.name) for path in (tmp_path / "out").iterdir()) == [86, 88]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_names_with_line_breaks_are_written(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "a\nb.png", picture())
    pass_through(folder, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a\nb.png"]


def test_frames_of_the_same_name_are_all_kept(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path, EncodeOptions())
    for _ in range(3):
        sink.write(Frame(BLACK, name="sub/a.png"), BLACK)
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == ["a-2.png", "a-3.png", "a.png"]
    assert [note.split(" (")[0] for note in sink.notes] == ["another image has this name; a number is added"]


def test_names_that_a_file_system_does_not_distinguish_get_a_number(tmp_path: Path) -> None:
    first = save(tmp_path / "A.png", picture())
    (tmp_path / "a.png").symlink_to(first)  # the same file, as on a file system without case
    assert unused(tmp_path / "a.png", lambda key: first).name == "a-2.png"
    assert unused(tmp_path / "A.PNG", lambda key: first).name == "A.PNG"  # does not exist: names differ here


def test_files_of_several_folders_keep_their_subfolders(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "a.png", picture())
    source = FolderSource(None, {"x/a.png": tmp_path / "x" / "a.png", "y/a.png": tmp_path / "y" / "a.png"})
    with source, open_sink(tmp_path / "out", source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
    assert sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")) == [
        "x/a.png",
        "y/a.png",
    ]


@pytest.mark.parametrize(("name", "package"), [("in.heic", "pillow-heif"), ("in.jxl", "pillow-jxl-plugin")])
def test_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    from facesr_edge.sdk.media.images.pillow import load_plugin

    save(tmp_path / name, picture())
    save(tmp_path / "in.png", picture())
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif" if "heif" in package else "pillow_jxl", None)
    load_plugin.cache_clear()
    with pytest.raises(MissingDependencyError, match=rf"{package}.*pip install 'facesr-edge\[formats\]'"):
        open_source(tmp_path / name)
    with pytest.raises(MissingDependencyError, match=package):
        open_sink(tmp_path / name.replace("in", "o"), open_source(tmp_path / "in.png"))
    assert [failure.name for failure in _listed(tmp_path)] == [name]
    load_plugin.cache_clear()


def _listed(folder: Path) -> list:
    source = open_source(folder)
    list(source)
    return source.failures


@pytest.mark.parametrize("suffix", [".avif", ".heic", ".jxl"])
def test_format_is_an_image_whatever_its_suffix(tmp_path: Path, suffix: str) -> None:
    save(tmp_path / f"in{suffix}", rgba()).rename(tmp_path / "download.dat")
    source = open_source(tmp_path / "download.dat")
    assert (source.kind, source.size_wh) == ("image", (WIDTH, HEIGHT))


@pytest.mark.parametrize("suffix", [".avif", ".heic", ".jxl", ".webp", ".bmp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_truncated_file_of_any_format_is_a_one_line_error(
    tmp_path: Path, suffix: str, share: float, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8))
    data = save(tmp_path / f"in{suffix}", noise).read_bytes()
    (tmp_path / f"in{suffix}").write_bytes(data[: max(20, int(len(data) * share))])
    with pytest.raises(Exception, match=f"in{suffix}") as error:
        open_source(tmp_path / f"in{suffix}")
    assert type(error.value).__name__ == "InputError"
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""

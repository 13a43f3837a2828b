"""`open_sink`: images, folders, and outputs that are rejected."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame
from support.media import HEIGHT, WIDTH, convert, make_image, make_video, pattern, timestamps


@pytest.mark.parametrize("name", ["o.png", "o.jpg", "o.webp", "o.bmp", "o.tif", "new/folder/ö.png"])
def test_image_is_written_in_each_format(tmp_path: Path, name: str) -> None:
    convert(make_image(tmp_path / "in.png"), tmp_path / name, scale=2)
    (frame,) = open_source(tmp_path / name)
    assert frame.pixels.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    assert np.abs(frame.pixels[::2, ::2].astype(int) - pattern()).mean() < 3
    assert not list(tmp_path.rglob("*.part*"))


@pytest.mark.parametrize("folder", ["new", "existing"])
def test_image_written_to_a_folder_keeps_its_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / "existing").mkdir()
    convert(make_image(tmp_path / "in.png"), tmp_path / folder)
    assert [path.name for path in (tmp_path / folder).iterdir()] == ["in.png"]


def test_video_written_to_a_folder_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    convert(make_video(tmp_path / "in.mkv", 5), tmp_path / "out")
    assert len(timestamps(tmp_path / "out" / "in.mkv")) == 5


def test_folder_of_images_keeps_their_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b.png", "a.jpg", "ç.webp"):
        make_image(tmp_path / "in" / name)
    convert(tmp_path / "in", tmp_path / "out" / "deep")
    assert sorted(path.name for path in (tmp_path / "out" / "deep").iterdir()) == ["a.jpg", "b.png", "ç.webp"]


def test_name_of_a_frame_does_not_leave_the_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make_image(tmp_path / "in" / "a.png")
    with open_source(tmp_path / "in") as source, open_sink(tmp_path / "out", source) as sink:
        sink.write(Frame(pattern(), name="../outside.png"), pattern())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["outside.png"]
    assert not (tmp_path / "outside.png").exists()


def test_image_too_large_for_its_format_raises(tmp_path: Path) -> None:
    source = open_source(make_image(tmp_path / "in.png"))
    sink = open_sink(tmp_path / "o.webp", source)
    with pytest.raises(OutputError, match="smaller outscale"):
        sink.write(next(iter(source)), np.zeros((4, 17_000, 3), np.uint8))
    assert not list(tmp_path.glob("o*"))


@pytest.mark.parametrize(
    ("source_name", "output"),
    [
        ("in.png", "in.png"),
        ("in.png", "."),
        ("in.mp4", "in.mp4"),
        ("in.mp4", "./deep/../in.mp4"),
        ("images", "images"),
        ("in.mp4", "linked.mp4"),
        ("in.mp4", "o.png"),
        ("in.png", "o.mp4"),
        ("in.png", "o.xyz"),
        ("images", "o.png"),
        ("images", "o.mp4"),
        ("images", "in.mp4"),
    ],
)
def test_unsuitable_output_is_rejected(tmp_path: Path, source_name: str, output: str) -> None:
    make_image(tmp_path / "in.png")
    make_video(tmp_path / "in.mp4", 3)
    (tmp_path / "linked.mp4").symlink_to(tmp_path / "in.mp4")
    (tmp_path / "images").mkdir()
    make_image(tmp_path / "images" / "a.png")
    (tmp_path / "deep").mkdir()
    before = (tmp_path / "in.mp4").read_bytes()
    with open_source(tmp_path / source_name) as source, pytest.raises(UsageError) as error:
        open_sink(tmp_path / output, source)
    assert "\n" not in str(error.value)
    assert "give" in str(error.value)
    assert (tmp_path / "in.mp4").read_bytes() == before


def test_output_above_the_size_limit_of_the_codec_is_rejected_on_opening(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, pytest.raises(UsageError, match="16384"):
        open_sink(tmp_path / "o.mp4", source, outscale=300)


def test_output_folder_that_is_a_file_raises_a_one_line_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with open_source(make_image(tmp_path / "in.png")) as source, pytest.raises(OutputError) as error:
        open_sink(tmp_path / "file" / "o.png", source)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write to every folder")
def test_folder_without_write_permission_raises(tmp_path: Path) -> None:
    make_image(tmp_path / "in.png")
    (tmp_path / "locked").mkdir(mode=0o500)
    with open_source(tmp_path / "in.png") as source, pytest.raises(OutputError, match="permission denied"):
        open_sink(tmp_path / "locked" / "o.png", source)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_composite_of_wrong_shape_or_dtype_is_rejected(tmp_path: Path, pixels: np.ndarray) -> None:
    sink = open_sink(tmp_path / "o.png", open_source(make_image(tmp_path / "in.png")))
    with pytest.raises(UsageError, match="uint8 BGR"):
        sink.write(Frame(pattern()), pixels)


def test_frame_of_another_size_is_rejected(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        sink.write(Frame(pattern(), pts=0, time_base=Fraction(1, 25)), pattern())
        with pytest.raises(UsageError, match="as in the first frame"):
            sink.write(Frame(pattern(), pts=1, time_base=Fraction(1, 25)), pattern()[:20])


def _size(folder: Path, name: str, options: EncodeOptions) -> int:
    """Bytes of a noisy picture written with the options, after a check of its pixels."""
    pixels = np.clip(pattern()[:, :, :] + np.random.default_rng(0).normal(0, 8, pattern().shape), 0, 255).astype(
        np.uint8
    )
    with (
        open_source(make_image(folder / "in.png")) as source,
        open_sink(folder / name, source, options=options) as sink,
    ):
        sink.write(next(iter(source)), pixels)
    (decoded,) = open_source(folder / name)
    if name.endswith(".png"):
        np.testing.assert_array_equal(decoded.pixels, pixels)
    return (folder / name).stat().st_size


@pytest.mark.parametrize("name", ["o.jpg", "o.jpeg", "o.webp"])
def test_size_grows_with_quality(tmp_path: Path, name: str) -> None:
    sizes = [_size(tmp_path, name, EncodeOptions(quality=quality)) for quality in (10, 50, 80, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 2


def test_default_quality_of_jpeg_is_95(tmp_path: Path) -> None:
    assert _size(tmp_path, "o.jpg", EncodeOptions()) == _size(tmp_path, "o.jpg", EncodeOptions(quality=95))


def test_compression_of_png_is_lossless_at_every_level(tmp_path: Path) -> None:
    sizes = {level: _size(tmp_path, "o.png", EncodeOptions(compression=level)) for level in range(10)}
    assert sizes[0] > sizes[1] >= sizes[9]
    assert _size(tmp_path, "o.png", EncodeOptions()) < sizes[0]


def test_quality_applies_to_the_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.png"):
        make_image(tmp_path / "in" / name)
    sizes = []
    for quality in (20, 90):
        options = EncodeOptions(quality=quality, compression=1)
        with open_source(tmp_path / "in") as source, open_sink(tmp_path / "out", source, options=options) as sink:
            for frame in source:
                sink.write(frame, frame.pixels)
        sizes.append((tmp_path / "out" / "a.jpg").stat().st_size)
    assert sizes[0] < sizes[1]


def test_a_sequence_goes_to_a_folder_under_its_names_and_never_onto_itself(tmp_path: Path) -> None:
    for number in range(3):
        make_image(tmp_path / f"f_{number:03d}.png")
    with open_source(tmp_path / "f_%03d.png") as source:
        with open_sink(tmp_path / "out", source) as sink:
            for frame in source:
                sink.write(frame, frame.pixels)
        assert len(list((tmp_path / "out").glob("f_00?.png"))) == 3
        with pytest.raises(UsageError, match="would be overwritten"):
            open_sink(tmp_path / "f_%03d.png", source)

"""Files of several images: every frame, its duration, the loop count and opacity, in files of the same kind."""

from __future__ import annotations

import shutil
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, OutputError
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.images.sink import FolderSink
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame
from PIL import Image
from support.pictures import HEIGHT, WIDTH, animation, exif, pass_through, rgb_profile, save

DURATIONS = (100, 500, 50, 1000)


def frames_of(path: Path) -> list[tuple[tuple[int, int, int, int], float]]:
    """Color of the center and duration in ms of each frame, as Pillow reads them."""
    with Image.open(path) as image:
        found = []
        for index in range(image.n_frames):
            image.seek(index)
            pixel = image.convert("RGBA").getpixel((image.width // 2, image.height // 2))
            found.append((pixel, image.info.get("duration", 0)))
    return found


@pytest.mark.parametrize("suffix", [".webp", ".png", ".avif"])
def test_all_frames_are_read_with_their_times(tmp_path: Path, suffix: str) -> None:
    with open_source(animation(tmp_path / f"in{suffix}")) as source:
        frames = list(source)
        again = list(source)
    assert (source.kind, source.frame_count, source.size_wh) == ("video", 4, (WIDTH, HEIGHT))
    assert [int(frame.pixels[9, 9, 0]) for frame in frames] == pytest.approx([20, 60, 100, 140], abs=3)
    times = [(frame.index, frame.pts * frame.time_base, frame.duration * frame.time_base) for frame in frames]
    expected = [(0, 0, 100), (1, 100, 500), (2, 600, 50), (3, 650, 1000)]
    assert times == [(index, Fraction(start, 1000), Fraction(length, 1000)) for index, start, length in expected]
    assert [frame.pts for frame in again] == [frame.pts for frame in frames]
    assert suffix == ".avif" or source.loop == 3


@pytest.mark.parametrize("suffix", [".webp", ".png"])
@pytest.mark.parametrize("target", [".webp", ".png", ".apng"])
def test_animation_is_written_with_times_loop_and_alpha(tmp_path: Path, suffix: str, target: str) -> None:
    source, sink = pass_through(animation(tmp_path / f"in{suffix}", alpha=True), tmp_path / f"o{target}")
    assert (source.notes, sink.notes) == ([], [])
    assert [length for _, length in frames_of(tmp_path / f"o{target}")] == list(DURATIONS)
    colors = [color for color, _ in frames_of(tmp_path / f"o{target}")]
    assert colors == [(20, 20, 20, 255), (60, 60, 60, 195), (100, 100, 100, 135), (140, 140, 140, 75)]
    with Image.open(tmp_path / f"o{target}") as image:
        assert (image.size, image.info["loop"]) == ((2 * WIDTH, 2 * HEIGHT), 3)


def test_pages_of_a_tiff_are_read_and_written(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (40 + 8 * index, 30), (50 * index, 9, 9)) for index in range(3)]
    path = tmp_path / "in.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:], icc_profile=rgb_profile(), dpi=(300, 300))
    source, sink = pass_through(path, tmp_path / "o.tif")
    assert (source.frame_count, source.notes, sink.notes) == (3, [], [])
    with Image.open(tmp_path / "o.tif") as image:
        assert image.n_frames == 3
        for index in range(3):
            image.seek(index)
            assert image.size == (80 + 16 * index, 60)
            assert image.getpixel((5, 5)) == (50 * index, 9, 9)
            assert image.info["icc_profile"] == rgb_profile()


def test_deep_pages_keep_their_bits(tmp_path: Path) -> None:
    import cv2

    deep = [np.random.default_rng(seed).integers(0, 65536, (20, 30, 3), dtype=np.uint16) for seed in range(3)]
    (tmp_path / "in.tif").write_bytes(cv2.imencodemulti(".tif", deep)[1].tobytes())
    pass_through(tmp_path / "in.tif", tmp_path / "o.tif", scale=1)
    for frame, expected in zip(open_source(tmp_path / "o.tif"), deep, strict=True):
        np.testing.assert_array_equal(frame.deep, expected)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp", ".avif"])
def test_format_of_one_image_gets_numbered_files_and_a_note(tmp_path: Path, suffix: str) -> None:
    _, sink = pass_through(animation(tmp_path / "in.webp"), tmp_path / f"o{suffix}")
    assert sorted(path.name for path in tmp_path.glob("o*")) == [f"o-000{n}{suffix}" for n in (1, 2, 3, 4)]
    assert sink.notes == [f"frames written to separate files, o-0001{suffix}, …: {suffix} stores one image"]


@pytest.mark.parametrize("suffix", [".gif", ".mkv"])
def test_animation_is_written_as_video(tmp_path: Path, suffix: str) -> None:
    _, sink = pass_through(animation(tmp_path / "in.webp"), tmp_path / f"o{suffix}")
    assert sink.notes == ([] if suffix == ".gif" else ["3 repetitions dropped: .mkv is played once; use .gif or .webp"])
    with av.open(str(tmp_path / f"o{suffix}")) as container:
        times = [round(float(frame.time) * 1000) for frame in container.decode(video=0)]
    assert times == [0, 100, 600, 650]


def test_times_that_a_tiff_does_not_store_are_noted(tmp_path: Path) -> None:
    _, sink = pass_through(animation(tmp_path / "in.webp"), tmp_path / "o.tif")
    assert sink.notes == ["durations and repetitions dropped: TIFF files have none"]


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_metadata_that_a_video_does_not_store_is_noted(tmp_path: Path, suffix: str) -> None:
    pages = [Image.new("RGB", (WIDTH, HEIGHT), (9 * index, 0, 0)) for index in range(2)]
    settings = {"exif": b"Exif\0\0" + exif(1), "icc_profile": rgb_profile(), "duration": 80, "loop": 1}
    pages[0].save(tmp_path / "in.webp", save_all=True, append_images=pages[1:], **settings)
    _, sink = pass_through(tmp_path / "in.webp", tmp_path / f"o{suffix}")
    assert [note.split(":")[0] for note in sink.notes] == ["ICC profile dropped", "EXIF dropped"]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_gif_is_written_as_animation(tmp_path: Path, suffix: str) -> None:
    colors = [Image.new("RGB", (WIDTH, HEIGHT), (60 * index, 0, 0)) for index in range(3)]
    colors[0].save(tmp_path / "in.gif", save_all=True, append_images=colors[1:], duration=[100, 500, 50], loop=0)
    pass_through(tmp_path / "in.gif", tmp_path / f"o{suffix}")
    found = frames_of(tmp_path / f"o{suffix}")
    assert [color[0] for color, _ in found] == pytest.approx([0, 60, 120], abs=4)
    assert [length for _, length in found][:2] == [100, 500]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_metadata_of_an_animation_is_kept(tmp_path: Path, suffix: str) -> None:
    pages = [Image.new("RGB", (WIDTH, HEIGHT), (9 * index, 0, 0)) for index in range(2)]
    settings = {"exif": b"Exif\0\0" + exif(1), "icc_profile": rgb_profile(), "duration": 80}
    pages[0].save(tmp_path / f"in{suffix}", save_all=True, append_images=pages[1:], **settings)
    pass_through(tmp_path / f"in{suffix}", tmp_path / f"o{suffix}")
    with Image.open(tmp_path / f"o{suffix}") as image:
        assert image.info["icc_profile"] == rgb_profile()
        assert image.getexif()[0x010F] == "Maker"
        assert image.n_frames == 2


@pytest.mark.parametrize("suffix", [".webp", ".png", ".tif"])
def test_stopped_animation_is_a_readable_file_of_the_frames_so_far(tmp_path: Path, suffix: str) -> None:
    path = animation(tmp_path / f"in{suffix}")
    with (
        pytest.raises(KeyboardInterrupt),
        open_source(path) as source,
        open_sink(tmp_path / f"o{suffix}", source) as sink,
    ):
        for frame in source:
            if frame.index == 2:
                raise KeyboardInterrupt
            sink.write(frame, frame.pixels)
    assert len(frames_of(tmp_path / f"o{suffix}")) == 2
    assert not list(tmp_path.glob("*.part"))


def test_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    source = open_source(animation(tmp_path / "in.webp"))
    with open_sink(tmp_path / "o.webp", source) as sink:
        sink.write(
            Frame(np.zeros((4, 4, 3), np.uint8), pts=0, time_base=Fraction(1, 10)), np.zeros((4, 4, 3), np.uint8)
        )
        with pytest.raises(ValueError, match="as the first"):
            sink.write(Frame(np.zeros((4, 6, 3), np.uint8)), np.zeros((4, 6, 3), np.uint8))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_damaged_frame_is_an_error_after_the_good_ones(tmp_path: Path, suffix: str) -> None:
    noise = [np.random.default_rng(n).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8) for n in range(3)]
    images = [Image.fromarray(pixels) for pixels in noise]
    settings = {"duration": 50} if suffix == ".png" else {}
    images[0].save(tmp_path / f"in{suffix}", save_all=True, append_images=images[1:], **settings)
    data = bytearray((tmp_path / f"in{suffix}").read_bytes())
    if suffix == ".tif":
        data = data[: int(len(data) * 0.8)]
    else:
        data[-len(data) // 5 : -len(data) // 5 + 40] = bytes(40)
    (tmp_path / f"in{suffix}").write_bytes(bytes(data))
    with pytest.raises(InputError, match="damaged"):
        list(open_source(tmp_path / f"in{suffix}"))


@pytest.mark.parametrize("suffix", [".webp", ".png", ".tif"])
def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path, suffix: str) -> None:
    path = animation(tmp_path / f"in{suffix}", durations=(40,) * 5)
    peaks = []
    for count in (5, 40):
        source = open_source(path)
        with open_sink(tmp_path / f"o{count}{suffix}", source) as sink:
            pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
            tracemalloc.start()
            for index in range(count):
                sink.write(Frame(pixels, index, pts=index, time_base=Fraction(1, 25)), pixels)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert len(frames_of(tmp_path / f"o{count}{suffix}")) == count
    assert peaks[1] < peaks[0] + 150_000


def test_animation_larger_than_the_format_is_refused_before_the_work(tmp_path: Path) -> None:
    with open_source(animation(tmp_path / "in.webp")) as source, pytest.raises(ValueError, match="16383"):
        open_sink(tmp_path / "o.webp", source, outscale=300)


def test_disk_error_leaves_no_file(tmp_path: Path) -> None:
    source = open_source(animation(tmp_path / "in.webp"))
    sink = open_sink(tmp_path / "gone" / "o.webp", source, options=EncodeOptions(quality=50))
    shutil.rmtree(tmp_path / "gone")
    with pytest.raises(OutputError):
        sink.write(next(iter(source)), np.zeros((4, 4, 3), np.uint8))


def test_still_image_of_an_animation_is_left_out_with_a_note(tmp_path: Path) -> None:
    images = [Image.new("RGB", (WIDTH, HEIGHT), (color, 0, 0)) for color in (250, 10, 20)]
    save(tmp_path / "in.png", images[0], save_all=True, append_images=images[1:], default_image=True, duration=80)
    source = open_source(tmp_path / "in.png")
    assert [int(frame.pixels[0, 0, 2]) for frame in source] == [10, 20]
    assert source.notes == ["still image for software without animations dropped"]


@pytest.mark.parametrize("suffix", [".webp", ".png"])
def test_animation_of_one_frame_is_an_image(tmp_path: Path, suffix: str) -> None:
    path = animation(tmp_path / "in.png", durations=(80, 80))
    with open_source(path) as source, open_sink(tmp_path / f"one{suffix}", source) as sink:
        frame = next(iter(source))
        sink.write(frame, frame.pixels)
    single = open_source(tmp_path / f"one{suffix}")
    assert (single.kind, single.notes) == ("image", [])
    np.testing.assert_array_equal(next(iter(single)).pixels, frame.pixels)


def test_video_frames_in_a_folder_are_numbered_images(tmp_path: Path) -> None:
    sink = FolderSink(tmp_path, EncodeOptions())
    for index in range(2):
        pixels = np.zeros((4, 4, 3), np.uint8)
        sink.write(Frame(pixels, index, pts=index, time_base=Fraction(1, 25)), pixels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.png", "000001.png"]

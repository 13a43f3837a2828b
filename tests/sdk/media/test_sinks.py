"""The same kind of thing comes out, with every timestamp and every sound; a broken run leaves no broken file."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.sdk.media.live import LiveSource
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame

WIDTH, HEIGHT = 64, 48
VIDEO = Path(__file__).parents[3].parent / "shared" / "video"


def picture(level: int = 120) -> np.ndarray:
    pixels = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    pixels[:, :, 0] = np.arange(WIDTH) * 2
    pixels[:12, :16] = (0, 0, 255)
    return pixels


def make_video(
    path: Path, frames: int = 40, pts: list[int] | None = None, sounds: tuple[str, ...] = ("aac",),
    codec: str = "libx264", pixel_format: str = "yuv420p",
) -> Path:  # fmt: skip
    """Frames of 40 ms with a tone beside them in each sound stream."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, pixel_format
        video.codec_context.time_base = Fraction(1, 1000)
        tracks = [container.add_stream(sound, rate=48_000) for sound in sounds]
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index * 10 % 200 + 40), "bgr24")
            frame.pts, frame.time_base = pts[index] if pts else index * 40, Fraction(1, 1000)
            container.mux(video.encode(frame))
            for number, track in enumerate(tracks):
                at = np.arange(index * 1920, (index + 1) * 1920)
                tone = (np.sin(at * (0.05 + 0.02 * number)) * 9000).astype(np.int16)[None]
                heard = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
                heard.sample_rate, heard.pts, heard.time_base = 48_000, index * 1920, Fraction(1, 48_000)
                container.mux(track.encode(heard))
        for stream in (video, *tracks):
            container.mux(stream.encode(None))
    return path


def make_picture(path: Path) -> Path:
    path.write_bytes(cv2.imencode(path.suffix, picture())[1].tobytes())
    return path


def run(source_path: Path, output: Path, scale: int = 1, stop_after: int | None = None) -> list[str]:
    with open_source(source_path) as source, open_sink(output, source, outscale=scale) as sink:
        for frame in source:
            if frame.index == stop_after:
                raise KeyboardInterrupt
            sink.write(frame, np.repeat(np.repeat(frame.pixels, scale, 0), scale, 1))
    return sink.notes


def times(path: Path) -> list[float]:
    with open_source(path) as source:
        return [frame.time_s for frame in source]


def sounds(path: Path, of: int = 0) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[of])
        return [(float(p.pts * p.time_base), bytes(p)) for p in packets if p.pts is not None and p.size]


# Pictures and folders


@pytest.mark.parametrize("name", ["o.png", "o.jpg", "o.webp", "o.bmp", "o.tif", "neu/tief/ö.png"])
def test_a_picture_goes_into_a_picture(tmp_path: Path, name: str) -> None:
    run(make_picture(tmp_path / "in.png"), tmp_path / name, scale=2)
    (frame,) = open_source(tmp_path / name)
    assert frame.pixels.shape == (2 * HEIGHT, 2 * WIDTH, 3)
    assert np.abs(frame.pixels[::2, ::2].astype(int) - picture()).mean() < 3
    assert not list(tmp_path.rglob("*.partial*"))


@pytest.mark.parametrize("folder", ["new", "there"])
def test_a_picture_goes_into_a_folder_under_its_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / "there").mkdir()
    run(make_picture(tmp_path / "in.png"), tmp_path / folder)
    assert [path.name for path in (tmp_path / folder).iterdir()] == ["in.png"]


def test_a_folder_goes_into_a_folder_of_the_same_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b.png", "a.jpg", "ç.webp"):
        make_picture(tmp_path / "in" / name)
    run(tmp_path / "in", tmp_path / "out" / "deep")
    assert sorted(path.name for path in (tmp_path / "out" / "deep").iterdir()) == ["a.jpg", "b.png", "ç.webp"]


def test_a_picture_too_large_for_its_format_says_so(tmp_path: Path) -> None:
    source = open_source(make_picture(tmp_path / "in.png"))
    sink = open_sink(tmp_path / "o.webp", source)
    with pytest.raises(OutputError, match="smaller outscale"):
        sink.write(next(iter(source)), np.zeros((4, 17_000, 3), np.uint8))
    assert not list(tmp_path.glob("o*"))


# What does not fit


@pytest.mark.parametrize(
    ("given", "output"),
    [
        ("in.png", "in.png"),
        ("in.png", "."),
        ("in.mp4", "in.mp4"),
        ("in.mp4", "./deep/../in.mp4"),
        ("pictures", "pictures"),
        ("in.mp4", "linked.mp4"),
        ("in.mp4", "o.png"),
        ("in.png", "o.mp4"),
        ("in.png", "o.xyz"),
        ("pictures", "o.png"),
        ("pictures", "o.mp4"),
        ("pictures", "in.mp4"),
    ],
)
def test_an_output_that_does_not_fit_is_refused(tmp_path: Path, given: str, output: str) -> None:
    make_picture(tmp_path / "in.png")
    make_video(tmp_path / "in.mp4", 3)
    (tmp_path / "linked.mp4").symlink_to(tmp_path / "in.mp4")
    (tmp_path / "pictures").mkdir()
    make_picture(tmp_path / "pictures" / "a.png")
    (tmp_path / "deep").mkdir()
    before = (tmp_path / "in.mp4").read_bytes()
    with open_source(tmp_path / given) as source, pytest.raises(UsageError) as error:
        open_sink(tmp_path / output, source)
    assert "\n" not in str(error.value)
    assert "give" in str(error.value) or "name a file" in str(error.value)
    assert (tmp_path / "in.mp4").read_bytes() == before


def test_an_output_larger_than_the_codec_can_is_refused_before_the_first_frame(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, pytest.raises(UsageError, match="16384"):
        open_sink(tmp_path / "o.mp4", source, outscale=300)


def test_a_file_in_the_way_of_a_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with open_source(make_picture(tmp_path / "in.png")) as source, pytest.raises(OutputError) as error:
        open_sink(tmp_path / "file" / "o.png", source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)])
def test_composites_are_checked(tmp_path: Path, pixels: np.ndarray) -> None:
    sink = open_sink(tmp_path / "o.png", open_source(make_picture(tmp_path / "in.png")))
    with pytest.raises(UsageError, match="uint8 BGR"):
        sink.write(Frame(picture()), pixels)


def test_a_video_keeps_its_size(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        sink.write(Frame(picture(), pts=0, time_base=Fraction(1, 25)), picture())
        with pytest.raises(UsageError, match="keeps its size"):
            sink.write(Frame(picture(), pts=1, time_base=Fraction(1, 25)), picture()[:20])


# Videos


@pytest.mark.parametrize("output", ["o.mp4", "o.mov", "o.mkv", "o.webm", "o.gif"])
@pytest.mark.parametrize("given", ["in.mp4", "in.mkv"])
def test_a_video_keeps_every_frame_and_timestamp(tmp_path: Path, given: str, output: str) -> None:
    run(make_video(tmp_path / given), tmp_path / output, scale=2)
    np.testing.assert_allclose(times(tmp_path / output), times(tmp_path / given), atol=1e-9)
    with open_source(tmp_path / output) as source:
        assert source.size_wh == (2 * WIDTH, 2 * HEIGHT)
        assert source.rate == 25
        assert np.abs(next(iter(source)).pixels[::2, ::2].astype(int) - picture(40)).mean() < 6
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv", "o.mov"])
def test_variable_times_and_an_offset_are_kept(tmp_path: Path, output: str) -> None:
    pts = [1000, 1040, 1055, 1200, 1999, 2000, 2400]
    make_video(tmp_path / "in.mkv", 7, pts=pts, sounds=())
    run(tmp_path / "in.mkv", tmp_path / output)
    assert times(tmp_path / output) == pytest.approx([stamp / 1000 for stamp in pts], abs=1e-9)


def test_a_gif_takes_the_nearest_time_it_can_tell(tmp_path: Path) -> None:
    pts = [0, 33, 67, 100, 104, 133]
    make_video(tmp_path / "in.mkv", 6, pts=pts, sounds=())
    run(tmp_path / "in.mkv", tmp_path / "o.gif")
    assert times(tmp_path / "o.gif") == pytest.approx([0, 0.03, 0.07, 0.10, 0.11, 0.13])


def test_an_avi_keeps_every_frame_at_the_average_rate(tmp_path: Path) -> None:
    run(make_video(tmp_path / "in.mp4"), tmp_path / "o.avi")
    stamps = times(tmp_path / "o.avi")
    assert len(stamps) == 40
    np.testing.assert_allclose(np.diff(stamps), 0.04, atol=1e-9)
    assert [data for _, data in sounds(tmp_path / "o.avi")] == [data for _, data in sounds(tmp_path / "in.mp4")]


def test_a_gif_goes_into_a_gif_and_a_video(tmp_path: Path) -> None:
    make_video(tmp_path / "in.gif", 12, sounds=(), codec="gif", pixel_format="bgr8")
    for name in ("o.gif", "o.mp4"):
        run(tmp_path / "in.gif", tmp_path / name)
        assert times(tmp_path / name) == pytest.approx(times(tmp_path / "in.gif"))


def test_a_video_goes_into_a_folder_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    run(make_video(tmp_path / "in.mkv", 5), tmp_path / "out")
    assert len(times(tmp_path / "out" / "in.mkv")) == 5


def test_an_odd_size_is_widened_and_said(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels[:47, :63])
    assert "63x47" in sink.notes[0]
    (first, *_) = open_source(tmp_path / "o.mp4")
    assert first.pixels.shape == (48, 64, 3)


def test_colours_survive_decoding_and_encoding(tmp_path: Path) -> None:
    """Sixty-four flat patches, moderately bright, whose mean may not drift by a level and whose tags say BT.709."""
    patches = np.random.default_rng(0).integers(40, 210, (3, 4, 3)).astype(np.uint8)
    pixels = np.repeat(np.repeat(patches, 16, 0), 16, 1)
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame in source:
            sink.write(frame, pixels)
    back = next(iter(open_source(tmp_path / "o.mp4"))).pixels
    inner = np.s_[4::16, 4::16]
    difference = back[inner].astype(int) - pixels[inner]
    assert np.abs(difference.mean((0, 1))).max() < 1.2
    assert np.abs(difference).max() <= 4
    with av.open(str(tmp_path / "o.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range, context.color_primaries) == (1, 1, 1)


def test_without_a_frame_nothing_is_left(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, open_sink(tmp_path / "o.mp4", source):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


# Sound


@pytest.mark.parametrize("output", ["o.mp4", "o.mov", "o.mkv"])
@pytest.mark.parametrize(
    ("given", "tracks"),
    [("in.mp4", ("aac",)), ("in.mkv", ("aac",)), ("in.mp4", ("aac", "aac")), ("in.mkv", ("libmp3lame",))],
)
def test_sound_is_copied_packet_for_packet(tmp_path: Path, given: str, tracks: tuple[str, ...], output: str) -> None:
    notes = run(make_video(tmp_path / given, sounds=tracks), tmp_path / output)
    assert notes == []
    for of in range(len(tracks)):
        before, after = sounds(tmp_path / given, of), sounds(tmp_path / output, of)
        assert [data for _, data in after] == [data for _, data in before]
        tolerance = 1e-9 if Path(given).suffix == Path(output).suffix else 0.001
        assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=tolerance)


@pytest.mark.parametrize("output", ["o.webm", "o.gif"])
def test_sound_that_the_file_cannot_hold_is_left_out_and_said(tmp_path: Path, output: str) -> None:
    notes = run(make_video(tmp_path / "in.mp4", 5), tmp_path / output)
    assert len(notes) == 1
    assert "sound left out" in notes[0]
    assert "aac" in notes[0]
    assert len(times(tmp_path / output)) == 5


def test_a_transport_stream_keeps_its_sound(tmp_path: Path) -> None:
    run(make_video(tmp_path / "in.ts"), tmp_path / "o.mp4")
    assert times(tmp_path / "o.mp4") == pytest.approx(times(tmp_path / "in.ts"), abs=1e-4)
    lag = sounds(tmp_path / "o.mp4")[0][0] - sounds(tmp_path / "in.ts")[0][0]
    assert abs(lag) < 0.001


# Broken runs


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv", "o.mov", "o.webm", "o.gif", "o.avi"])
def test_an_interrupted_run_leaves_a_playable_file(tmp_path: Path, output: str) -> None:
    make_video(tmp_path / "in.mp4")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "in.mp4", tmp_path / output, stop_after=17)
    assert len(times(tmp_path / output)) == 17
    if output in {"o.mp4", "o.mkv"}:
        heard = sounds(tmp_path / output)
        assert 0.5 < heard[-1][0] <= 16 * 0.04 + 0.001
    assert not list(tmp_path.glob("*.partial*"))


def test_a_source_read_in_part_takes_only_its_part_of_the_sound(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4")) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame, _ in zip(source, range(10), strict=False):
            sink.write(frame, frame.pixels)
    assert sounds(tmp_path / "o.mp4")[-1][0] <= 0.4


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv"])
def test_a_killed_run_leaves_a_playable_part(tmp_path: Path, output: str) -> None:
    make_video(tmp_path / "in.mp4", 200)
    script = f"""
        import os, signal
        from facesr_edge.sdk.media.sources import open_source
        from facesr_edge.sdk.media.sinks import open_sink
        with open_source({str(tmp_path / "in.mp4")!r}) as source, open_sink({str(tmp_path / output)!r}, source) as sink:
            for frame in source:
                sink.write(frame, frame.pixels)
                if frame.index == 150:
                    os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    stem, suffix = output.split(".")
    with av.open(str(tmp_path / f"{stem}.partial.{suffix}")) as container:
        assert sum(1 for _ in container.decode(video=0)) > 50
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize("output", ["o.mp4", "o.png"])
def test_a_full_disk_is_one_line(tmp_path: Path, output: str) -> None:
    """A limit on the size of files stands for the full disk."""
    source_path = make_picture(tmp_path / "in.png") if output == "o.png" else make_video(tmp_path / "in.mp4", 200)
    noise = np.random.default_rng(0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with (
            pytest.raises(OutputError) as error,
            open_source(source_path) as source,
            open_sink(tmp_path / output, source) as sink,
        ):
            for frame in source:
                sink.write(frame, noise.integers(0, 256, (480, 640, 3)).astype(np.uint8))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(error.value)
    assert "free some space or choose another folder" in str(error.value)
    assert not list(tmp_path.glob("*.partial*"))
    if output == "o.mp4" and (tmp_path / output).exists():
        with av.open(str(tmp_path / output)) as container:
            assert next(container.decode(video=0)).width == 640


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_one_line(tmp_path: Path) -> None:
    make_picture(tmp_path / "in.png")
    (tmp_path / "shut").mkdir(mode=0o500)
    with open_source(tmp_path / "in.png") as source, pytest.raises(OutputError, match="permission denied"):
        open_sink(tmp_path / "shut" / "o.png", source)


# Live


def test_a_live_source_goes_into_a_video_that_starts_at_zero(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mkv", 30, pts=[5000 + 40 * index for index in range(30)], sounds=())
    live = LiveSource(str(tmp_path / "in.mkv"), "camera", keep=100)
    with live as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
    assert times(tmp_path / "o.mp4") == pytest.approx([0.04 * index for index in range(30)], abs=1e-4)


def test_a_live_source_needs_the_name_of_a_file(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mkv", 5, sounds=())
    with LiveSource(str(tmp_path / "in.mkv"), "camera") as source, pytest.raises(UsageError, match=r"output\.mp4"):
        open_sink(tmp_path, source)


# The real thing


@pytest.mark.skipif(not VIDEO.is_dir(), reason="the shared videos are not here")
@pytest.mark.parametrize("output", ["o.gif", "o.mp4"])
@pytest.mark.parametrize(("name", "count"), [("head-pose.gif", 23), ("one-by-one-person.mp4", 50)])
def test_shared_videos_keep_count_and_times(tmp_path: Path, name: str, count: int, output: str) -> None:
    wanted = []
    with open_source(VIDEO / name) as source, open_sink(tmp_path / output, source) as sink:
        for frame, _ in zip(source, range(count), strict=False):
            wanted.append(frame.time_s)
            sink.write(frame, frame.pixels)
    assert len(wanted) == count
    assert times(tmp_path / output) == pytest.approx(wanted, abs=1e-9)


def test_memory_stays_flat(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", 1000)
    sizes_mb = {}
    with open_source(tmp_path / "in.mp4") as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
            if frame.index in (200, 999):
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                sizes_mb[frame.index] = pages * resource.getpagesize() / 1e6
    assert sizes_mb[999] - sizes_mb[200] < 8

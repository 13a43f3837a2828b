"""Video encoding: timestamps, colors, interrupted runs, memory."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.media import (
    HEIGHT,
    SHARED_VIDEO,
    WIDTH,
    audio_packets,
    convert,
    make_image,
    make_video,
    pattern,
    timestamps,
)


@pytest.mark.parametrize(
    ("source_name", "output"),
    [
        *[("in.mp4", name) for name in ("o.mp4", "o.mov", "o.mkv", "o.webm", "o.gif")],
        *[("in.mkv", name) for name in ("o.mp4", "o.mkv")],
    ],
)
def test_every_frame_and_timestamp_is_kept(tmp_path: Path, source_name: str, output: str) -> None:
    convert(make_video(tmp_path / source_name, audio=("aac",)), tmp_path / output, scale=2)
    np.testing.assert_allclose(timestamps(tmp_path / output), timestamps(tmp_path / source_name), atol=1e-9)
    with open_source(tmp_path / output) as source:
        assert source.size_wh == (2 * WIDTH, 2 * HEIGHT)
        assert source.rate == 25
        assert np.abs(next(iter(source)).pixels[::2, ::2].astype(int) - pattern(40)).mean() < 6
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv", "o.mov"])
def test_variable_frame_rate_is_kept(tmp_path: Path, output: str) -> None:
    pts = [0, 40, 55, 200, 999, 1000, 1400]
    convert(make_video(tmp_path / "in.mkv", 7, pts=pts), tmp_path / output)
    assert timestamps(tmp_path / output) == pytest.approx([value / 1000 for value in pts], abs=1e-9)


def test_gif_timestamps_are_rounded_to_10_ms_and_at_least_20_ms_apart(tmp_path: Path) -> None:
    convert(make_video(tmp_path / "in.mkv", 6, pts=[0, 33, 67, 100, 104, 133]), tmp_path / "o.gif")
    assert timestamps(tmp_path / "o.gif") == pytest.approx([0, 0.03, 0.07, 0.10, 0.12, 0.14])


def test_avi_keeps_every_frame_at_the_average_rate(tmp_path: Path) -> None:
    convert(make_video(tmp_path / "in.mp4"), tmp_path / "o.avi")
    times = timestamps(tmp_path / "o.avi")
    assert len(times) == 20
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-9)


@pytest.mark.parametrize("output", ["o.gif", "o.mp4"])
def test_gif_input_keeps_its_timestamps(tmp_path: Path, output: str) -> None:
    make_video(tmp_path / "in.gif", 12, codec="gif", pixel_format="bgr8")
    convert(tmp_path / "in.gif", tmp_path / output)
    assert timestamps(tmp_path / output) == pytest.approx(timestamps(tmp_path / "in.gif"))


def test_odd_size_is_padded_with_a_note(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels[:47, :63])
    assert "63x47" in sink.notes[0]
    (first, *_) = open_source(tmp_path / "o.mp4")
    assert first.pixels.shape == (48, 64, 3)


def test_colors_are_unbiased_and_tagged_bt709(tmp_path: Path) -> None:
    """12 flat patches of medium brightness: the mean error per channel stays below 1.2 levels."""
    patches = np.random.default_rng(0).integers(40, 210, (3, 4, 3)).astype(np.uint8)
    pixels = np.repeat(np.repeat(patches, 16, 0), 16, 1)
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame in source:
            sink.write(frame, pixels)
    decoded = next(iter(open_source(tmp_path / "o.mp4"))).pixels
    inner = np.s_[4::16, 4::16]
    difference = decoded[inner].astype(int) - pixels[inner]
    assert np.abs(difference.mean((0, 1))).max() < 1.2
    assert np.abs(difference).max() <= 4
    with av.open(str(tmp_path / "o.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_range, context.color_primaries) == (1, 1, 1)


def test_no_file_is_created_without_frames(tmp_path: Path) -> None:
    with open_source(make_video(tmp_path / "in.mp4", 3)) as source, open_sink(tmp_path / "o.mp4", source):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv", "o.mov", "o.webm", "o.gif", "o.avi"])
def test_interrupted_run_leaves_a_playable_file(tmp_path: Path, output: str) -> None:
    make_video(tmp_path / "in.mp4", 30, audio=("aac",))
    with pytest.raises(KeyboardInterrupt):
        convert(tmp_path / "in.mp4", tmp_path / output, stop_after=17)
    assert len(timestamps(tmp_path / output)) == 17
    if output in {"o.mp4", "o.mkv"}:
        assert 0.5 < audio_packets(tmp_path / output)[-1][0] <= 16 * 0.04 + 0.001
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("output", ["o.mp4", "o.mkv"])
def test_killed_process_leaves_a_playable_partial_file(tmp_path: Path, output: str) -> None:
    make_video(tmp_path / "in.mp4", 200, audio=("aac",))
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
def test_full_disk_raises_a_one_line_error(tmp_path: Path, output: str, no_file_larger_than) -> None:
    source_path = make_image(tmp_path / "in.png") if output == "o.png" else make_video(tmp_path / "in.mp4", 200)
    rng = np.random.default_rng(0)
    with (
        no_file_larger_than(100_000),
        pytest.raises(OutputError) as error,
        open_source(source_path) as source,
        open_sink(tmp_path / output, source) as sink,
    ):
        for frame in source:
            sink.write(frame, rng.integers(0, 256, (240, 320, 3)).astype(np.uint8))
    assert "\n" not in str(error.value)
    assert "free some space or choose another folder" in str(error.value)
    assert not list(tmp_path.glob("*.part*"))
    if output == "o.mp4" and (tmp_path / output).exists():
        with av.open(str(tmp_path / output)) as container:
            assert next(container.decode(video=0)).width == 320


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm", "avi", "gif"])
def test_full_device_counts_what_is_readable(tmp_path: Path, suffix: str, no_file_larger_than) -> None:
    make_video(tmp_path / "in.mp4", 80)
    rng = np.random.default_rng(0)
    with (
        no_file_larger_than(300_000),
        open_source(tmp_path / "in.mp4") as source,
        pytest.raises(OutputError) as error,
        open_sink(tmp_path / f"o.{suffix}", source) as sink,
    ):
        for frame in source:
            sink.write(frame, rng.integers(0, 256, (120, 160, 3)).astype(np.uint8))
    with av.open(str(tmp_path / f"o.{suffix}")) as container:
        readable = 0
        with suppress(av.FFmpegError):
            for _ in container.decode(video=0):
                readable += 1
    assert 0 < readable == sink.frames_written < 80
    assert f"{readable} of the" in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("*.part*")) + list(tmp_path.glob(".*.part*"))


@pytest.mark.skipif(not SHARED_VIDEO.is_dir(), reason="needs the shared videos")
@pytest.mark.parametrize(
    ("name", "count", "output"),
    [("head-pose.gif", 23, "o.gif"), ("head-pose.gif", 23, "o.mp4"), ("one-by-one-person.mp4", 50, "o.mp4")],
)
def test_shared_video_keeps_every_timestamp(tmp_path: Path, name: str, count: int, output: str) -> None:
    expected = []
    with open_source(SHARED_VIDEO / name) as source, open_sink(tmp_path / output, source) as sink:
        for frame, _ in zip(source, range(count), strict=False):
            expected.append(frame.time_s)
            sink.write(frame, frame.pixels)
    assert len(expected) == count
    assert timestamps(tmp_path / output) == pytest.approx(expected, abs=1e-9)


def test_memory_is_constant(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mp4", 600, audio=("aac",))
    memory_mb = {}
    with open_source(tmp_path / "in.mp4") as source, open_sink(tmp_path / "o.mp4", source) as sink:
        for frame in source:
            sink.write(frame, frame.pixels)
            if frame.index in (200, 599):
                pages = int(Path("/proc/self/statm").read_text().split()[1])
                memory_mb[frame.index] = pages * resource.getpagesize() / 1e6
    assert memory_mb[599] - memory_mb[200] < 4

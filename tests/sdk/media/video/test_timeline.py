"""Timestamps: starts, wrap-around and jumps of clocks, files without presentation times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.frame_times import FrameTimes
from facesr_edge.sdk.media.video.reader import VideoSource
from support.media import make_video

WRAP_S = 2**33 / 90_000


def transport_stream(path: Path, start_s: float, frames: int = 30) -> bytes:
    make_video(path, frames, audio=("aac",), options={"output_ts_offset": str(start_s)})
    return path.read_bytes()


def read(path: Path) -> tuple[VideoSource, list[float], list[float]]:
    """Source, times of the frames and of the sound packets in s."""
    with open_source(path) as source:
        assert isinstance(source, VideoSource)
        queue = source.copy([stream for stream in source.streams if stream.type == "audio"])
        times = [frame.time_s for frame in source]
        sound = [float(packet.pts * packet.time_base) for packet in queue.take_until(None)]
    return source, times, sound


@pytest.mark.parametrize("start_s", [36_000, 60, WRAP_S - 0.5, WRAP_S - 100])
def test_transport_stream_is_moved_to_zero_with_its_sound(tmp_path: Path, start_s: float) -> None:
    transport_stream(tmp_path / "zero.ts", 0)
    transport_stream(tmp_path / "late.ts", start_s)
    _, expected, expected_sound = read(tmp_path / "zero.ts")
    source, times, sound = read(tmp_path / "late.ts")
    assert min(times[0], sound[0]) == 0
    np.testing.assert_allclose(np.diff(times), 0.04, atol=1e-9)
    assert times[-1] == pytest.approx(expected[-1], abs=0.001)
    np.testing.assert_allclose(np.subtract(sound, times[0]), np.subtract(expected_sound, expected[0]), atol=0.001)
    assert source.notes == []


@pytest.mark.parametrize(("first_s", "second_s"), [(0, 0), (36_000, 0), (0, 36_000), (10, 10.5), (WRAP_S - 5, 20_000)])
def test_joined_recordings_continue_without_a_jump(tmp_path: Path, first_s: float, second_s: float) -> None:
    parts = transport_stream(tmp_path / "a.ts", first_s), transport_stream(tmp_path / "b.ts", second_s)
    (tmp_path / "v.ts").write_bytes(b"".join(parts))
    source, times, sound = read(tmp_path / "v.ts")
    assert len(times) == 60
    np.testing.assert_allclose(np.diff(times), 0.04, atol=0.021)
    assert np.diff(sound).min() > 0.01
    assert np.diff(sound).max() < 0.05
    assert times[30] - times[0] == pytest.approx(1.2, abs=0.021)
    (note,) = source.notes
    assert "timestamps jump by" in note
    assert "sound" not in note or "overlapping" in note
    assert source.damaged_frames == 0


def test_gap_of_a_recording_is_kept(tmp_path: Path) -> None:
    parts = transport_stream(tmp_path / "a.ts", 10), transport_stream(tmp_path / "b.ts", 70)
    (tmp_path / "v.ts").write_bytes(b"".join(parts))
    source, times, sound = read(tmp_path / "v.ts")
    assert np.diff(times)[29] == pytest.approx(60 - 29 * 0.04, abs=0.01)
    assert np.diff(sound).max() == pytest.approx(60 - 29 * 0.04, abs=0.1)
    assert not any("jump" in note for note in source.notes)


@pytest.mark.parametrize("name", ["v.avi", "v.h264"])
def test_frames_without_presentation_times_are_on_the_grid(tmp_path: Path, name: str) -> None:
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "3"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        for index in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index * 12, np.uint8), "bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_source(tmp_path / name) as source:
        frames = list(source)
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(20) / 25, atol=1e-9)
    assert np.all(np.diff([frame.pixels.mean() for frame in frames]) > 0)
    assert source.notes == []


def test_timestamps_that_repeat_or_go_back_become_later() -> None:
    times = FrameTimes(Fraction(25), Fraction(1, 1000))
    stamps = [0, 40, 40, 30, 200, None]
    frames = [av.VideoFrame(16, 16, "gray") for _ in stamps]
    for frame, pts in zip(frames, stamps, strict=True):
        frame.pts = pts
    assert [times.next(frame) for frame in frames] == [0, 40, 41, 42, 200, 240]
    (note,) = times.notes()
    assert "2 frames" in note


def test_chapters_are_on_the_timeline(tmp_path: Path) -> None:
    make_video(tmp_path / "in.mkv", 10, pts=[5000 + 40 * index for index in range(10)])
    with av.open(str(tmp_path / "in.mkv")) as container, av.open(str(tmp_path / "v.mkv"), "w") as output:
        output.set_chapters(
            [{"id": 1, "start": 5200, "end": 5400, "time_base": Fraction(1, 1000), "metadata": {"title": "two"}}]
        )
        stream = output.add_stream_from_template(container.streams.video[0])
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = stream
                output.mux(packet)
    with open_source(tmp_path / "v.mkv") as source:
        assert isinstance(source, VideoSource)
        (chapter,) = source.chapters
        first = next(iter(source)).time_s
    assert first == 0
    assert chapter["start"] * chapter["time_base"] == Fraction(1, 5)
    assert chapter["metadata"]["title"] == "two"

"""Decoding of video files: formats, timestamps, rotation, damage."""

from __future__ import annotations

import functools
import threading
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.color_conversion import apply_display_matrix
from facesr_edge.sdk.media.video.reader import VideoSource
from PIL import Image
from support.media import HEIGHT, SHARED_VIDEO, WIDTH, audio_packets, make_video, one_line, pattern


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [
        ("v.mp4", "libx264", "yuv420p"),
        ("v.mkv", "libx264", "yuv444p"),
        ("v.mov", "libx264", "yuv420p10le"),
        ("v.avi", "mpeg4", "yuv420p"),
        ("v.webm", "libvpx-vp9", "yuv420p"),
        ("v.gif", "gif", "bgr8"),
        ("v.mov", "png", "rgba"),
        ("v.mkv", "ffv1", "gray16le"),
    ],
)
def test_each_format_is_decoded_to_bgr(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    make_video(tmp_path / name, codec=codec, pixel_format=pixel_format)
    with open_source(tmp_path / name) as source:
        frames = list(source)
    assert (source.kind, source.size_wh, source.rate) == ("video", (WIDTH, HEIGHT), 25)
    assert [frame.index for frame in frames] == list(range(20))
    assert all(frame.pixels.shape == (HEIGHT, WIDTH, 3) for frame in frames)
    np.testing.assert_allclose(np.diff([frame.time_s for frame in frames]), 0.04, atol=1e-9)
    blue, _, red = frames[3].pixels[4, 4].astype(int)
    assert abs(red - blue) < 8 if "gray" in pixel_format else red - blue > 150


def test_decoded_level_is_unbiased(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mkv", pixel_format="yuv444p", frames=4)
    frame = next(iter(open_source(tmp_path / "v.mkv")))
    assert abs(frame.pixels[30:, 20:].astype(int).mean((0, 1))[1] - 40) < 3


def test_video_can_be_read_twice(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mp4")
    with open_source(tmp_path / "v.mp4") as source:
        next(iter(source))
        first = [frame.pts for frame in source]
        second = [frame.pts for frame in source]
    assert len(first) == 20
    assert first == second
    assert source.exhausted


def test_variable_frame_rate_is_kept_from_zero_on(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mkv", frames=6, pts=[1000, 1040, 1055, 1200, 1999, 2000])
    frames = list(open_source(tmp_path / "v.mkv"))
    assert [frame.pts for frame in frames] == [0, 40, 55, 200, 999, 1000]
    assert [frame.duration for frame in frames] == [40, 15, 145, 799, 1, 40]
    assert [frame.time_base for frame in frames] == [Fraction(1, 1000)] * 6
    assert frames[3].time_s == 0.2


def test_first_index_skips_frames_and_keeps_indices(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mp4")
    with open_source(tmp_path / "v.mp4") as source:
        assert isinstance(source, VideoSource)
        whole = list(source)
        source.first_index = 15
        rest = list(source)
    assert [(frame.index, frame.pts) for frame in rest] == [(frame.index, frame.pts) for frame in whole[15:]]
    np.testing.assert_array_equal(rest[0].pixels, whole[15].pixels)


def test_closed_source_raises(tmp_path: Path) -> None:
    source = open_source(make_video(tmp_path / "v.mp4", 3))
    source.close()
    with pytest.raises(InputError, match="closed"):
        list(source)


def test_packets_of_other_streams_are_those_of_the_file(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mkv", 30, audio=("aac", "libopus"))
    with open_source(tmp_path / "v.mkv") as source:
        assert isinstance(source, VideoSource)
        assert [stream.type for stream in source.streams] == ["audio", "audio"]
        queue = source.copy(source.streams[1:])
        early = []
        for frame in source:
            early += list(queue.take_until(Fraction(frame.time_s)))
            assert all(packet.dts * packet.time_base <= frame.time_s for packet in early)
        packets = [*early, *queue.take_until(None)]
    assert early
    assert [bytes(packet) for packet in packets] == [data for _, data in audio_packets(tmp_path / "v.mkv", 1)]
    queue.close()
    assert list(queue.take_until(None)) == []


def test_animated_gif_keeps_durations_and_repetitions(tmp_path: Path) -> None:
    images = [Image.fromarray(pattern(level)[:, :, ::-1]) for level in (0, 80, 160, 240)]
    images[0].save(tmp_path / "v.gif", save_all=True, append_images=images[1:], duration=[100, 500, 50, 1000], loop=3)
    with open_source(tmp_path / "v.gif") as source:
        assert isinstance(source, VideoSource)
        frames = list(source)
    assert [frame.duration * frame.time_base for frame in frames] == [Fraction(n, 100) for n in (10, 50, 5, 100)]
    assert source.loop == 3


@pytest.mark.parametrize(("rotation", "quarter_turns"), [(90, 1), (-90, -1), (180, 2)])
def test_rotation_metadata_is_applied(tmp_path: Path, rotation: int, quarter_turns: int) -> None:
    make_video(tmp_path / "v.mp4", frames=3)
    unrotated = next(iter(open_source(tmp_path / "v.mp4"))).pixels
    try:
        make_video(tmp_path / "r.mp4", frames=3, rotation=rotation)
    except AttributeError:
        pytest.skip("this PyAV cannot write a rotation")
    with open_source(tmp_path / "r.mp4") as source:
        frame = next(iter(source))
    np.testing.assert_array_equal(frame.pixels, np.rot90(unrotated, quarter_turns))
    assert source.size_wh == (frame.pixels.shape[1], frame.pixels.shape[0])


def test_mirroring_metadata_is_applied() -> None:
    one = 1 << 16
    matrix = np.array([[-one, 0, 0], [0, one, 0], [0, 0, 1 << 30]], np.int32)
    np.testing.assert_array_equal(apply_display_matrix(pattern(), matrix), pattern()[:, ::-1])


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.avi", "v.gif"])
def test_truncated_video_yields_its_frames_and_then_raises(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    codec, pixel_format = {"v.avi": ("mpeg4", "yuv420p"), "v.gif": ("gif", "bgr8")}.get(name, ("libx264", "yuv420p"))
    options = {"movflags": "faststart"} if name == "v.mp4" else {}
    make_video(tmp_path / name, 60, codec=codec, pixel_format=pixel_format, options=options)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) * 3 // 4])
    count = 0
    with open_source(tmp_path / name) as source, pytest.raises(InputError) as error:
        for _ in source:
            count += 1
    assert 20 < count < 60
    assert f"after {count} frames" in one_line(error)
    assert not source.exhausted
    assert capfd.readouterr().err == ""


def test_mp4_without_its_index_raises_on_opening(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_video(tmp_path / "v.mp4")
    data = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "v.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="cut short"):
        open_source(tmp_path / "v.mp4")
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not SHARED_VIDEO.is_dir(), reason="needs the shared videos")
@pytest.mark.parametrize(("name", "count"), [("head-pose.gif", 23), ("one-by-one-person.mp4", 50)])
def test_shared_video_has_the_timestamps_of_ffmpeg(name: str, count: int) -> None:
    with av.open(str(SHARED_VIDEO / name)) as container:
        expected = [(frame.pts, frame.time) for frame, _ in zip(container.decode(video=0), range(50), strict=False)]
    with open_source(SHARED_VIDEO / name) as source:
        frames = [frame for frame, _ in zip(source, range(50), strict=False)]
    assert [(frame.pts, frame.time_s) for frame in frames] == expected
    assert len(frames) == count


def test_video_url_is_read_to_its_end(tmp_path: Path) -> None:
    class SilentHandler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    make_video(tmp_path / "v.mp4")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SilentHandler, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with open_source(f"http://127.0.0.1:{server.server_port}/v.mp4") as source:
            count = sum(1 for _ in source)
        server.shutdown()
    assert (source.kind, source.path, count) == ("video", None, 20)

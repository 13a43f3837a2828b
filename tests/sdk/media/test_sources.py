"""Whatever can be opened is read upright, in order and to its end; whatever cannot is one line."""

from __future__ import annotations

import functools
import os
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from fractions import Fraction
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from facesr_edge.engines.errors import InputError, UsageError
from facesr_edge.sdk.media.image_header import picture_header
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video_reader import upright

WIDTH, HEIGHT = 64, 48
VIDEO = Path(__file__).parents[3].parent / "shared" / "video"


def picture(level: int = 120) -> np.ndarray:
    """A ramp from left to right, red in the upper left corner."""
    pixels = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    pixels[:, :, 0] = np.arange(WIDTH) * 2
    pixels[:12, :16] = (0, 0, 255)
    return pixels


def make_video(
    path: Path, frames: int = 20, pts: list[int] | None = None, codec: str = "libx264", pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None, rotation: int | None = None, format_: str | None = None,
) -> None:  # fmt: skip
    with av.open(str(path), "w", format=format_, options=options or {}) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixel_format
        tick = Fraction(1, 25) if path.suffix == ".avi" else Fraction(1, 1000)
        stream.codec_context.time_base = tick
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(index * 10 % 200 + 40), "bgr24")
            frame.pts, frame.time_base = pts[index] if pts else round(index / 25 / tick), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert ";" in text or ":" in text, "says what came and what to do"
    return text


# Pictures


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("name", ["plain", "Gesicht-ß-顔 1"])
def test_a_picture_of_each_format_is_read(tmp_path: Path, suffix: str, name: str) -> None:
    path = tmp_path / (name + suffix.upper())
    path.write_bytes(cv2.imencode(suffix, picture())[1].tobytes())
    with open_source(path) as source:
        (frame,) = source
    assert (source.kind, source.frame_count, source.size_wh) == ("picture", 1, (WIDTH, HEIGHT))
    assert frame.name == path.name
    assert np.abs(frame.pixels.astype(int) - picture()).mean() < (0.01 if suffix in {".png", ".bmp", ".tif"} else 3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", ["grey", "grey16", "colour16", "alpha", "alpha16"])
def test_grey_alpha_and_sixteen_bits_come_as_bgr(tmp_path: Path, suffix: str, kind: str) -> None:
    base = picture()
    wanted = np.repeat(base[:, :, :1], 3, axis=2) if kind.startswith("grey") else base
    pixels = wanted[:, :, 0] if kind.startswith("grey") else wanted
    if kind.startswith("alpha"):
        pixels = np.dstack([pixels, np.full((HEIGHT, WIDTH), 77, np.uint8)])
    if kind.endswith("16"):
        pixels = pixels.astype(np.uint16) * 257
    path = tmp_path / f"p{suffix}"
    path.write_bytes(cv2.imencode(suffix, pixels)[1].tobytes())
    (frame,) = open_source(path)
    np.testing.assert_array_equal(frame.pixels, wanted)


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    segment = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(1, lambda p: p), (3, lambda p: p[::-1, ::-1]), (6, lambda p: np.rot90(p, -1)), (8, lambda p: np.rot90(p))],
)
def test_exif_orientation_is_respected(
    tmp_path: Path, orientation: int, turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = tmp_path / "p.jpg"
    path.write_bytes(with_orientation(cv2.imencode(".jpg", picture())[1].tobytes(), orientation))
    with open_source(path) as source:
        (frame,) = source
    wanted = turn(picture())
    assert frame.pixels.shape == wanted.shape
    assert source.size_wh == (wanted.shape[1], wanted.shape[0])
    assert np.abs(frame.pixels.astype(int) - wanted).mean() < 3


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".jpg"])
@pytest.mark.parametrize("part", [0.05, 0.6, 0.97])
def test_a_picture_that_is_cut_short_is_refused_silently(
    tmp_path: Path, suffix: str, part: float, capfd: pytest.CaptureFixture[str]
) -> None:
    data = cv2.imencode(suffix, picture())[1].tobytes()
    path = tmp_path / f"p{suffix}"
    path.write_bytes(data[: max(16, int(len(data) * part))])
    with pytest.raises(InputError) as error:
        open_source(path)
    assert "cut short" in one_line(error)
    assert capfd.readouterr().err == ""


def test_a_damaged_png_is_refused_silently(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(cv2.imencode(".png", picture())[1].tobytes())
    data[len(data) // 2] ^= 0x5A
    (tmp_path / "p.png").write_bytes(bytes(data))
    with pytest.raises(InputError, match="damaged"):
        open_source(tmp_path / "p.png")
    assert capfd.readouterr().err == ""


def test_a_thumbnail_does_not_hide_that_the_picture_is_cut(tmp_path: Path) -> None:
    data = cv2.imencode(".jpg", picture())[1].tobytes()
    thumbnail = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    whole = data[:2] + thumbnail + data[2:]
    assert picture_header(whole) == picture_header(data)
    cut = picture_header(whole[:-40])
    assert cut is not None
    assert not cut.intact


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".webp", ".jpg"])
def test_the_header_tells_the_size(suffix: str) -> None:
    header = picture_header(cv2.imencode(suffix, picture())[1].tobytes())
    assert header is not None
    assert (header.size_wh, header.intact) == ((WIDTH, HEIGHT), True)


def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    body = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body))
    (tmp_path / "p.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IEND\xaeB`\x82")
    with pytest.raises(InputError, match="20000x10000, 200 megapixels"):
        open_source(tmp_path / "p.png")


# Files that are nothing


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.png", None, "does not exist"),
        ("none.mp4", None, "does not exist"),
        ("e.png", b"", "empty"),
        ("e.mp4", b"", "empty"),
        ("t.jpg", b"hello " * 99, "not a picture"),
        ("t.mp4", b"hello " * 99, "cannot be opened"),
        ("t.txt", b"hello " * 99, "is text"),
        ("noise.mkv", bytes(range(256)) * 20, "cannot be opened"),
    ],
)
def test_a_file_that_is_no_picture_or_video_is_one_line(
    tmp_path: Path, name: str, content: bytes | None, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        open_source(tmp_path / name)
    assert says in one_line(error)
    assert name in one_line(error)
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "shut"
    folder.mkdir(mode=0)
    with pytest.raises(InputError, match="permission denied"):
        open_source(folder)


def test_a_sound_file_has_no_moving_picture(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "s.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(InputError, match="no moving picture"):
        open_source(tmp_path / "s.wav")


# Folders


def test_a_folder_gives_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "C.PNG", "notes.txt"):
        data = cv2.imencode(".png" if name.lower().endswith("png") else ".jpg", picture())[1].tobytes()
        (tmp_path / name).write_bytes(data)
    (tmp_path / "inner").mkdir()
    with open_source(tmp_path) as source:
        names = [frame.name for frame in source]
        again = [frame.index for frame in source]
    assert (source.kind, source.frame_count) == ("folder", 3)
    assert names == ["C.PNG", "a.jpg", "b.png"]
    assert again == [0, 1, 2]


def test_a_folder_without_pictures_says_what_it_accepts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.jpg"):
        open_source(tmp_path)


def test_an_unreadable_picture_in_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    (tmp_path / "b.png").write_bytes(b"nothing")
    with open_source(tmp_path) as source, pytest.raises(InputError, match=r"b\.png"):
        list(source)


# Videos


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
def test_a_video_of_each_kind_comes_as_bgr(tmp_path: Path, name: str, codec: str, pixel_format: str) -> None:
    make_video(tmp_path / name, codec=codec, pixel_format=pixel_format)
    with open_source(tmp_path / name) as source:
        frames = list(source)
    assert (source.kind, source.size_wh, source.rate) == ("video", (WIDTH, HEIGHT), 25)
    assert [frame.index for frame in frames] == list(range(20))
    assert all(frame.pixels.shape == (HEIGHT, WIDTH, 3) for frame in frames)
    np.testing.assert_allclose(np.diff([frame.time_s for frame in frames]), 0.04, atol=1e-9)
    blue, _, red = frames[3].pixels[4, 4].astype(int)
    assert abs(red - blue) < 8 if "gray" in pixel_format else red - blue > 150


def test_colours_keep_their_level(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mkv", pixel_format="yuv444p", options={}, frames=4)
    frame = next(iter(open_source(tmp_path / "v.mkv")))
    assert abs(frame.pixels[30:, 20:].astype(int).mean((0, 1))[1] - 40) < 3


def test_a_video_can_be_read_twice(tmp_path: Path) -> None:
    make_video(tmp_path / "v.mp4")
    with open_source(tmp_path / "v.mp4") as source:
        next(iter(source))
        first = [frame.pts for frame in source]
        second = [frame.pts for frame in source]
    assert len(first) == 20
    assert first == second
    assert source.exhausted


def test_variable_times_and_an_offset_are_kept(tmp_path: Path) -> None:
    pts = [1000, 1040, 1055, 1200, 1999, 2000]
    make_video(tmp_path / "v.mkv", frames=6, pts=pts)
    frames = list(open_source(tmp_path / "v.mkv"))
    assert [frame.pts for frame in frames] == pts
    assert [frame.time_base for frame in frames] == [Fraction(1, 1000)] * 6
    assert frames[3].time_s == 1.2


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (-90, -1), (180, 2)])
def test_a_rotated_video_comes_upright(tmp_path: Path, rotation: int, turns: int) -> None:
    make_video(tmp_path / "v.mp4", frames=3)
    plain = next(iter(open_source(tmp_path / "v.mp4"))).pixels
    try:
        make_video(tmp_path / "r.mp4", frames=3, rotation=rotation)
    except AttributeError:
        pytest.skip("this PyAV cannot write a rotation")
    with open_source(tmp_path / "r.mp4") as source:
        frame = next(iter(source))
    np.testing.assert_array_equal(frame.pixels, np.rot90(plain, turns))
    assert source.size_wh == (frame.pixels.shape[1], frame.pixels.shape[0])


def test_a_mirrored_picture_is_mirrored_back() -> None:
    one = 1 << 16
    matrix = np.array([[-one, 0, 0], [0, one, 0], [0, 0, 1 << 30]], np.int32)
    np.testing.assert_array_equal(upright(picture(), matrix), picture()[:, ::-1])


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.avi", "v.gif"])
def test_a_video_cut_in_the_middle_gives_its_frames_then_says_so(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kind = {"v.avi": ("mpeg4", "yuv420p"), "v.gif": ("gif", "bgr8")}.get(name, ("libx264", "yuv420p"))
    options = {"movflags": "faststart"} if name == "v.mp4" else {}
    make_video(tmp_path / name, 60, codec=kind[0], pixel_format=kind[1], options=options)
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


def test_an_mp4_without_its_index_is_refused_at_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make_video(tmp_path / "v.mp4")
    data = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "v.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="invalid data"):
        open_source(tmp_path / "v.mp4")
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not VIDEO.is_dir(), reason="the shared videos are not here")
@pytest.mark.parametrize(("name", "count"), [("head-pose.gif", 23), ("one-by-one-person.mp4", 50)])
def test_shared_videos_keep_count_and_times(name: str, count: int) -> None:
    with av.open(str(VIDEO / name)) as container:
        wanted = [(frame.pts, frame.time) for frame, _ in zip(container.decode(video=0), range(50), strict=False)]
    with open_source(VIDEO / name) as source:
        frames = [frame for frame, _ in zip(source, range(50), strict=False)]
    assert [(frame.pts, frame.time_s) for frame in frames] == wanted
    assert len(frames) == count


# Live


def serve(data: bytes, rate: float = 0) -> tuple[int, threading.Thread]:
    """Serve bytes once over TCP on this machine; a rate in bytes/s, or 0 for all at once, then silence."""
    server = socket.create_server(("127.0.0.1", 0))

    def run() -> None:
        with server, server.accept()[0] as client:
            try:
                for at in range(0, len(data), 4096):
                    client.sendall(data[at : at + 4096])
                    time.sleep(4096 / rate if rate else 0)
                if not rate:
                    time.sleep(4)
            except OSError:
                pass

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return server.getsockname()[1], thread


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("live") / "v.ts"
    make_video(path, 250, format_="mpegts")
    return path.read_bytes()


def test_a_slow_consumer_sees_the_newest_frames(stream: bytes) -> None:
    port, _ = serve(stream, rate=len(stream) / 2)
    seen = []
    with open_source(f"tcp://127.0.0.1:{port}") as source:
        assert source.kind == "live"
        for frame in source:
            seen.append(frame)
            time.sleep(0.1)
    assert source.dropped > 50
    assert source.dropped + len(seen) == 250
    indexes = [frame.index for frame in seen]
    assert indexes == sorted(set(indexes))
    assert indexes[-1] == 249
    assert seen[-1].time_s - seen[0].time_s > 4, "times are the stream's own"


def test_a_stream_that_falls_silent_is_one_line(stream: bytes) -> None:
    port, _ = serve(stream[: len(stream) // 2])
    started = time.monotonic()
    with open_source(f"tcp://127.0.0.1:{port}", timeout_s=1) as source, pytest.raises(InputError) as error:
        for _ in source:
            pass
    assert "127.0.0.1" in one_line(error)
    assert time.monotonic() - started < 4


def test_a_server_that_says_nothing_times_out() -> None:
    port, _ = serve(b"")
    started = time.monotonic()
    with pytest.raises(InputError) as error:
        open_source(f"tcp://127.0.0.1:{port}", timeout_s=0.5)
    one_line(error)
    assert time.monotonic() - started < 3


def test_closing_does_not_wait_for_a_blocked_reader(stream: bytes) -> None:
    port, _ = serve(stream[: len(stream) // 2])
    source = open_source(f"tcp://127.0.0.1:{port}", timeout_s=5)
    next(iter(source))
    started = time.monotonic()
    source.close()
    assert time.monotonic() - started < 1.5
    assert list(source) == []


def test_a_pipe_is_live(tmp_path: Path, stream: bytes) -> None:
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(stream), daemon=True).start()
    with open_source(tmp_path / "pipe") as source:
        last = [frame.index for frame in source][-1]
    assert last == 249
    assert source.exhausted


def test_nobody_at_an_address_is_one_line_without_the_password() -> None:
    with pytest.raises(InputError) as error:
        open_source("rtsp://admin:secret@127.0.0.1:9/live", timeout_s=1)
    assert "secret" not in one_line(error)
    assert "admin" in one_line(error)


@pytest.mark.parametrize("what", [97, "97", "/dev/video97"])
def test_a_missing_camera_is_one_line(what: int | str) -> None:
    with pytest.raises(InputError, match="no camera /dev/video97"):
        open_source(what)


def test_a_timeout_must_be_positive() -> None:
    with pytest.raises(UsageError):
        open_source("rtsp://127.0.0.1:9/live", timeout_s=0)


def test_a_video_behind_http_is_read_to_its_end(tmp_path: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    make_video(tmp_path / "v.mp4")
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with open_source(f"http://127.0.0.1:{server.server_port}/v.mp4") as source:
            count = sum(1 for _ in source)
        server.shutdown()
    assert (source.kind, source.path, count) == ("video", None, 20)

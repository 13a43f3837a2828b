"""Damaged packets: every frame that differs from the undamaged file is marked; no frame of a good file is."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame

PACKET = 188
FRAMES = 48


def moving_video(path: Path, codec: str, options: dict[str, str], pixel_format: str = "yuv420p") -> Path:
    """Noise with a moving block: each frame depends on its references."""
    random = np.random.default_rng(0)
    still = random.integers(0, 255, (96, 128, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 128, 96, pixel_format
        stream.codec_context.time_base = Fraction(1, 25)
        stream.codec_context.gop_size = 12
        for index in range(FRAMES):
            pixels = np.roll(still, index, axis=1)
            pixels[20:50, index : index + 40] = 255 - index * 4
            frame = av.VideoFrame.from_ndarray(pixels, "bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read(path: Path) -> tuple[list[Frame], int, int, list[str]]:
    with open_source(path) as source:
        frames = list(source)
    return frames, source.damaged_packets, source.damaged_frames, source.notes


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("v.mp4", "libx264", {"bf": "3", "x264-params": "open-gop=1:keyint=12:scenecut=0"}),
        ("v.ts", "libx264", {"bf": "3", "x264-params": "keyint=12"}),
        ("v.ts", "libx264", {"x264-params": "intra-refresh=1:keyint=12"}),
        ("v.mkv", "libx265", {"preset": "ultrafast", "x265-params": "log-level=0:keyint=12:open-gop=1:bframes=3"}),
        ("v.webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
        ("v.mkv", "libsvtav1", {"preset": "12"}),
        ("v.mpg", "mpeg2video", {"bf": "2"}),
        ("v.avi", "mpeg4", {"bf": "2"}),
        ("v.mkv", "mjpeg", {}),
    ],
)
def test_good_file_has_no_damaged_frame(tmp_path: Path, name: str, codec: str, options: dict[str, str]) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    moving_video(tmp_path / name, codec, options, "yuvj420p" if codec == "mjpeg" else "yuv420p")
    frames, packets, damaged, notes = read(tmp_path / name)
    assert len(frames) == FRAMES
    assert not any(frame.damaged for frame in frames)
    assert (packets, damaged, notes) == (0, 0, [])


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("damage", ["lost", "zeros"])
def test_every_wrong_frame_is_marked(tmp_path: Path, damage: str, seed: int) -> None:
    moving_video(tmp_path / "good.ts", "libx264", {"bf": "3", "x264-params": "keyint=12"})
    data = bytearray((tmp_path / "good.ts").read_bytes())
    random = np.random.default_rng(seed)
    for place in sorted(random.integers(len(data) // 4, len(data) * 3 // 4, 3))[::-1]:
        start = int(place) // PACKET * PACKET
        if damage == "lost":
            del data[start : start + PACKET]
        else:
            data[start : start + 512] = bytes(512)
    (tmp_path / "v.ts").write_bytes(data)
    good = {frame.pts: frame.pixels.astype(int) for frame in read(tmp_path / "good.ts")[0]}
    frames, _, damaged, notes = read(tmp_path / "v.ts")
    wrong = [frame for frame in frames if np.abs(frame.pixels - good[frame.pts]).mean() > 0.5]
    assert wrong
    assert all(frame.damaged for frame in wrong)
    assert damaged == sum(frame.damaged for frame in frames) < len(frames)
    assert any("frames affected" in note for note in notes)


def test_stream_that_begins_between_key_frames_has_no_damaged_frame(tmp_path: Path) -> None:
    moving_video(tmp_path / "v.ts", "libx264", {"bf": "0", "x264-params": "keyint=12:scenecut=0"})
    data = (tmp_path / "v.ts").read_bytes()
    payloads = [at for at in range(0, len(data), PACKET) if data[at + 1] & 0x5F == 0x41 and data[at + 2] == 0]
    assert len(payloads) == FRAMES
    (tmp_path / "cut.ts").write_bytes(data[: 3 * PACKET] + data[payloads[3] :])
    frames, packets, damaged, _ = read(tmp_path / "cut.ts")
    assert len(frames) >= FRAMES - 12
    assert damaged == packets == 0

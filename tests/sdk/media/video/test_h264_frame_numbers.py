"""Lost H.264 frames, of streams by a real encoder."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.sdk.media.video.h264_frame_numbers import H264FrameNumbers

ENCODINGS: dict[str, dict[str, str]] = {
    "zerolatency": {"tune": "zerolatency", "g": "20"},
    "baseline": {"profile": "baseline", "g": "300"},
    "reordered": {"g": "20", "bf": "3", "b-pyramid": "normal"},
    "interlaced": {"g": "20", "flags": "+ilme+ildct", "x264-params": "tff=1"},
    "intra refresh": {"g": "20", "intra-refresh": "1"},
    "scaling lists": {"g": "60", "x264-params": "cqm=jvt"},
    "slices": {"g": "20", "slices": "4"},
}


def encoded(options: dict[str, str], pixel_format: str = "yuv420p", header: bool = False) -> tuple[list[bytes], bytes]:
    """Packets of 60 frames, and the extradata."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 64, 48, pixel_format
    encoder.framerate, encoder.time_base, encoder.options = Fraction(25), Fraction(1, 25), options
    random, packets = np.random.default_rng(0), []
    for index in range(60):
        frame = av.VideoFrame.from_ndarray(random.integers(0, 256, (48, 64, 3), np.uint8), "bgr24")
        frame.pts = index
        packets += encoder.encode(frame.reformat(format=pixel_format))
    packets += encoder.encode(None)
    return [bytes(packet) for packet in packets], bytes(encoder.extradata or b"")


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_nothing_is_missing_in_a_whole_stream(encoding: str, pixel_format: str) -> None:
    if encoding == "baseline" and pixel_format != "yuv420p":
        pytest.skip("baseline is 4:2:0 in 8 bits")
    packets, extradata = encoded(ENCODINGS[encoding], pixel_format)
    numbers = H264FrameNumbers(extradata)
    assert [numbers.missing(packet) for packet in packets] == [0] * 60


@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "reordered"])
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_lost_frames_are_counted(encoding: str, lost: int) -> None:
    packets, extradata = encoded({**ENCODINGS[encoding], "bf": "0", "sc_threshold": "0"})
    numbers = H264FrameNumbers(extradata)
    counts = [numbers.missing(packet) for packet in packets[:26] + packets[26 + lost :]]
    assert counts == [lost if index == 26 else 0 for index in range(60 - lost)]


def test_numbers_that_start_again_without_their_first_frame_miss_one() -> None:
    packets, extradata = encoded({"g": "20", "bf": "0", "sc_threshold": "0"})
    numbers = H264FrameNumbers(extradata)
    lost = next(index for index in range(1, 60) if b"\x00\x00\x01\x65" in packets[index])
    counts = [numbers.missing(packet) for packet in packets[:lost] + packets[lost + 1 :]]
    assert counts == [1 if index == lost else 0 for index in range(59)]


def test_units_with_lengths_are_read(tmp_path: Path) -> None:
    path = str(tmp_path / "v.mp4")
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"tune": "zerolatency"})
        stream.width, stream.height = 64, 48
        for index in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((48, 64, 3), index, np.uint8), "bgr24")))
        container.mux(stream.encode(None))
    with av.open(path) as container:
        extradata = container.streams.video[0].codec_context.extradata
        assert extradata
        assert extradata[0] == 1
        units = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    numbers = H264FrameNumbers(extradata)
    assert [numbers.missing(unit) for unit in units[:10] + units[12:]] == [
        2 if index == 10 else 0 for index in range(28)
    ]


@pytest.mark.parametrize("data", [b"", b"\x00\x00\x01", b"\x00\x00\x01\x67", b"\x00\x00\x01\x41\x00\x00", bytes(300)])
def test_damaged_units_are_passed_by(data: bytes) -> None:
    numbers = H264FrameNumbers(encoded(ENCODINGS["zerolatency"])[1])
    assert numbers.missing(data) == 0
    assert H264FrameNumbers(data).missing(data) == 0

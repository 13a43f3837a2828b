"""Chunks of an encoded video: their packets depend on their frames only."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from facesr_edge.sdk.media.encode_options import EncodeOptions
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline import chunks
from support.media import make_video, timestamps


def packets(path: Path) -> list[tuple[float, bool, bytes]]:
    with av.open(str(path)) as container:
        return [(float(p.pts * p.time_base), p.is_keyframe, bytes(p)) for p in container.demux(video=0) if p.size]


def encode(source_path: Path, output: Path, codec: str | None, blank: int = 0) -> list[tuple[float, bool, bytes]]:
    """Packets of an encoded video; the first `blank` frames are black."""
    options = EncodeOptions(codec=codec, threads=1)
    with open_source(source_path) as source, open_sink(output, source, options=options) as sink:
        for frame in source:
            sink.write(frame, np.zeros_like(frame.pixels) if frame.index < blank else frame.pixels)
    return packets(output)


@pytest.mark.parametrize(
    ("output", "codec"),
    [
        *(("o.mp4", codec) for codec in ("h264", "hevc", "av1", "vp9")),
        *(("o.mkv", codec) for codec in ("h264", "hevc", "av1", "vp9")),
        ("o.webm", "vp9"),
        ("o.mov", "hevc"),
        ("o.avi", "h264"),
    ],
)
def test_packets_of_a_chunk_do_not_depend_on_the_frames_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, codec: str
) -> None:
    monkeypatch.setattr(chunks, "CHUNK_FRAMES", 8)
    source = make_video(tmp_path / "in.mp4", 20)
    whole = encode(source, tmp_path / output, codec)
    assert [index for index, packet in enumerate(whole) if packet[1]] == [0, 8, 16]
    assert [packet[0] for packet in whole] == sorted({packet[0] for packet in whole})
    assert len(whole) == len(timestamps(tmp_path / output)) == 20
    changed = encode(source, tmp_path / f"changed{output[1:]}", codec, blank=8)
    assert changed[8:] == whole[8:] and changed[:8] != whole[:8]


def test_a_gif_is_one_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = encode(make_video(tmp_path / "in.mp4", 12), tmp_path / "a.gif", None)
    monkeypatch.setattr(chunks, "CHUNK_FRAMES", 4)
    assert encode(tmp_path / "in.mp4", tmp_path / "b.gif", None) == expected

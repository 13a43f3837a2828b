"""Interlaced video: one progressive frame for each, with its timestamp."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.filter import Graph
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline.frame import Frame

SIZE = 96, 128
INTERLACED_FLAGS = 1 << 18 | 1 << 29  # of FFmpeg's encoders: interlaced DCT and motion estimation


def picture(time: int) -> np.ndarray:
    """A bar that moves by 3 pixels per field."""
    pixels = np.full((*SIZE, 3), 60, np.uint8)
    pixels[:, 10 + 3 * time : 30 + 3 * time] = 200
    return pixels


def woven(path: Path, codec: str, order: str, options: dict[str, str], count: int = 12) -> Path:
    """Frames of two fields; order tff, bff or prog (progressive)."""
    graph = Graph()
    height, width = SIZE
    source = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25), name="in"
    )
    graph.link_nodes(source, graph.add("setfield", order), graph.add("buffersink")).configure()
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 25)
        if order != "prog":
            stream.codec_context.flags |= INTERLACED_FLAGS
        for index in range(count):
            pixels = picture(2 * index)
            if order != "prog":
                pixels[(1 if order == "tff" else 0) :: 2] = picture(2 * index + 1)[::2]
            frame = av.VideoFrame.from_ndarray(pixels, "bgr24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            graph.vpush(frame)
            container.mux(stream.encode(graph.vpull()))
        container.mux(stream.encode(None))
    return path


def combing(frames: list[Frame]) -> float:
    """Mean difference between a line and the mean of its neighbors."""
    lines = [frame.pixels.astype(float) for frame in frames]
    return float(np.mean([np.abs(p[1:-1] - (p[:-2] + p[2:]) / 2).mean() for p in lines]))


@pytest.mark.parametrize(
    ("name", "codec", "order", "options"),
    [
        ("v.ts", "mpeg2video", "tff", {"b": "4000000"}),
        ("v.mp4", "libx264", "tff", {"x264-params": "tff=1", "crf": "10"}),
        ("v.mkv", "libx264", "bff", {"x264-params": "bff=1", "crf": "10"}),
        ("v.mkv", "ffv1", "tff", {}),
    ],
)
def test_interlaced_frames_are_deinterlaced(
    tmp_path: Path, name: str, codec: str, order: str, options: dict[str, str]
) -> None:
    woven(tmp_path / name, codec, order, options)
    with open_source(tmp_path / name, deinterlace=False) as source:
        fields = list(source)
        assert source.notes == []
    with open_source(tmp_path / name) as source:
        frames = list(source)
    assert [(frame.index, frame.pts) for frame in frames] == [(frame.index, frame.pts) for frame in fields]
    assert len(frames) == 12
    assert combing(frames) < combing(fields) / 3
    (note,) = source.notes
    assert "deinterlaced" in note
    for index, frame in enumerate(frames[2:-2], 2):  # the first field of each frame is kept
        error = np.abs(frame.pixels.astype(int) - picture(2 * index)).mean()
        assert error < np.abs(frame.pixels.astype(int) - picture(2 * index + 1)).mean()


def test_progressive_frames_are_untouched(tmp_path: Path) -> None:
    woven(tmp_path / "v.mkv", "ffv1", "prog", {})
    with open_source(tmp_path / "v.mkv", deinterlace=False) as source:
        expected = [frame.pixels for frame in source]
    with open_source(tmp_path / "v.mkv") as source:
        np.testing.assert_array_equal([frame.pixels for frame in source], expected)
        assert source.notes == []

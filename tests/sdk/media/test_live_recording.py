"""Recording of a camera that changes its resolution, with a real RTSP server."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from support.servers import numbered, rtsp_server


def test_recording_goes_on_at_the_first_size(tmp_path: Path) -> None:
    with rtsp_server(numbered()) as server, open_source(server.url) as source:
        assert source.size_wh == (320, 240)
        with open_sink(tmp_path / "o.mp4", source) as sink:
            larger, end_s = 0, time.monotonic() + 10
            for frame in source:
                if frame.index == 10:
                    server.command("size 640 480")
                assert source.size_wh == (frame.pixels.shape[1], frame.pixels.shape[0])
                sink.write(frame, frame.pixels)
                larger += source.size_wh == (640, 480)
                if larger == 10 or time.monotonic() > end_s:
                    break
    assert larger == 10
    assert any("scaled to 320x240" in note for note in sink.notes)
    with open_source(tmp_path / "o.mp4") as recorded:
        frames = list(recorded)
    assert len(frames) == sink.frames_written
    assert {frame.pixels.shape for frame in frames} == {(240, 320, 3)}
    assert all(np.ptp(frame.pixels) > 100 for frame in frames)

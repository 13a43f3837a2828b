"""Video files of a camera: times of arrival, changes of the size, full disks, earlier files."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import replace

import numpy as np
import pytest
from facesr_edge.engines.errors import OutputError, UsageError
from facesr_edge.sdk.live.sinks import video
from facesr_edge.sdk.live.sinks.letterbox import letterbox
from facesr_edge.sdk.live.sinks.queue import SinkQueue
from facesr_edge.sdk.live.sinks.video import VideoFileSink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.media.video.readable import readable_frames
from support.sinks import make_face, make_result, wait_until


def frames_of(path):
    with open_source(path) as source:
        return list(source)


def test_composites_are_shown_at_their_times_of_arrival(tmp_path):
    queue = SinkQueue(VideoFileSink(tmp_path / "out.mp4", "door"), wait=True)
    arrivals = [1000.0, 1000.1, 1000.25, 1002.0]
    results = [make_result(index, faces=(make_face(),), arrival_s=s) for index, s in enumerate(arrivals)]
    for result in results:
        queue.done(result)
    queue.done(make_result(9, camera="yard"))
    queue.close()
    frames = frames_of(tmp_path / "out.mp4")
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.25, 2.0], abs=1e-3)
    assert queue.statistics().written == 4
    for frame, result in zip(frames, results, strict=True):
        assert frame.pixels.shape == (128, 192, 3)
        assert np.abs(frame.pixels.astype(float) - result.frame).mean() < 4
    assert list(tmp_path.iterdir()) == [tmp_path / "out.mp4"]


def test_a_file_keeps_its_own_times(tmp_path):
    sink = VideoFileSink(tmp_path / "out.mkv", "door", by_arrival=False)
    sink.write([make_result(index, arrival_s=5.0) for index in range(3)])
    sink.close()
    assert [frame.time_s for frame in frames_of(tmp_path / "out.mkv")] == pytest.approx([0, 0.1, 0.2], abs=1e-3)


def test_frames_of_another_size_are_scaled_and_told(tmp_path, caplog):
    sink = VideoFileSink(tmp_path / "out.mp4", "door")
    sizes = [(96, 64), (192, 128), (192, 128), (64, 64), (96, 64)]
    sink.write([make_result(i, size_wh=size, level=200, arrival_s=i) for i, size in enumerate(sizes)])
    sink.close()
    frames = frames_of(tmp_path / "out.mp4")
    assert [frame.pixels.shape for frame in frames] == [(128, 192, 3)] * 5
    assert frames[3].pixels[64, 96].mean() > 190 and frames[3].pixels[64, 5].mean() < 10
    assert [text.partition(": ")[2] for text in caplog.messages] == [
        "frames of 384x256 are scaled to 192x128",
        "frames of 128x128 are scaled to 192x128",
        "frames of 192x128 are scaled to 192x128",
    ]


@pytest.mark.parametrize(
    ("wh", "inner"), [((40, 20), (0, 5, 20, 10)), ((5, 10), (5, 0, 10, 20)), ((1, 999), (9, 0, 1, 20))]
)
def test_a_letterbox_holds_the_whole_picture(wh, inner):
    x, y, width, height = inner
    boxed = letterbox(np.full((wh[1], wh[0], 3), 255, np.uint8), (20, 20))
    assert boxed.shape == (20, 20, 3) and (boxed[y : y + height, x : x + width] == 255).all()
    assert boxed.sum() == 3 * 255 * width * height


def test_earlier_videos_are_kept(tmp_path):
    path = tmp_path / "out.mp4"
    for count in (2, 3):
        sink = VideoFileSink(path, "door")
        sink.write([make_result(index, arrival_s=index) for index in range(count)])
        sink.close()
    (kept,) = tmp_path.glob("out-*.mp4")
    assert (len(frames_of(kept)), len(frames_of(path))) == (2, 3)


def test_a_new_file_begins_after_a_time_and_no_frame_is_lost(tmp_path):
    sink = VideoFileSink(tmp_path / "out.mp4", "door", max_s=1.0)
    sink.write([make_result(index, level=8 * index, arrival_s=index / 10) for index in range(25)])
    sink.close()
    files = sorted(tmp_path.glob("*.mp4"), key=lambda path: path.stat().st_mtime_ns)
    parts = [[frame.pixels.mean() for frame in frames_of(file)] for file in files]
    assert [len(part) for part in parts] == [10, 10, 5]
    assert np.concatenate(parts) == pytest.approx(8 * np.arange(25), abs=3)


KILLED = """
import sys, pathlib
from facesr_edge.sdk.live.sinks.video import VideoFileSink
sys.path.insert(0, sys.argv[2])
from support.sinks import make_result
sink = VideoFileSink(pathlib.Path(sys.argv[1]), "door")
for index in range(1_000_000):
    sink.write([make_result(index, arrival_s=index / 10)])
    print(index, flush=True)
"""


def test_the_video_of_a_killed_run_is_kept_and_plays(tmp_path, pytestconfig):
    path = tmp_path / "out.mp4"
    command = [sys.executable, "-c", KILLED, str(path), str(pytestconfig.rootpath / "tests")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    while int(process.stdout.readline()) < 120:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    sink = VideoFileSink(path, "door")
    sink.write([make_result(0)])
    sink.close()
    (kept,) = tmp_path.glob("out-*.mp4")
    assert len(frames_of(kept)) >= 100 and len(frames_of(path)) == 1


def test_after_a_full_disk_a_new_file_begins(tmp_path, no_file_larger_than, monkeypatch):
    monkeypatch.setattr(video, "REOPEN_S", 0.0)
    queue = SinkQueue(VideoFileSink(tmp_path / "out.mp4", "door"), wait=True)
    rng = np.random.default_rng(0)
    with no_file_larger_than(200_000):
        for index in range(40):
            result = make_result(index, arrival_s=float(index))
            result.source.pixels[:] = rng.integers(0, 255, (64, 96, 3), np.uint8)
            queue.done(result)
        wait_until(lambda: queue.statistics().queued == 0)
        assert queue.statistics().failed >= 1
    queue.done(make_result(40, arrival_s=40.0))
    wait_until(lambda: queue.statistics().queued == 0)
    assert queue.statistics().error == ""
    queue.close()
    assert len(frames_of(tmp_path / "out.mp4")) >= 1
    parts = list(tmp_path.glob("out-*.mp4"))
    assert parts and all(readable_frames(part) >= 1 for part in parts)


def test_a_full_disk_keeps_no_frames_in_memory(tmp_path, no_file_larger_than, monkeypatch):
    monkeypatch.setattr(video, "REOPEN_S", 0.5)
    queue = SinkQueue(VideoFileSink(tmp_path / "out.mp4", "door"), wait=True)
    rng, refused = np.random.default_rng(0), []
    with no_file_larger_than(100_000):
        for index in range(60):
            result = make_result(index, arrival_s=float(index))
            result.source.pixels[:] = rng.integers(0, 255, (64, 96, 3), np.uint8)
            queue.done(result)
            wait_until(lambda: queue.statistics().queued == 0)
            if queue.statistics().error:
                refused.append(weakref.ref(result))
    assert len(refused) > 10
    time.sleep(0.5)
    queue.done(result := make_result(60, arrival_s=60.0))
    wait_until(lambda: queue.statistics().queued == 0)
    assert queue.statistics().error == ""
    gc.collect()
    assert [reference() for reference in refused if reference() is not None] == []
    queue.close()


def test_wrong_outputs_are_told_at_once(tmp_path):
    with pytest.raises(UsageError, match="cannot store"):
        VideoFileSink(tmp_path / "out.txt", "door")
    with pytest.raises(UsageError, match="more than 0 seconds"):
        VideoFileSink(tmp_path / "out.mp4", "door", max_s=0)
    first = VideoFileSink(tmp_path / "out.mp4", "door")
    with pytest.raises(OutputError, match="another run"):
        VideoFileSink(tmp_path / "out.mp4", "door")
    first.close()


def test_notes_of_the_encoder_are_logged(tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="facesr_edge")
    sink = VideoFileSink(tmp_path / "out.mp4", "door")
    sink.write([replace(make_result(0, size_wh=(95, 63)), outscale=1)])
    sink.close()
    assert caplog.messages == [f"{tmp_path / 'out.mp4'}: 95x63 padded to 96x64: video requires even sides"]

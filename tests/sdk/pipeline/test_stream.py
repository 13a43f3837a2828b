"""Overlapped streams through real networks and codecs: equal to frame-by-frame processing, and bounded in memory."""

import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import cv2
import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.errors import EngineError, InputError, UsageError
from facesr_edge.sdk.media.sinks import open_sink
from facesr_edge.sdk.media.sources import open_source
from facesr_edge.sdk.pipeline import chunks
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.run import run

MODEL = "edge-tiny-x4-camera"


@pytest.fixture(scope="module")
def pipeline():
    with facesr_edge.load(MODEL, engine="onnxruntime", threads=2) as loaded:
        yield loaded


def face_frame(portrait, index, size_wh=(320, 192)):
    """Frame with 0 to 3 faces, which move."""
    width, height = size_wh
    frame = np.full((height, width, 3), 90 + index % 40, np.uint8)
    for n in range(index % 4):
        side = 60 + 8 * n
        x, y = 100 * n + index % 12, 20 + index % 9
        frame[y : y + side, x : x + side] = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    return frame


@pytest.fixture(scope="module")
def video(portrait, tmp_path_factory):
    path = tmp_path_factory.mktemp("video") / "faces.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 320, 192, "yuv420p"
        for index in range(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(face_frame(portrait, index), "bgr24")))
        container.mux(stream.encode(None))
    return path


def processed(pipeline, source, output, overlap):
    """JSON without timings of every result, after the composites were written."""
    with open_source(source) as opened, open_sink(output, opened, outscale=pipeline.outscale) as sink:
        documents = [result.to_dict() for result in run(pipeline, opened, sink, overlap=overlap)]
    for document in documents:
        assert {"decode", "detect", "crop", "upscale", "paste", "encode"} <= set(document["timings_ms"])
        parts = [ms for name, ms in document["timings_ms"].items() if "." not in name and name != "total"]
        assert document.pop("timings_ms")["total"] == pytest.approx(sum(parts), abs=0.01)
    return documents


@pytest.mark.parametrize("overlap", [False, True])
def test_the_wait_for_a_camera_is_told_apart(pipeline, overlap):
    """Frames that come 60 ms after they are asked for, and take 20 ms to convert; the last one was waiting."""

    def camera():
        for index, wait_s in enumerate((0.06, 0.06, 0.0)):
            time.sleep(wait_s)
            arrival_s = time.monotonic() - (0.0 if wait_s else 1.0)
            time.sleep(0.02)
            yield Frame(np.zeros((64, 64, 3), np.uint8), index, arrival_s=arrival_s)

    timings = [result.timings_ms for result in pipeline.stream(camera(), overlap=overlap)]
    assert [ms["wait"] >= 59 for ms in timings] == [True, True, False] and timings[2]["wait"] == 0
    for ms in timings:
        assert ms["decode"] >= 19
        parts = [value for name, value in ms.items() if "." not in name and name not in ("total", "wait")]
        assert ms["total"] == pytest.approx(sum(parts))


def test_an_overlapped_video_equals_frame_by_frame_processing(pipeline, video, tmp_path):
    one, many = tmp_path / "one.mp4", tmp_path / "many.mp4"
    expected = processed(pipeline, video, one, overlap=False)
    assert {len(document["faces"]) for document in expected} >= {0, 1, 2}
    assert json.dumps(processed(pipeline, video, many, overlap=True)) == json.dumps(expected)
    with open_source(one) as a, open_source(many) as b:
        pairs = list(zip(a, b, strict=True))
    assert len(pairs) == 24 and all((x.pixels == y.pixels).all() and x.pts == y.pts for x, y in pairs)


def test_an_overlapped_folder_of_different_sizes_equals_frame_by_frame_processing(pipeline, portrait, tmp_path):
    (source := tmp_path / "in").mkdir()
    for index, size_wh in enumerate([(320, 192), (352, 160), (480, 320), (320, 224), (40, 40), (344, 192)]):
        image = portrait[:40, :40] if size_wh == (40, 40) else face_frame(portrait, index, size_wh)
        cv2.imwrite(str(source / f"{index}.png"), image)
    expected = processed(pipeline, source, tmp_path / "one", overlap=False)
    assert processed(pipeline, source, tmp_path / "many", overlap=True) == expected
    for index in range(6):
        assert (tmp_path / "one" / f"{index}.png").read_bytes() == (tmp_path / "many" / f"{index}.png").read_bytes()


def test_a_pipeline_can_be_called_while_it_streams(pipeline, portrait):
    frames = [Frame(face_frame(portrait, index), index) for index in range(8)]
    expected = [pipeline(frame).frame for frame in frames]
    for result in pipeline.stream(frames):
        index = result.source.index
        assert (result.frame == expected[index]).all()
        assert (pipeline(frames[7 - index]).frame == expected[7 - index]).all()


def test_steps_are_called_in_order_with_the_result_of_the_one_before(pipeline, portrait):
    seen = []
    frames = [Frame(face_frame(portrait, index), index) for index in range(6)]
    for result in pipeline.stream(frames, lambda r: seen.append(r.source.index) or r, lambda r: r):
        assert result.source.index in seen
    assert seen == [0, 1, 2, 3, 4, 5]


def test_closing_the_iterator_or_the_pipeline_ends_the_threads(portrait):
    before = set(threading.enumerate())
    endless = (Frame(face_frame(portrait, index % 24), index) for index in iter(int, 1))
    with facesr_edge.load(MODEL, engine="onnxruntime", threads=2) as loaded:
        with closing(loaded.stream(endless)) as results:
            next(results)
        assert {t for t in threading.enumerate() if t.name.startswith(("frames", "step "))} <= before
        results = loaded.stream(Frame(face_frame(portrait, index % 24), index) for index in iter(int, 1))
        next(results)
    assert {t for t in threading.enumerate() if t.name.startswith(("frames", "step "))} <= before
    with pytest.raises(EngineError, match="closed while it streamed"):
        list(results)


MEMORY = """
import sys
import facesr_edge
from facesr_edge.sdk.pipeline.frame import Frame
sys.path.insert(0, {folder!r})
from test_stream import face_frame, MODEL
from facesr_edge.calibration.data.faces import astronaut
def resident_kb():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
portrait = astronaut()[0:256, 96:352]
frames = (Frame(face_frame(portrait, n), n) for n in range(600))
with facesr_edge.load(MODEL, engine="onnxruntime", threads=2) as pipeline:
    pipeline.warm_up()
    for n, result in enumerate(pipeline.stream(frames)):
        if n == 200:
            before = resident_kb()
print(before, resident_kb())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_flat_while_faces_come_and_go():
    program = MEMORY.format(folder=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    assert after < 1.01 * before + 2048


def test_arrays_are_streamed_with_their_position_as_index(sr, grey_frame):
    assert [result.source.index for result in run(sr, [grey_frame, grey_frame[:, :, 0]])] == [0, 1]


@pytest.mark.parametrize("source", ["clip.mp4", Path("clip.mp4"), None, 0, np.zeros((48, 64, 3), np.uint8)])
def test_what_is_not_a_source_is_a_usage_error(sr, source):
    with pytest.raises(UsageError, match=r"open_source|pipeline\(frame\)"):
        next(run(sr, source))


def test_other_wrong_arguments_are_errors_of_the_package(sr, grey_frame):
    with pytest.raises(UsageError, match="open_sink"):
        run(sr, [grey_frame], "out.png")
    with pytest.raises(InputError, match="different lengths"):
        sr([[1, 2], [3]])
    with pytest.raises(InputError, match=r"np\.stack"):
        sr.upscale([grey_frame[:32, :32]])
    with pytest.raises(InputError, match="expected an image"):
        list(run(sr, [grey_frame, None]))


@pytest.mark.parametrize("every", [3, "auto"])
def test_results_of_a_chunk_do_not_depend_on_the_frames_before(portrait, monkeypatch, every):
    monkeypatch.setattr(chunks, "CHUNK_FRAMES", 8)
    frames = [Frame(face_frame(portrait, n), n, n / 25) for n in range(20)]
    with facesr_edge.load(MODEL, engine="onnxruntime", threads=2, detect_every=every, composite=False) as pipeline:
        whole, resumed = (
            [(r.detection.kind, [face.box_xyxy.tolist() for face in r.faces]) for r in pipeline.stream(frames[first:])]
            for first in (0, 8)
        )
    assert whole[8:] == resumed
    assert whole[8][0] == whole[16][0] == "full" and "tracked" in {kind for kind, _ in whole}

"""After `close` every use raises an error: nothing is loaded again, and no result is empty because of it."""

import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.errors import EngineError, OutputError, SourceClosedError
from facesr_edge.engines.openvino.session import installed
from facesr_edge.engines.yunet import YuNetSession
from facesr_edge.sdk.pipeline.frame import Frame
from PIL import Image
from support.media import make_image, make_video, pattern

ENGINES = ["onnxruntime", pytest.param("openvino", marks=pytest.mark.skipif(not installed(), reason="no OpenVINO"))]
CROPS = np.zeros((1, 32, 32, 3), np.uint8)


def check_raises(calls, error=EngineError):
    for name, call in calls.items():
        with pytest.raises(error, match="closed"):
            pytest.fail(f"{name} returned {call()!r}")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_closed_pipeline_raises_also_where_no_face_is(engine, grey_frame):
    with facesr_edge.load_detector(engine=engine, precision="fp32", threads=1) as detector:
        pipeline = facesr_edge.load("edge-nano-x4", engine=engine, precision="fp32", threads=1, detector=detector)
        frame_by_frame = pipeline.stream([grey_frame] * 3, overlap=False)
        next(frame_by_frame)
        pipeline.close()
        pipeline.close()
        session = pipeline.session
        check_raises(
            {
                "call": lambda: pipeline(grey_frame),
                "stream": lambda: list(pipeline.stream([grey_frame])),
                "stream of nothing": lambda: list(pipeline.stream([])),
                "running stream": lambda: list(frame_by_frame),
                "upscale": lambda: pipeline.upscale(CROPS),
                "upscale of nothing": lambda: pipeline.upscale(CROPS[:0]),
                "warm_up": pipeline.warm_up,
                "infer": lambda: session.infer(CROPS),
                "infer_batches": lambda: session.infer_batches([]),
                "session warm_up": session.warm_up,
                "layer_times": lambda: session.layer_times(CROPS),
            }
        )
        assert len(detector(grey_frame)) == 0, "the detector is not the pipeline's"
    check_raises({"detector": lambda: detector(grey_frame)})


def test_a_closed_yunet_raises(shared):
    files = sorted((shared / "models").rglob("*yunet*.onnx"))
    if not files:
        pytest.skip("no YuNet file")
    session = YuNetSession(files[0], threads=1)
    size = session.io_spec.largest_hw or (32, 32)
    image = np.zeros((1, *size, 3), np.uint8)
    session.close()
    calls = {"infer": lambda: session.infer(image), "infer_batches": lambda: session.infer_batches([])}
    check_raises({**calls, "layer_times": lambda: session.layer_times(image)})


@pytest.mark.parametrize("name", ["in/00.png", "in", "in/%02d.png", "a.webp", "v.mp4"])
def test_a_closed_source_raises(name, tmp_path):
    (tmp_path / "in").mkdir()
    for n in range(2):
        make_image(tmp_path / "in" / f"{n:02d}.png")
    make_video(tmp_path / "v.mp4", 2)
    first, *rest = map(Image.fromarray, (pattern(), 255 - pattern()))
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest)
    source = facesr_edge.open_source(tmp_path / name)
    assert len(list(source)) == (1 if name == "in/00.png" else 2)
    source.close()
    check_raises({name: lambda: list(source)}, SourceClosedError)


@pytest.mark.parametrize("output", ["o.mp4", "o.gif", "numbered/%02d.png", "o.png", "folder"])
def test_a_closed_sink_raises_and_leaves_the_file_alone(output, tmp_path):
    is_video = output not in ("o.png", "folder")
    source = facesr_edge.open_source(
        make_video(tmp_path / "in.mp4", 2) if is_video else make_image(tmp_path / "in.png")
    )
    for folder in ("numbered", "folder"):
        (tmp_path / folder).mkdir()
    sink = facesr_edge.open_sink(tmp_path / output, source)
    sink.write(Frame(pattern()), pattern())
    sink.close()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    check_raises({output: lambda: sink.write(Frame(pattern(), 1), pattern())}, OutputError)
    sink.close()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

"""RGB and 10 to 16 bits: pipeline, stream and detector give the results of the same picture in BGR and 8 bits."""

import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.errors import UsageError
from facesr_edge.sdk.pipeline.frame import Frame


@pytest.fixture(scope="module")
def pipeline():
    with facesr_edge.load("edge-nano-x4", engine="onnxruntime", precision="fp32", threads=1) as pipeline:
        yield pipeline


@pytest.fixture
def picture(grey_frame, put_face):
    put_face(grey_frame, 100, 60, 40)
    return grey_frame


def layouts(bgr):
    """The picture in other layouts, with the arguments that say so."""
    noise = np.random.default_rng(0)
    rgb = np.ascontiguousarray(bgr[:, :, ::-1])
    yield rgb, {"color": "rgb"}
    for bits in (10, 12, 14):
        low = noise.integers(0, 1 << (bits - 8), bgr.shape, np.uint16)
        yield (bgr.astype(np.uint16) << (bits - 8)) | low, {"bits": bits}
        yield (rgb.astype(np.uint16) << (bits - 8)) | low, {"color": "rgb", "bits": bits}


def test_results_do_not_depend_on_the_layout(pipeline, picture):
    expected, boxes = pipeline(picture), pipeline.detector(picture).boxes_xyxy
    assert len(expected.faces) == 1
    for array, layout in layouts(picture):
        (streamed,) = pipeline.stream([array], **layout)
        for result in (pipeline(array, **layout), streamed):
            assert np.array_equal(result.source.pixels, picture)
            assert np.array_equal(result.frame, expected.frame)
            assert np.array_equal(result.faces[0].pixels, expected.faces[0].pixels)
        assert np.array_equal(pipeline.detector(array, **layout).boxes_xyxy, boxes)


def test_a_detector_takes_a_frame(pipeline, picture):
    assert np.array_equal(pipeline.detector(Frame(picture)).scores, pipeline.detector(picture).scores)


def test_a_layout_for_frames_is_rejected(pipeline, picture):
    with pytest.raises(UsageError, match="leave both out"):
        pipeline(Frame(picture), color="rgb")
    with pytest.raises(UsageError, match="leave both out"):
        list(pipeline.stream([Frame(picture)], bits=12))


@pytest.mark.parametrize("value", ["20", None, 0.5, float("nan")])
def test_what_is_no_size_is_rejected(value):
    with pytest.raises(UsageError, match="min_face is"):
        facesr_edge.load_detector(engine="onnxruntime", precision="fp32", min_face=value)


@pytest.mark.parametrize("options", [{"score": "0.5"}, {"threads": "2"}, {"engine": 1}, {"precision": None}])
def test_an_argument_of_another_type_is_rejected(options):
    with pytest.raises(UsageError):
        facesr_edge.load_detector(**{"engine": "onnxruntime", "precision": "fp32", **options})

"""One detector, session or pipeline in several threads: results equal those of one thread."""

import pickle
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import facesr_edge
import numpy as np
import pytest
from facesr_edge.engines.openvino.session import installed
from facesr_edge.sdk.pipeline.frame import Frame

THREADS = 6
ENGINES = ["onnxruntime", pytest.param("openvino", marks=pytest.mark.skipif(not installed(), reason="no OpenVINO"))]


@pytest.fixture(autouse=True)
def frequent_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(calls):
    """Results of the calls, which start at once in several threads."""
    barrier = threading.Barrier(THREADS)

    def work(first):
        barrier.wait()
        return [(index, calls[index]()) for index in range(first, len(calls), THREADS)]

    with ThreadPoolExecutor(THREADS) as pool:
        results = dict(one for part in pool.map(work, range(THREADS)) for one in part)
    return [results[index] for index in range(len(calls))]


def scenes(portrait, count=4, sizes=((64, 96), (70, 90), (40, 50), (100, 60))):
    """Small frames, each with a part of a face at another place."""
    frames = []
    for index in range(count):
        height, width = sizes[index % len(sizes)]
        frames.append(np.ascontiguousarray(portrait[10 * index : 10 * index + height, 60 : 60 + width]))
    return frames


def same(a, b):
    return np.array_equal(a.boxes_xyxy, b.boxes_xyxy) and np.array_equal(a.scores, b.scores)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("min_face", [8, 16])
def test_one_detector_in_several_threads(portrait, engine, min_face):
    detector = facesr_edge.load_detector(engine=engine, precision="fp32", threads=1, min_face=min_face, score=0.1)
    calls = 600 if engine == "onnxruntime" else 150
    frames = scenes(portrait)
    expected = [detector(frame) for frame in frames]
    results = in_threads([lambda frame=frames[n % 4]: detector(frame) for n in range(calls)])
    assert sum(not same(result, expected[n % 4]) for n, result in enumerate(results)) == 0
    assert any(len(detections) for detections in expected)
    detector.close()


@pytest.mark.parametrize("engine", ENGINES)
def test_one_session_in_several_threads(portrait, engine):
    def crops(side, count):
        return np.stack([portrait[n : n + side, n : n + side] for n in range(count)])

    session = facesr_edge.load("edge-nano-x4", engine=engine, precision="fp32", threads=2).session
    batches = [[crops(32, 1)], [crops(48, 1)], [255 - crops(32, 1)], [crops(32, 2), crops(48, 1)]]
    expected = [[output.tensor for output in session.infer_batches(batch)] for batch in batches]
    kept = in_threads([lambda batch=batches[n % 4]: session.infer_batches(batch) for n in range(60)])
    for n, outputs in enumerate(kept):
        for output, tensor in zip(outputs, expected[n % 4], strict=True):
            assert np.array_equal(output.tensor, tensor)
    session.close()


def test_calls_streams_and_two_pipelines_with_one_detector_at_once(grey_frame, put_face):
    put_face(grey_frame, 100, 60, 40)
    shifted = np.ascontiguousarray(np.roll(grey_frame, 80, 1))
    detector = facesr_edge.load_detector(engine="onnxruntime", precision="fp32", threads=1, min_face=24)
    options = {"engine": "onnxruntime", "precision": "fp32", "threads": 1, "detector": detector}
    with facesr_edge.load("edge-nano-x4", **options) as a, facesr_edge.load("edge-nano-x4", outscale=1, **options) as b:
        expected = {(p, n): p(frame) for p in (a, b) for n, frame in enumerate((grey_frame, shifted))}
        crops = expected[a, 0].faces[0].original[None]
        upscaled = a.upscale(crops)

        def call(pipeline, n):
            return [(pipeline, n, pipeline((grey_frame, shifted)[n])) for _ in range(6)]

        def stream(pipeline):
            frames = [Frame((grey_frame, shifted)[index % 2], index) for index in range(6)]
            return [(pipeline, result.source.index % 2, result) for result in pipeline.stream(frames)]

        def upscale():
            assert all(np.array_equal(a.upscale(crops), upscaled) for _ in range(20))
            return []

        calls = [lambda: call(a, 0), lambda: call(b, 1), lambda: stream(a), lambda: stream(b), upscale, upscale]
        for results in in_threads(calls):
            for pipeline, n, result in results:
                wanted = expected[pipeline, n]
                assert np.array_equal(result.frame, wanted.frame)
                assert [face.box_xyxy.tolist() for face in result.faces] == [f.box_xyxy.tolist() for f in wanted.faces]
    assert len(detector(grey_frame)) == 1, "closing a pipeline does not close a detector that it was given"


def test_loading_in_several_threads(portrait):
    options = {"engine": "onnxruntime", "precision": "fp32", "threads": 1}
    detectors = in_threads([lambda: facesr_edge.load_detector(**options) for _ in range(THREADS)])
    frame = scenes(portrait)[0]
    assert all(same(detector(frame), detectors[0](frame)) for detector in detectors)


def test_closing_while_others_call_ends_in_an_error(portrait):
    detector = facesr_edge.load_detector(engine="onnxruntime", precision="fp32", threads=1)
    frame = scenes(portrait)[0]
    errors = []

    def call():
        try:
            for _ in range(100_000):
                detector(frame)
        except facesr_edge.FacesrError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=call) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    detector.close()
    for thread in threads:
        thread.join(20)
    assert errors == ["the engine is closed; load it again"] * THREADS


def test_detector_cannot_be_pickled():
    with pytest.raises(TypeError, match="pickle"):
        pickle.dumps(facesr_edge.load_detector(engine="onnxruntime", precision="fp32"))

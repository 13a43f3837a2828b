"""The GPU stages with the real kernels against the CPU stages. ONNX Runtime behind GPU memory stands in for compiled
engines; everything around them is what runs on a device."""

import time
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.frame_ops import Nv12
from facesr_edge.engines.errors import EngineError, InputError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.registry import ENGINES
from facesr_edge.sdk.gpu import detect
from facesr_edge.sdk.gpu.stages import GpuStages
from facesr_edge.sdk.load import load, load_detector
from facesr_edge.sdk.pipeline.detect import Detector
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.pipeline import Pipeline
from facesr_edge.sdk.pipeline.stages import CpuStages
from facesr_edge.sdk.pipeline.upscale import psnr_db, residuals
from facesr_edge.zoo import catalogue
from support.gpu_engines import OrtOnGpuArrays
from support.gpu_pipelines import SCENES, TIMINGS, assert_same, pipelines, scene, uploaded


@pytest.mark.parametrize("name", SCENES)
def test_gpu_stages_give_the_result_of_cpu_stages(gpu, network, name):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        frame = scene(name)
        expected = on_cpu(frame)
        assert (len(expected.faces), len(expected.too_large)) == SCENES[name]
        assert_same(on_gpu(frame), expected)
        passes = on_gpu.detector.plan(frame.shape[1], frame.shape[0]).all_passes
        assert on_gpu.detector.session.calls == len(passes), "the detector reads the frame on the GPU"


def test_consistency_equals_that_of_the_host(gpu, network):
    with pipelines(gpu, network, composite=False) as (_, on_gpu):
        faces = on_gpu(scene("many")).faces
    assert len(faces) == SCENES["many"][0]
    for face in faces:
        (host_db,) = psnr_db(residuals(face.original[None], face.pixels[None]))
        assert face.consistency_db == pytest.approx(host_db, abs=0.05)


def test_consistency_comes_from_the_residual_of_the_graph(gpu, network_of_mean):
    with pipelines(gpu, network_of_mean, composite=False) as (_, on_gpu):
        for _ in range(2):
            faces = on_gpu(scene("many")).faces
            assert len(faces) == SCENES["many"][0]
            for face in faces:
                assert face.consistency_db == pytest.approx(10 * np.log10(255**2 / face.original.mean()), abs=1e-3)


def test_a_network_without_a_residual_gives_the_result_of_cpu_stages(gpu, network_of_one_output):
    with pipelines(gpu, network_of_one_output) as (on_cpu, on_gpu):
        assert_same(on_gpu(scene("many")), on_cpu(scene("many")))


@pytest.mark.parametrize("outscale", [1, 2, 3, 4])
def test_the_composite_has_the_size_of_outscale(gpu, network, outscale):
    with pipelines(gpu, network, outscale) as (on_cpu, on_gpu):
        frame = scene("overlapping")
        result = on_gpu(frame)
        assert_same(result, on_cpu(frame))
        if outscale == 1:
            assert result.frame is result.source.pixels and np.shares_memory(result.frame, frame)


def test_outscale_may_exceed_the_scale_of_the_network(gpu, network_x2):
    with pipelines(gpu, network_x2, 3) as (on_cpu, on_gpu):
        assert_same(on_gpu(scene("overlapping")), on_cpu(scene("overlapping")))


def test_without_a_composite_only_the_faces_are_upscaled(gpu, network):
    with pipelines(gpu, network, composite=False) as (on_cpu, on_gpu):
        result = on_gpu(scene("one"))
        assert_same(result, on_cpu(scene("one")))
        assert result.frame is None and "paste" not in result.timings_ms


@pytest.mark.parametrize(("min_face", "kind"), [(20, "reduced"), (15, "reduced"), (5, "enlarged")])
def test_a_frame_is_resized_on_the_gpu(gpu, network, min_face, kind):
    with pipelines(gpu, network, min_face=min_face) as (on_cpu, on_gpu):
        frame, stream = scene("one"), gpu.stream()
        assert on_gpu.detector.plan(320, 256).kind == kind
        expected = on_cpu(frame)
        assert_same(on_gpu(frame), expected)
        assert_same(on_gpu(uploaded(gpu, frame, stream)), expected)
        assert on_gpu.detector.session.calls == 2


def test_more_candidates_than_are_downloaded_at_once_are_all_used(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu), pytest.MonkeyPatch.context() as patch:
        patch.setattr(detect, "ROWS", 3)
        assert_same(on_gpu(scene("many")), on_cpu(scene("many")))


def test_a_tiled_frame_is_detected_on_the_gpu(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        for pipeline in (on_cpu, on_gpu):
            session = pipeline.detector.session
            session.io_spec = replace(session.io_spec, sizes_hw=((256, 256),))
        assert on_gpu.detector.plan(512, 352).kind == "tiles"
        assert_same(on_gpu(scene("many")), on_cpu(scene("many")))
        assert on_gpu.detector.session.calls == len(on_gpu.detector.plan(512, 352).all_passes) > 4


@pytest.mark.parametrize("name", ["one", "padded", "upright", "overview"])
@pytest.mark.parametrize("protocol", ["dlpack", "interface", "gaps"])
def test_a_frame_in_gpu_memory_is_used_without_an_upload(gpu, network, name, protocol):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        frame, stream = scene(name), gpu.stream()
        if protocol == "dlpack":
            gpu_frame = gpu.empty(frame.shape, np.uint8)
            gpu.upload(frame, gpu_frame, stream)
        else:
            gpu_frame = uploaded(gpu, frame, stream, gap=24 if protocol == "gaps" else 0)
        result = on_gpu(gpu_frame)
        assert_same(result, on_cpu(frame))
        assert result.timings_ms["detect.download"] > 0


@pytest.mark.parametrize("name", ["one", "upright", "many"])
def test_an_nv12_frame_is_converted_as_by_opencv(gpu, network, name):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        frame, stream = scene(name), gpu.stream()
        height, width = frame.shape[:2]
        planar = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
        chroma = planar[height:].reshape(2, -1).T.reshape(height // 2, width)
        opencv_bgr = cv2.cvtColor(np.vstack((planar[:height], chroma)), cv2.COLOR_YUV2BGR_NV12)
        views = [gpu.view(uploaded(gpu, plane, stream, gap=16), stream) for plane in (planar[:height], chroma)]
        for view in views:
            view.stream = stream
        result = on_gpu(Nv12(*views, "bt601"))
        difference = np.abs(result.source.pixels.astype(int) - opencv_bgr.astype(int))
        assert difference.mean() < 1.5  # OpenCV repeats chroma, the kernel interpolates
        assert np.percentile(difference, 99) <= 12
        expected = on_cpu(result.source.pixels)
        assert len(expected.faces) == SCENES[name][0]
        assert_same(result, expected)


def test_every_stage_is_timed_and_contains_its_parts(gpu, network):
    with pipelines(gpu, network) as (_, on_gpu):
        on_gpu(scene("many"))
        start = time.perf_counter_ns()
        result = on_gpu(scene("many"))
        end = time.perf_counter_ns()
    ms = result.timings_ms
    assert set(ms) == TIMINGS and min(ms.values()) > 0
    assert ms["total"] == pytest.approx(sum(v for k, v in ms.items() if "." not in k and k != "total"))
    assert ms["total"] <= (end - start) / 1e6
    tolerance = 1000  # ns, since event times are rounded
    stages = [span for span in result.spans if "." not in span.name]
    for part in (span for span in result.spans if "." in span.name):
        assert any(
            part.name.split(".")[0] == stage.name
            and stage.start_ns - tolerance <= part.start_ns
            and part.start_ns + part.duration_ns <= stage.start_ns + stage.duration_ns + tolerance
            for stage in stages
        ), part
    stages.sort(key=lambda span: span.start_ns)
    for earlier, later in pairwise(stages):
        assert earlier.start_ns + earlier.duration_ns <= later.start_ns + tolerance, "stages do not overlap"
    assert start <= stages[0].start_ns + tolerance and stages[-1].start_ns + stages[-1].duration_ns <= end


def test_detection_on_a_budget_gives_the_results_of_the_cpu(gpu, network):
    pixels = np.full((480, 640, 3), 118, np.uint8)
    pixels[100:356, 200:520] = scene("one")
    frames = [Frame(pixels, index, index / 25) for index in range(5)]
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        on_cpu.detect_every = on_gpu.detect_every = 3
        for result, expected in zip(on_gpu.stream(frames), on_cpu.stream(frames), strict=True):
            assert_same(result, expected)
            assert result.detection == expected.detection
            assert result.detection.kind == ("tracked" if result.source.index % 3 else "full")


def test_detection_on_a_budget_goes_on_without_faces(gpu, network):
    frames = [Frame(scene("none"), index, index / 25) for index in range(5)]
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        on_cpu.detect_every = on_gpu.detect_every = 3
        results = list(on_gpu.stream(frames))
        for result, expected in zip(results, on_cpu.stream(frames), strict=True):
            assert_same(result, expected)
            assert result.detection == expected.detection
    assert [result.detection.kind for result in results] == ["full", "tracked", "tracked", "full", "tracked"]
    starts = [span.start_ns for result in results for span in result.spans if span.name == "paste.enlarge"]
    assert starts == sorted(starts), "timed without a wait of the frame's own"


def test_grey_images_and_upscale_give_the_results_of_the_cpu(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        grey = scene("one")[..., 1]
        assert_same(on_gpu(grey), on_cpu(grey))
        crops = scene("one")[None, :30, :40]
        assert np.array_equal(on_gpu.upscale(crops), on_cpu.upscale(crops))


def test_after_an_engine_error_the_next_frame_succeeds(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        for session in (on_gpu.session, on_gpu.detector.session):
            session.fails = True
            with pytest.raises(EngineError, match="the network failed"):
                on_gpu(scene("one"))
            session.fails = False
            assert_same(on_gpu(scene("one")), on_cpu(scene("one")))


@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 4), (0, 9, 3), (1, 9, 9, 3)])
def test_a_frame_in_gpu_memory_of_another_shape_is_rejected(gpu, network, shape):
    with pipelines(gpu, network) as (_, on_gpu), pytest.raises(InputError, match=r"expected a frame of \(H, W, 3\)"):
        on_gpu(gpu.empty(shape, np.uint8))


def test_engines_that_are_not_on_one_gpu_are_rejected(gpu, emulated, network):
    emulated.configure(gpus=2)
    bundle, detector_bundle = open_bundle(network), catalogue.find(catalogue.DEFAULT_DETECTOR)
    session = OrtOnGpuArrays(bundle, gpu)
    with pytest.raises(EngineError, match=r"expected two engines on a GPU, got ONNX .* and ONNX .*; compile both"):
        Pipeline(session, bundle.card, Detector(OrtSession(detector_bundle, 1)), stages=GpuStages)
    with Gpu(1) as second_gpu, pytest.raises(EngineError, match="on one GPU, got 0 and 1"):
        Pipeline(session, bundle.card, Detector(OrtOnGpuArrays(detector_bundle, second_gpu)), stages=GpuStages)
    with pytest.raises(UsageError, match="outscale is 5"):
        Pipeline(session, bundle.card, Detector(OrtOnGpuArrays(detector_bundle, gpu)), 5, stages=GpuStages)


@pytest.mark.parametrize(("engines", "stages"), [("both", GpuStages), ("network", CpuStages), ("none", CpuStages)])
def test_load_uses_gpu_stages_if_both_engines_are_on_the_gpu(gpu, network, engines, stages):
    open_on_cpu, options = ENGINES["onnxruntime"], {"engine": "onnxruntime", "precision": "fp32", "threads": 1}
    try:
        cpu_detector = load_detector(**options)
        if engines != "none":
            ENGINES["onnxruntime"] = lambda bundle, *options: OrtOnGpuArrays(bundle, gpu)
        detector = load_detector(**options) if engines == "both" else cpu_detector
        with load(network, detector=detector, **options) as pipeline:
            assert type(pipeline.stages) is stages
            assert len(pipeline(scene("one")).faces) == 1
    finally:
        ENGINES["onnxruntime"] = open_on_cpu

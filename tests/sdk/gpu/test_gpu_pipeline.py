"""The GPU stages with the real kernels against the CPU stages. ONNX Runtime behind GPU memory stands in for compiled
engines; everything around them is what runs on a device."""

import gc
import resource
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import pairwise
from threading import Event

import cv2
import numpy as np
import pytest
from facesr_edge.calibration.data.faces import astronaut
from facesr_edge.engines.bundle.bundle import open_bundle
from facesr_edge.engines.cuda.device import Gpu
from facesr_edge.engines.cuda.frame_ops import Nv12
from facesr_edge.engines.errors import EngineError, InputError, UsageError
from facesr_edge.engines.onnxruntime.session import OrtSession
from facesr_edge.engines.registry import ENGINES
from facesr_edge.sdk.gpu import detect, loans
from facesr_edge.sdk.gpu.stages import GpuStages
from facesr_edge.sdk.load import load, load_detector
from facesr_edge.sdk.pipeline.detect import Detector
from facesr_edge.sdk.pipeline.frame import Frame
from facesr_edge.sdk.pipeline.pipeline import Pipeline, _in_flight
from facesr_edge.sdk.pipeline.stages import CpuStages
from facesr_edge.sdk.pipeline.upscale import psnr_db, residuals
from facesr_edge.sdk.profiling.timing import Span
from facesr_edge.zoo import catalogue
from support.gpu_engines import OrtOnGpuArrays
from support.gpu_traffic import counted


@contextmanager
def pipelines(gpu, network, outscale=2, composite=True, **options):
    """Pipelines of the same networks: `on_cpu` and `on_gpu`."""
    bundle, detector_bundle = open_bundle(network), catalogue.find(catalogue.DEFAULT_DETECTOR)
    with ExitStack() as stack:
        cpu_detector = Detector(OrtSession(detector_bundle, 1), **options)
        gpu_detector = Detector(OrtOnGpuArrays(detector_bundle, gpu), **options)
        settings = outscale, composite
        try:
            on_gpu = Pipeline(OrtOnGpuArrays(bundle, gpu), bundle.card, gpu_detector, *settings, stages=GpuStages)
        except EngineError as error:
            if "NVRTC not found" in str(error) or "nvcc" in str(error):
                pytest.skip(str(error))
            raise
        stack.callback(on_gpu.close)
        yield stack.enter_context(Pipeline(OrtSession(bundle, 1), bundle.card, cpu_detector, *settings)), on_gpu


def scene(name):
    """A frame with real faces, by what is special about it."""
    (width, height), faces = {
        "one": ((320, 256), [(60, 40, 36)]),
        "none": ((320, 192), []),
        "padded": ((333, 251), [(60, 40, 30), (220, 80, 24)]),
        "upright": ((160, 352), [(20, 30, 30), (20, 200, 40)]),
        "borders": ((352, 224), [(-24, -20, 40), (270, -16, 40), (-22, 150, 40), (278, 152, 40)]),
        "overlapping": ((352, 224), [(40, 60, 36), (86, 60, 36), (132, 60, 36)]),
        "too large": ((352, 320), [(30, 30, 100)]),
        "smaller than a window": ((44, 40), [(-12, -14, 28)]),
        "overview": ((704, 672), [(60, 40, 36), (250, 150, 190)]),
        "many": ((512, 352), [(20 + 120 * (n % 4), 20 + 110 * (n // 4), 26 + 3 * n) for n in range(8)]),
    }[name]
    frame = np.full((height, width, 3), 118, np.uint8)
    frame += (np.arange(width)[None, :, None] // 8 % 24 + np.arange(height)[:, None, None] // 8 % 16).astype(np.uint8)
    portrait = astronaut()[0:256, 96:352]
    for x, y, side in faces:
        small = cv2.resize(portrait, None, fx=side / 100, fy=side / 100, interpolation=cv2.INTER_AREA)
        left, top = max(x, 0), max(y, 0)
        part = small[top - y : height - y, left - x : width - x]
        frame[top : top + part.shape[0], left : left + part.shape[1]] = part
    return frame


def assert_same(result, expected):
    """Equal results, except for one grey level of the composite."""
    assert (result.frame is None) == (expected.frame is None)
    if expected.frame is not None:
        assert result.frame.shape == expected.frame.shape
        assert np.abs(result.frame.astype(int) - expected.frame.astype(int)).max() <= 1
    assert [f.window_xyxy for f in result.faces] == [f.window_xyxy for f in expected.faces]
    assert np.array_equal(result.too_large.boxes_xyxy, expected.too_large.boxes_xyxy)
    assert np.array_equal(result.source.pixels, expected.source.pixels)
    for face, expected_face in zip(result.faces, expected.faces, strict=True):
        assert np.array_equal(face.original, expected_face.original)
        assert np.array_equal(face.pixels, expected_face.pixels)
        assert (face.score, face.consistency_db) == (expected_face.score, expected_face.consistency_db)
        assert np.array_equal(face.box_xyxy, expected_face.box_xyxy)
        assert np.array_equal(face.landmarks, expected_face.landmarks)


def uploaded(gpu, host, stream, gap=0):
    """An array on the GPU whose upload is only queued, with rows padded by `gap` bytes."""
    rows = np.zeros((len(host), host[0].size + gap), np.uint8)
    rows[:, : host[0].size] = host.reshape(len(host), -1)
    owner = gpu.empty(rows.shape, np.uint8)
    gpu.upload(rows, owner, stream)
    return Surface(owner, host.shape, (rows.shape[1], *host.strides[1:]), stream)


class Surface:
    """Memory of another library with the CUDA array interface, as of Numba, CuPy and DeepStream."""

    def __init__(self, owner, shape, strides, stream):
        self.owner = owner
        interface = {"shape": shape, "strides": strides, "typestr": "|u1", "version": 3, "stream": stream.handle}
        self.__cuda_array_interface__ = {**interface, "data": (owner.pointer, False)}


SCENES = {  # number of upscaled faces, number of too large ones
    "one": (1, 0),
    "none": (0, 0),
    "padded": (2, 0),
    "upright": (2, 0),
    "borders": (4, 0),
    "overlapping": (3, 0),
    "too large": (0, 1),
    "smaller than a window": (1, 0),
    "overview": (1, 1),
    "many": (8, 0),
}


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


def test_frames_of_changing_sizes_do_not_affect_each_other(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        stream = gpu.stream()
        for name in ("many", "one", "padded", "too large", "one", "many", "none"):
            frame = scene(name)
            assert_same(on_gpu(frame), on_cpu(frame))
            shorter = np.ascontiguousarray(frame[:-7])
            assert_same(on_gpu(uploaded(gpu, shorter, stream)), on_cpu(shorter))


def test_a_result_is_not_overwritten_by_later_frames(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        result, expected = on_gpu(scene("many")), on_cpu(scene("many"))
        on_gpu(np.zeros_like(scene("many")))
        on_gpu(scene("many")[::-1, ::-1])
        assert_same(result, expected)


def test_composites_are_lent_and_those_that_are_kept_stay_as_they_are(gpu, machine, network):
    frames = [np.roll(scene("one"), 8 * n, axis=1) for n in range(loans.MAX_LENT + 3)]
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        kept = [on_gpu(frame) for frame in frames]
        for result, frame in zip(kept, frames, strict=True):
            assert_same(result, on_cpu(frame))
        addresses = [result.frame.ctypes.data for result in kept]
        assert len(set(addresses)) == len(frames)
        del kept, result
        gc.collect()
        again = on_gpu(frames[0]).frame[8:]
        assert again.ctypes.data - again.strides[0] * 8 in addresses[: loans.MAX_LENT], "taken back and lent again"
        other = on_gpu(frames[1])
        expected = on_cpu(frames[0]).frame[8:]
        assert np.abs(again.astype(int) - expected.astype(int)).max() <= 1, "a view keeps the loan"
        assert_same(other, on_cpu(frames[1]))


def test_a_composite_that_is_dropped_is_lent_again_while_no_frame_is_processed(gpu, network):
    with pipelines(gpu, network) as (_, on_gpu):
        lent = on_gpu.stages._context.loans["composite"]
        result = on_gpu(scene("one"))
        address = result.frame.ctypes.data
        del result
        gc.collect()
        assert [array.ctypes.data for array in lent._free] == [address]


def test_composites_are_copied_beyond_a_share_of_memory(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        lent, frames = on_gpu.stages._context.loans["composite"], [np.roll(scene("one"), 8 * n, 1) for n in range(4)]
        lent._budget = 2 * 4 * frames[0].nbytes
        kept = [on_gpu(frame) for frame in frames]
        for result, frame in zip(kept, frames, strict=True):
            assert_same(result, on_cpu(frame))
        assert len(lent._allocated) == 2


def test_loans_of_an_earlier_size_count_until_they_are_released(gpu, machine):
    pool = loans.PinnedLoans(gpu)
    small = [pool.take((8, 8, 3)) for _ in range(loans.MAX_LENT)]
    assert pool.take((9, 9, 3)) is None
    small.pop()
    gc.collect()
    large = pool.take((9, 9, 3))
    assert large.shape == (9, 9, 3) and pool.take((9, 9, 3)) is None
    del small, large
    gc.collect()
    assert machine.live_objects()["pinned"] == 1, "only those of the present size are kept"
    pool.close()


def test_nothing_is_lent_where_the_system_has_no_page_locked_memory(gpu):
    pool = loans.PinnedLoans(gpu)
    pool._budget = 2**62
    assert pool.take((2**24, 2**24, 3)) is None
    assert pool.take((2**24, 2**24, 3)) is None
    pool.close()


def test_a_result_outlives_the_pipeline(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        result, expected = on_gpu(scene("one")), on_cpu(scene("one"))
        on_gpu.close()
        gc.collect()
        assert_same(result, expected)


def test_memory_stays_flat_over_many_frames(gpu, machine, network):
    with pipelines(gpu, network) as (_, on_gpu):
        stream = gpu.stream()
        frames = [scene(name) for name in ("upright", "one", "overlapping")]
        frames += [uploaded(gpu, frame, stream) for frame in frames]
        for frame in frames:
            on_gpu(frame)
        gc.collect()
        held, before = machine.live_objects(), 0
        for n in range(50):
            on_gpu(frames[n % len(frames)])
            if n == 20:
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert machine.live_objects() == held
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4096  # KiB


TIMINGS = {
    *("detect", "detect.upload", "detect.network", "crop", "upscale", "upscale.network"),
    *("paste", "paste.enlarge", "paste.download", "total"),
}


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


def test_a_stream_of_frames_keeps_their_order(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        frames = [Frame(scene(name), index=n) for n, name in enumerate(("one", "many"))]
        for result, expected in zip(on_gpu.stream(frames), on_cpu.stream(frames), strict=True):
            assert result.source is expected.source and result.timings_ms["decode"] > 0
            assert_same(result, expected)


def test_in_a_stream_the_host_waits_once_a_frame(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        frames = [scene(name) for name in ("many", "one", "overview", "many", "overlapping", "none")]
        expected = [on_cpu(frame) for frame in frames]
        with counted(on_gpu) as traffic:
            results = list(_in_flight(on_gpu._jobs(frames, on_gpu._detect)))
        for result, one in zip(results, expected, strict=True):
            assert_same(result, one)
        if gpu.graphs:  # pycuda also waits where another stream is used
            assert len(frames) <= traffic["waits"] <= len(frames) + 1, (
                f"one a frame and one for the last results: {traffic}"
            )
        assert traffic["copies up"] == len(frames), "tables are arguments of the kernels"
        assert traffic["copies within"] == 0


def test_a_frame_without_a_successor_is_not_held_back(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        collected = Event()

        def slow_source():
            yield scene("one")
            assert collected.wait(30), "the first result must not wait for the second frame"
            yield scene("many")

        results = on_gpu.stream(slow_source())
        assert_same(next(results), on_cpu(scene("one")))
        collected.set()
        assert_same(next(results), on_cpu(scene("many")))
        assert next(results, None) is None


@pytest.mark.parametrize("failing", ["network", "detector", "source"])
def test_an_error_in_a_stream_comes_after_the_results_before_it(gpu, network, failing):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        session = (on_gpu.detector if failing == "detector" else on_gpu).session

        def frames():
            yield scene("one")
            if failing == "source":
                raise EngineError("the source failed")
            yield scene("many")

        results = on_gpu.stream(frames())
        if failing != "source":
            results = _in_flight(failing_from(session, on_gpu._jobs(frames(), on_gpu._detect)))
        assert_same(next(results), on_cpu(scene("one")))
        with pytest.raises(EngineError, match="failed"):
            next(results)
        session.fails = False
        assert_same(on_gpu(scene("overlapping")), on_cpu(scene("overlapping")))


def failing_from(session, jobs):
    """Jobs of which the second and later ones fail in a session."""
    for job in jobs:
        yield job
        session.fails = True


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_a_stream_may_be_closed_with_frames_in_flight(gpu, machine, network, taken):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        on_gpu(scene("many"))
        results = on_gpu.stream([scene("many")] * 6)
        for _ in range(taken):
            next(results)
        results.close()
        for name in ("one", "overlapping"):
            assert_same(on_gpu(scene(name)), on_cpu(scene(name)))
        results = on_gpu.stream([scene("many")] * 6)
        next(results)
        on_gpu.close()
        with pytest.raises(EngineError, match="closed"):
            list(results)


def test_a_call_during_a_stream_gives_its_own_result(gpu, network):
    with pipelines(gpu, network) as (on_cpu, on_gpu):
        names = ("many", "one", "overlapping", "many", "one")
        for result, name in zip(on_gpu.stream(map(scene, names)), names, strict=True):
            assert_same(on_gpu(scene("overview")), on_cpu(scene("overview")))
            assert_same(result, on_cpu(scene(name)))


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


def test_timings_are_those_of_the_frame_when_the_next_one_reuses_its_buffers(gpu, network):
    with pipelines(gpu, network) as (_, on_gpu):
        timed = on_gpu.stages.timed

        @contextmanager
        def reused_at_once(spans):
            with timed(spans) as lane:
                yield lane
            with timed([Span("of another frame", 0, 1)]) as other:
                assert other is lane

        on_gpu.stages.timed = reused_at_once
        assert set(on_gpu(scene("one")).timings_ms) == TIMINGS


def test_frames_in_gpu_memory_have_their_position_as_index(gpu, network):
    with pipelines(gpu, network) as (_, on_gpu):
        stream, frame = gpu.stream(), scene("one")
        frames = [uploaded(gpu, frame, stream), frame, uploaded(gpu, frame, stream)]
        for overlap in (True, False):
            assert [result.source.index for result in on_gpu.stream(frames, overlap=overlap)] == [0, 1, 2]
        assert on_gpu(frames[0]).source.index == 0


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


def test_a_closed_pipeline_raises_and_holds_no_memory(gpu, machine, network):
    before = machine.live_objects()
    with pipelines(gpu, network) as (_, on_gpu):
        on_gpu(scene("one"))
        on_gpu.close()
        on_gpu.close()
        with pytest.raises(EngineError, match="the pipeline is closed; load it again"):
            on_gpu(scene("one"))
        on_gpu.session = on_gpu.detector.session = on_gpu.stages = None
        gc.collect()
        assert machine.live_objects() == before
        on_gpu.session = on_gpu.detector.session = OrtSession(open_bundle(network), 1)
        on_gpu.stages = CpuStages(on_gpu.session, on_gpu.detector, 2)


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
